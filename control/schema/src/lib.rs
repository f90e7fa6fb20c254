//! The one schema of all kinds, and the walkers over it.
