//! End to end: real clients, faults, oracles.
