//! Keeps the table as the definitions say.

use super::rows;
use super::versions::compare_versions;
use crate::error::Error;
use crate::limits::DEFINITIONS_RETRY;
use crate::options::ListOptions;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::table::ResourceTable;
use futures::{FutureExt, StreamExt};
use sampan_api::object::Object;
use sampan_api::record::{EventKind, Record};
use sampan_env::Tasks;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Serves what the definitions that are there define, and from then on what is defined later; stops to serve what is
/// defined no longer. Returns once the first is done.
///
/// # Errors
/// When the definitions cannot be read.
pub async fn follow(registry: &Registry, tasks: &Tasks) -> Result<(), Error> {
    let base = registry.table();
    let Some(of) = base.iter().find(|row| row.defines_resources).cloned() else { return Ok(()) };
    let mut served = Served { registry: registry.clone(), base, of, definitions: BTreeMap::new() };
    let revision = served.read().await?;
    tasks.spawn_until_cancelled(served.run(revision));
    Ok(())
}

impl Registry {
    /// Whether requests from outside find a row of this table: from the moment on at which its definition is read as
    /// established. The table shows so a moment later, and has the row a moment before.
    pub fn is_established(&self, table: &ResourceTable, row: &Resource) -> bool {
        if table.shows(row) {
            return true;
        }
        let definition = table.iter().find(|row| row.defines_resources);
        definition.is_some_and(|of| {
            let name = format!("{}.{}", row.resource, row.group);
            self.current(of, "", &name).is_some_and(|record| rows::is_true(&record.object(), "Established"))
        })
    }
}

/// A definition as it is served.
struct Defined {
    /// Hash of what its rows are made of.
    source: [u8; 32],
    rows: Vec<Arc<Resource>>,
    /// Whether discovery shows it: whoever finds it there may take for granted that its status is written.
    announced: bool,
}

struct Served {
    registry: Registry,
    /// The table without any definition.
    base: Arc<ResourceTable>,
    /// The row of the definitions.
    of: Arc<Resource>,
    definitions: BTreeMap<Arc<str>, Defined>,
}

impl Served {
    async fn run(mut self, mut revision: u64) {
        loop {
            if let Err(error) = self.watch(revision).await {
                tracing::warn!(%error, "what is defined cannot be followed: it is read again");
                self.registry.env().sleep(DEFINITIONS_RETRY).await;
            }
            match self.read().await {
                Ok(read) => revision = read,
                Err(error) => tracing::warn!(%error, "what is defined cannot be read"),
            }
        }
    }

    /// Takes all definitions as they are now.
    async fn read(&mut self) -> Result<u64, Error> {
        let list = self.registry.list(&self.of, "", &ListOptions::default()).await?;
        let names: HashSet<Arc<str>> = list.items.iter().map(|record| record.key.name.clone()).collect();
        let before = self.definitions.len();
        self.definitions.retain(|name, _| names.contains(name));
        let mut changed = before != self.definitions.len();
        for record in &list.items {
            changed |= self.take(record).await;
        }
        if changed {
            self.serve().await?;
        }
        Ok(list.revision)
    }

    /// Follows the changes until the watch ends.
    async fn watch(&mut self, revision: u64) -> Result<(), Error> {
        let options = ListOptions { resource_version: revision.to_string(), ..ListOptions::default() };
        let mut events = self.registry.watch(&self.of, "", &options).await?;
        while let Some(event) = events.next().await {
            let mut changed = false;
            let mut next = Some(event);
            // What comes together is served together.
            while let Some(event) = next {
                let event = event.map_err(Error::from)?;
                changed |= match (event.kind(), event.record()) {
                    (EventKind::Deleted, Some(record)) => self.definitions.remove(&record.key.name).is_some(),
                    (_, Some(record)) => self.take(record).await,
                    (_, None) => false,
                };
                next = events.next().now_or_never().flatten();
            }
            if changed {
                self.serve().await?;
            }
        }
        Ok(())
    }

    /// Takes a definition. Whether its rows are others than before.
    async fn take(&mut self, record: &Arc<Record>) -> bool {
        let definition = record.object();
        let (source, announced) = (source(&definition), rows::is_true(&definition, "Established"));
        if let Some(known) = self.definitions.get_mut(&record.key.name).filter(|known| known.source == source) {
            let before = std::mem::replace(&mut known.announced, announced);
            return before != announced && !known.rows.is_empty();
        }
        // A schema can be long.
        let made = sampan_env::blocking(move || rows::of_definition(&definition)).await;
        let rows = match made.map_err(|error| error.to_string()).and_then(|made| made) {
            Ok(rows) => rows.into_iter().map(Arc::new).collect(),
            Err(error) => {
                tracing::error!(definition = %record.key.name, error, "it cannot be served");
                Vec::new()
            }
        };
        let before = self.definitions.insert(record.key.name.clone(), Defined { source, rows, announced });
        let now = self.definitions.get(&record.key.name).is_some_and(|defined| !defined.rows.is_empty());
        now || before.is_some_and(|before| !before.rows.is_empty())
    }

    async fn serve(&self) -> Result<(), Error> {
        let own: HashSet<(&str, &str)> =
            self.base.iter().map(|row| (row.group.as_ref(), row.version.as_ref())).collect();
        let all = self.definitions.values().flat_map(|defined| &defined.rows);
        // What this server serves by itself is not defined by others.
        let mut rows: Vec<Arc<Resource>> =
            all.filter(|row| !own.contains(&(row.group.as_ref(), row.version.as_ref()))).cloned().collect();
        rows.sort_by(|a, b| {
            let by_version = || compare_versions(&a.version, &b.version);
            a.group.cmp(&b.group).then_with(by_version).then_with(|| a.resource.cmp(&b.resource))
        });
        rows.dedup_by(|b, a| a.group == b.group && a.version == b.version && a.resource == b.resource);
        let hidden: HashSet<(&str, &str)> = {
            let hidden = self.definitions.values().filter(|defined| !defined.announced);
            hidden.flat_map(|defined| &defined.rows).map(|row| (row.group.as_ref(), row.resource.as_ref())).collect()
        };
        let table = self.base.with(rows).and_then(|table| {
            table.hiding(|row| row.defined && hidden.contains(&(row.group.as_ref(), row.resource.as_ref())))
        });
        let table = table.map_err(|error| Error::Internal(error.to_string()))?;
        self.registry.use_table(table).await
    }
}

/// Hash of what a definition's rows are made of.
fn source(definition: &Object) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [definition.get(&["spec"]), definition.get(&["status", "acceptedNames"])] {
        hash.update(part.map(ToString::to_string).unwrap_or_default());
        hash.update([0]);
    }
    let shown = rows::is_true(definition, "NamesAccepted") || rows::is_true(definition, "Established");
    hash.update([u8::from(shown), u8::from(rows::is_true(definition, "Terminating"))]);
    hash.finalize().into()
}
