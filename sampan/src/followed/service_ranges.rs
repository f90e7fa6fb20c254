//! Services' addresses come out of every range that is Ready and not going: ServiceCIDR objects, whose changes are followed
//! (pkg/registry/core/service/ipallocator/cidrallocator.go).

use anyhow::Context;
use sampan_api::GroupVersionResource;
use sampan_api::Object;
use sampan_client::{Client, InformerSpec, Informers};
use sampan_env::{Env, Tasks};
use sampan_node::address::Block;
use sampan_registry::kinds::CLUSTER_IPS;
use sampan_registry::{Pool, Registry};
use serde_json::Value;
use tokio::sync::watch;

/// Keeps the registry's pool of addresses as the ranges are, for ever. `client` speaks as `system:apiserver`.
///
/// # Errors
/// The client can watch no more.
pub fn follow(client: &Client, registry: Registry, env: &Env, tasks: &Tasks) -> anyhow::Result<()> {
    let informers = Informers::new(client.clone(), env, tasks);
    let resource = GroupVersionResource::new("networking.k8s.io", "v1", "servicecidrs");
    let ranges = informers.select(InformerSpec::dynamic(resource))?;
    let (changed, mut changes) = watch::channel(());
    ranges.add_handler(move |_| {
        changed.send_replace(());
    });
    tasks.spawn_until_cancelled(async move {
        if let Err(error) = informers.wait_synced().await.context("the ranges of Services") {
            tracing::error!(
                error = format!("{error:#}"),
                "addresses of Services come out of the configured range alone"
            );
            return;
        }
        loop {
            changes.mark_unchanged();
            let all: Vec<Object> = ranges.store().list().iter().map(|record| record.object()).collect();
            registry.set_pool(CLUSTER_IPS, pool(&all));
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// The addresses of all ranges that may be drawn from. One family only: IPv4.
fn pool(ranges: &[Object]) -> Pool {
    let ready = |range: &&Object| {
        let conditions = range.get(&["status", "conditions"]).and_then(Value::as_array).into_iter().flatten();
        let ready = conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        ready && range.deletion_timestamp().is_none()
    };
    let cidrs = ranges.iter().filter(ready).filter_map(|range| range.get(&["spec", "cidrs"])?.as_array()).flatten();
    let blocks = cidrs.filter_map(|cidr| Block::parse(cidr.as_str()?)).filter(|block| block.prefix() <= 30);
    Pool::All(blocks.map(|block| Pool::Addresses { network: block.network(), prefix: block.prefix() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::net::Ipv4Addr;

    #[test]
    fn ready_ranges_give_addresses() {
        let range = |name: &str, cidr: &str, ready: &str, going: bool| {
            let mut metadata = json!({"name": name});
            if going {
                metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            Object::from_value(json!({"metadata": metadata, "spec": {"cidrs": [cidr]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
            .expect("an object")
        };
        let all = [
            range("kubernetes", "127.96.0.0/18", "True", false),
            range("more", "10.1.0.0/24", "True", false),
            range("new", "10.2.0.0/24", "Unknown", false),
            range("gone", "10.3.0.0/24", "True", true),
            range("other", "fd00::/112", "True", false),
        ];
        let addresses = |network: [u8; 4], prefix: u8| Pool::Addresses { network: Ipv4Addr::from(network), prefix };
        assert_eq!(pool(&all), Pool::All([addresses([127, 96, 0, 0], 18), addresses([10, 1, 0, 0], 24)].into()));
    }
}
