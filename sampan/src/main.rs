//! Sampan: a Kubernetes-API orchestrator whose pods and policies are WebAssembly.
fn main() {}
