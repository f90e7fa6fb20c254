//! Faults below the log: the process is killed (`crash`), the disk fails (`disk`).

mod child;
mod crash;
mod disk;
