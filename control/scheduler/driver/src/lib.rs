//! Queue, cache, binding, decision records.
