//! Tables of inputs and what must come of them.

mod bodies;
mod own;
mod patches;
