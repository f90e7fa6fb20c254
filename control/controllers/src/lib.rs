//! The shared reconcile runtime, and a folder a controller.
