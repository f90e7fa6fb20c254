//! What a cluster has from its first start, written before the server listens. At every start, what is missing of it is
//! made again.

use crate::config::Config;
use anyhow::{Context, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use sampan_api::{GroupVersionKind, Object};
use sampan_client::Client;
use sampan_registry::ResourceTable;

const DATA: &str = include_str!("../data/first-start.yaml");
/// Writes under way at once: they share commits.
const AT_ONCE: usize = 64;

fn objects(config: &Config) -> anyhow::Result<Vec<Object>> {
    let port = if config.port == 0 { 6443 } else { config.port };
    let text =
        DATA.replace("SERVICE_IP", &config.first_service_ip().to_string()).replace("API_PORT", &port.to_string());
    let mut objects = sampan_cli::manifest::parse(&text).context("the built-in data")?;
    objects.extend(sampan_auth::bootstrap::rbac_objects());
    Ok(objects)
}

/// Makes what is missing. `client` speaks as `system:apiserver`.
pub async fn ensure(client: &Client, table: &ResourceTable, config: &Config) -> anyhow::Result<()> {
    let (namespaces, rest): (Vec<Object>, Vec<Object>) =
        objects(config)?.into_iter().partition(|object| object.kind() == "Namespace");
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
    match api.get_opt(object.name()).await? {
        Some(_) => Ok(()),
        None => match api.create(object).await {
            Err(error) if !error.is_already_exists() => {
                Err(error).with_context(|| format!("{} {:?}", gvk.kind, object.name()))
            }
            _ => Ok(()),
        },
    }
}
