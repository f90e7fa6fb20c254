//! The only room that knows the engine: limits, capabilities, artifact cache, bindings.
