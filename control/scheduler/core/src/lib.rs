//! The scheduling cycle as a pure function.
