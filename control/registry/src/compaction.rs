//! Compaction: old history is dropped, each class of kinds after its own time.

use crate::allocate::ALLOCATIONS;
use crate::limits::COMPACTION_PERIOD;
use crate::registry::{Registry, is_storage};
use crate::resource::HistoryClass;
use crate::table::storage_prefix;
use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

/// What one round of compaction leaves for the next.
#[derive(Default)]
struct Rounds {
    /// The revision up to which each prefix has been compacted.
    done: HashMap<String, u64>,
    /// The newest revision at each round, as far back as history is kept. Most revisions of a quiet cluster are those of
    /// Leases, of which the log soon knows no time any more.
    newest: VecDeque<(SystemTime, u64)>,
}

impl Rounds {
    fn note(&mut self, now: SystemTime, newest: u64) {
        self.newest.push_back((now, newest));
        let kept = now.checked_sub(HistoryClass::Ample.retention()).unwrap_or(SystemTime::UNIX_EPOCH);
        while self.newest.get(1).is_some_and(|(time, _)| *time <= kept) {
            self.newest.pop_front();
        }
    }

    /// The newest revision of the last round by that time; 0: there was none.
    fn newest_at(&self, time: SystemTime) -> u64 {
        self.newest.iter().rev().find(|(at, _)| *at <= time).map_or(0, |(_, revision)| *revision)
    }
}

impl Registry {
    /// Drops history that is older than its class keeps, once a period, for ever: to be spawned by the owner. Ages come
    /// from the times in the log, so that restarts do not count.
    pub async fn compact_forever(self) {
        let mut rounds = Rounds::default();
        loop {
            self.compact(&mut rounds).await;
            self.env().sleep(COMPACTION_PERIOD).await;
        }
    }

    async fn compact(&self, rounds: &mut Rounds) {
        rounds.note(self.now(), self.revision());
        for class in [HistoryClass::Scant, HistoryClass::Usual, HistoryClass::Ample] {
            let Some(time) = self.now().checked_sub(class.retention()) else { continue };
            let revision = match self.inner.store.revision_at(time).await {
                Ok(revision) => revision.max(rounds.newest_at(time)),
                Err(error) => {
                    tracing::warn!(?class, %error, "how far history goes back could not be read");
                    continue;
                }
            };
            self.inner.floors.raise(class, revision);
            for (prefix, changed) in self.prefixes(class) {
                let floor = rounds.done.get(&prefix).copied().unwrap_or(0);
                // A prefix that has not changed since its last compaction has no history to drop.
                if revision <= floor || changed <= floor {
                    continue;
                }
                match self.inner.store.compact(&prefix, revision).await {
                    Ok(floor) => drop(rounds.done.insert(prefix, floor)),
                    // Nothing is lost by keeping more: the next round tries again.
                    Err(error) => tracing::warn!(prefix, revision, %error, "history could not be compacted"),
                }
            }
        }
    }

    /// The prefixes of a class, each with the revision of its last change.
    fn prefixes(&self, class: HistoryClass) -> Vec<(String, u64)> {
        let table = self.table();
        let changed = |prefix: &str| self.inner.watch.snapshot(prefix).map_or(0, |snapshot| snapshot.changed);
        let rows: Vec<_> = table.all().filter(|row| is_storage(row)).collect();
        let of_class = rows.iter().filter(|row| row.history == class).map(|row| storage_prefix(row));
        let mut prefixes: Vec<(String, u64)> = of_class.map(|prefix| (prefix.clone(), changed(&prefix))).collect();
        if class == HistoryClass::Scant {
            // Past holders of an item are not asked for; items change with the objects that hold them.
            let holders = rows.iter().filter(|row| row.strategy.allocator().is_some());
            let last = holders.map(|row| changed(&storage_prefix(row))).max();
            prefixes.extend(last.map(|last| (ALLOCATIONS.to_owned(), last)));
        }
        prefixes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocate::Allocator;
    use crate::error::Error;
    use crate::kinds::ServiceAllocator;
    use crate::options::ListOptions;
    use crate::{Config, Resource, ResourceTable, Strategy};
    use sampan_env::{Env, Tasks};
    use sampan_store::memory::MemoryStore;
    use sampan_store::{Op, Store, Txn, Writer};
    use std::sync::Arc;
    use std::time::Duration;

    struct Doors;

    impl Strategy for Doors {
        fn allocator(&self) -> Option<&dyn Allocator> {
            Some(&ServiceAllocator)
        }
    }

    /// Every hour a server is started anew, and still each class loses what is older than it keeps.
    #[tokio::test(start_paused = true)]
    async fn history_goes_when_it_is_old_whoever_wrote_it() {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH + 1000 * HOUR);
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let rows = [
            Resource::new("", "v1", "scants", "Scant").history(HistoryClass::Scant),
            Resource::new("", "v1", "usuals", "Usual").history(HistoryClass::Usual),
            Resource::new("", "v1", "amples", "Ample").history(HistoryClass::Ample),
            Resource::new("", "v1", "doors", "Door").history(HistoryClass::Ample).strategy(Doors),
        ];
        let prefixes = ["scants", "usuals", "amples", "doors"].map(|rows| format!("/registry/core/{rows}/"));
        let table = Arc::new(ResourceTable::new(rows).expect("a table"));
        let mut revisions = Vec::new();
        for _ in 0..30 {
            let value = r#"{"apiVersion":"v1","kind":"K","metadata":{}}"#;
            let puts = prefixes.iter().map(|prefix| Op::put(format!("{prefix}a"), value));
            let ops = puts.chain([Op::put("/allocations/nodeports/30000", "x")]).collect();
            let txn = Txn { compares: Vec::new(), ops, writer: Writer::default() };
            revisions.push(store.txn(txn).await.expect("nothing to refuse").revision);
            tokio::time::advance(HOUR).await;
            let config = Config::new(store.clone(), env.clone(), table.clone());
            let registry = Registry::open(config).await.expect("opens");
            registry.compact(&mut Rounds::default()).await;
        }
        let (last, day) = (revisions[29], revisions[30 - 24]);
        for (prefix, expected) in prefixes.iter().zip([last, last, day, day]) {
            assert_eq!(store.floor(prefix).await, Ok(expected), "{prefix}");
        }
        assert_eq!(store.floor(ALLOCATIONS).await, Ok(last));
    }

    /// A list that was begun before what its class keeps is over, though nothing of its kind has changed: a client sees an
    /// inconsistent rest, and that it is one.
    #[tokio::test(start_paused = true)]
    async fn a_list_goes_on_as_long_as_its_class_keeps_history() {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let row = Resource::new("", "v1", "usuals", "Usual").history(HistoryClass::Usual);
        let table = Arc::new(ResourceTable::new([row.clone()]).expect("a table"));
        let put = async |key: &str| {
            let value = r#"{"apiVersion":"v1","kind":"Usual","metadata":{}}"#;
            let ops = vec![Op::put(format!("/registry/core/usuals/{key}"), value)];
            store.txn(Txn { compares: Vec::new(), ops, writer: Writer::default() }).await.expect("nothing to refuse");
        };
        for name in ["n/a", "n/b", "n/c"] {
            put(name).await;
        }
        let registry = Registry::open(Config::new(store.clone(), env.clone(), table)).await.expect("opens");
        let page = async |token: &str| {
            let options = ListOptions { limit: 1, continue_token: token.to_owned(), ..ListOptions::default() };
            registry.list(&row, "n", &options).await
        };
        let first = page("").await.expect("a page").continue_token.expect("more");
        tokio::time::advance(HistoryClass::Usual.retention() + Duration::from_secs(1)).await;
        registry.compact(&mut Rounds::default()).await;
        page(&first).await.expect("nothing was written since");
        store
            .txn(Txn {
                compares: Vec::new(),
                ops: vec![Op::put("/registry/core/others/x", "{}")],
                writer: Writer::default(),
            })
            .await
            .expect("nothing to refuse");
        tokio::time::advance(HistoryClass::Usual.retention() + Duration::from_secs(1)).await;
        registry.compact(&mut Rounds::default()).await;
        let Err(Error::ContinueExpired { token }) = page(&first).await else { panic!("it goes on") };
        let rest = page(&token).await.expect("the rest");
        assert_eq!((&*rest.items[0].key.name, rest.remaining), ("b", Some(1)));
    }
    /// What keeps the log going in a quiet cluster is soon compacted itself: a list is over all the same.
    #[tokio::test(start_paused = true)]
    async fn a_list_is_over_where_little_but_leases_is_written() {
        let env = Env::simulated(1, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
        let store = Arc::new(MemoryStore::new(env.clone(), &Tasks::new("test")));
        let usual = Resource::new("", "v1", "usuals", "Usual").history(HistoryClass::Usual);
        let scant = Resource::new("", "v1", "scants", "Scant").history(HistoryClass::Scant);
        let table = Arc::new(ResourceTable::new([usual.clone(), scant]).expect("a table"));
        let put = async |key: &str| {
            let value = r#"{"apiVersion":"v1","kind":"K","metadata":{}}"#;
            let ops = vec![Op::put(format!("/registry/core/{key}"), value)];
            store.txn(Txn { compares: Vec::new(), ops, writer: Writer::default() }).await.expect("nothing to refuse");
        };
        for key in ["usuals/n/a", "usuals/n/b", "scants/n/a"] {
            put(key).await;
        }
        let registry = Registry::open(Config::new(store.clone(), env.clone(), table)).await.expect("opens");
        let page = async |token: &str| {
            let options = ListOptions { limit: 1, continue_token: token.to_owned(), ..ListOptions::default() };
            registry.list(&usual, "n", &options).await
        };
        let first = page("").await.expect("a page").continue_token.expect("more");
        let mut rounds = Rounds::default();
        let minutes = HistoryClass::Usual.retention().as_secs() / COMPACTION_PERIOD.as_secs();
        for _ in 0..minutes {
            registry.compact(&mut rounds).await;
            page(&first).await.expect("it is not old yet");
            put("scants/n/a").await;
            tokio::time::advance(COMPACTION_PERIOD).await;
        }
        for _ in 0..2 {
            registry.compact(&mut rounds).await;
            put("scants/n/a").await;
            tokio::time::advance(COMPACTION_PERIOD).await;
        }
        assert!(matches!(page(&first).await, Err(Error::ContinueExpired { .. })));
    }
}
