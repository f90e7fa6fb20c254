//! The objects of a cluster's first start, written before the server listens. At every start, what is missing of it is
//! made again, roles and bindings get what a newer version grants, and the API's own Service gets the API's port.

use anyhow::{Context, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use sampan_api::{GroupVersionKind, Object};
use sampan_auth::bootstrap::{Reconciled, reconcile};
use sampan_client::{Client, DeleteParams};
use sampan_registry::ResourceTable;
use std::net::Ipv4Addr;

const DATA: &str = include_str!("../data/first-start.yaml");
/// Writes under way at once: they share commits.
const AT_ONCE: usize = 64;

/// Attempts at an object that somebody else keeps writing.
const TRIES: usize = 5;

/// `service_ip` and `port`: of the API, the latter as it is bound.
fn objects(service_ip: Ipv4Addr, port: u16) -> anyhow::Result<Vec<Object>> {
    let text = DATA.replace("SERVICE_IP", &service_ip.to_string()).replace("API_PORT", &port.to_string());
    let mut objects = sampan_cli::manifest::parse(&text).context("the built-in data")?;
    objects.extend(sampan_auth::bootstrap::rbac_objects());
    Ok(objects)
}

/// Makes and mends what is missing. `client` speaks as `system:apiserver`.
pub async fn ensure(client: &Client, table: &ResourceTable, service_ip: Ipv4Addr, port: u16) -> anyhow::Result<()> {
    let (namespaces, rest): (Vec<Object>, Vec<Object>) =
        objects(service_ip, port)?.into_iter().partition(|object| object.kind() == "Namespace");
    for group in [namespaces, rest] {
        stream::iter(group)
            .map(|object| async move { make(client, table, &object).await })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
    }
    Ok(())
}

async fn make(client: &Client, table: &ResourceTable, object: &Object) -> anyhow::Result<()> {
    let gvk: GroupVersionKind = object.gvk().context("an apiVersion")?;
    let Some(row) = table.of_kind(&gvk) else { bail!("no resource of kind {gvk}") };
    let namespace = Some(object.namespace()).filter(|namespace| !namespace.is_empty());
    let api = client.dynamic(&row.gvr(), namespace);
    let what = || format!("{} {:?}", gvk.kind, object.name());
    for _ in 0..TRIES {
        let outcome = match api.get_opt(object.name()).await? {
            None => api.create(object).await.map(drop),
            Some(live) => match mend(&live, object) {
                Reconciled::Kept => Ok(()),
                Reconciled::Update(mended) => api.update(object.name(), &mended).await.map(drop),
                Reconciled::Recreate => {
                    api.delete(object.name(), &DeleteParams::uid(live.uid())).await.with_context(what)?;
                    continue;
                }
            },
        };
        match outcome {
            Err(error) if error.is_already_exists() || error.is_conflict() => continue,
            other => return other.with_context(what),
        }
    }
    bail!("{}: somebody else keeps writing it", what())
}

/// The write that makes `live` as this start wants it. Most of it is its owner's once it is made.
fn mend(live: &Object, wanted: &Object) -> Reconciled {
    if wanted.api_version().starts_with("rbac.authorization.k8s.io/") {
        return reconcile(live, wanted);
    }
    match (wanted.kind(), wanted.get(&["spec", "ports"])) {
        ("Service", Some(ports)) if live.get(&["spec", "ports"]) != Some(ports) => {
            let mut mended = live.clone();
            mended.set(&["spec", "ports"], ports.clone());
            Reconciled::Update(mended)
        }
        _ => Reconciled::Kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_apis_service_follows_its_port_and_other_things_are_their_owners() {
        let object = |kind: &str, port: u16| {
            let spec =
                json!({"clusterIP": "127.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": port}]});
            let value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "kubernetes"}, "spec": spec});
            Object::from_value(value).expect("an object")
        };
        let check = |kind: &str, live: u16, wanted: u16, mended: bool| {
            let (live, wanted) = (object(kind, live), object(kind, wanted));
            let expected = if mended { Reconciled::Update(wanted.clone()) } else { Reconciled::Kept };
            assert_eq!(mend(&live, &wanted), expected, "{kind}");
        };
        check("Service", 6443, 6443, false);
        check("Service", 6443, 7443, true);
        check("ConfigMap", 6443, 7443, false);
    }
}
