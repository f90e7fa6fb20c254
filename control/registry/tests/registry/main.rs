//! What the generic registry promises, on the memory store, with rows made for the tests.

mod conversion;
mod definitions;
mod deletion;
mod pools;
mod reads;
mod versions;
mod world;
mod writes;
