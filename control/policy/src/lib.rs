//! SchedulingPolicy objects: fetch, compile, fixtures, swap, strikes, status.
