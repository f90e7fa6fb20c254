//! Tables of inputs and what must come of them.

mod apply;
mod bodies;
mod openapi;
mod own;
mod owners;
mod patches;
mod structural;
