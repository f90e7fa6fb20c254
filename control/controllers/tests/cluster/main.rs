//! Every controller at work on an API server in this process, under Kubernetes' own roles.

mod garbage;
mod identities;
mod namespaces;
mod nodes;
mod workloads;
mod world;
