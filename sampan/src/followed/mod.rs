//! Objects that say what the server itself does: they are followed while it runs.

mod fairness;
mod service_ranges;
#[cfg(test)]
mod tests;

use sampan_apiserver::ApiServer;
use sampan_client::Client;
use sampan_env::{Env, Tasks};
use sampan_registry::Registry;

/// Follows all of them, for ever. `client` speaks as `system:apiserver`.
///
/// # Errors
/// The client can watch no more.
pub fn follow(client: &Client, server: &ApiServer, registry: Registry, env: &Env, tasks: &Tasks) -> anyhow::Result<()> {
    fairness::follow(client, server.seats().clone(), env, tasks)?;
    service_ranges::follow(client, registry, env, tasks)
}
