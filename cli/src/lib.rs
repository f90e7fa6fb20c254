//! The commands: thin, over the public API.
