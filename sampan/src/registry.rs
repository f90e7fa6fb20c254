//! What the registry is told of this cluster: its store, its pools of addresses and ports, and what it may.

use crate::addresses::ClusterAddresses;
use crate::config::Config;
use crate::ranges;
use sampan_env::Env;
use sampan_registry::ResourceTable;
use sampan_registry::allocate::Pool;
use sampan_registry::kinds::{CLUSTER_IPS, NODE_PORTS};
use sampan_store::sqlite::SqliteStore;
use sampan_store::{RangeResult, Store};
use std::net::SocketAddr;
use std::sync::Arc;

/// The settings of a registry whose API server is reached at `api`.
pub fn settings(
    config: &Config,
    api: SocketAddr,
    addresses: &ClusterAddresses,
    (store, opened, env): (&Arc<SqliteStore>, RangeResult, &Env),
    table: Arc<ResourceTable>,
) -> sampan_registry::Config {
    let store: Arc<dyn Store> = store.clone();
    let mut registry = sampan_registry::Config::new(store, env.clone(), table);
    registry.opened = Some(opened);
    let services = addresses.services();
    registry.pools.set(CLUSTER_IPS, Pool::Addresses { network: services.network(), prefix: services.prefix() });
    registry.pools.set(NODE_PORTS, Pool::Ports { first: config.node_ports.0, last: config.node_ports.1 });
    registry.capabilities = sampan_registry::Capabilities {
        allow_privileged: config.allow_privileged,
        own_addresses: sampan_registry::OwnAddresses {
            ranges: [Some((services.network(), services.prefix())), Some(ranges::PODS)],
            api: Some(api.ip()),
        },
    };
    registry.gates = config.gates.clone();
    registry
}
