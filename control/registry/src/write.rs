//! The part that all writes share: one transaction of the object's key and of the items that an allocator takes or
//! gives back.

use crate::allocate::{Claim, Draws, Taken};
use crate::error::Error;
use crate::options::Caller;
use crate::registry::{Place, Registry, store_writer};
use crate::resource::{Body, Resource};
use crate::strategy::Generation;
use sampan_api::admission::Charge;
use sampan_api::object::Object;
use sampan_api::record::{Record, Writer};
use sampan_store::{Compare, LeaseId, Op, Payload, Txn};
use sampan_watch::Draft;
use std::sync::Arc;

/// The outcome of a transaction that did not fail.
pub(crate) enum Commit {
    Done(Arc<Record>),
    /// Another write came first; its revision, or 0 for a deletion.
    Lost(u64),
    /// An item that was drawn from a pool is taken: draw again.
    Taken(String),
    /// What the write is charged to was written by somebody else: charge again.
    Uncharged,
}

/// What goes with an object into its transaction.
#[derive(Default)]
pub(crate) struct Put<'a> {
    pub(crate) claims: Vec<Taken>,
    pub(crate) charges: &'a [Charge],
}

impl Registry {
    /// Puts the object where `expected` (0: nothing) is now. The record is that of the stored version.
    pub(crate) async fn put(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        key: &str,
        expected: u64,
        draft: Draft,
        with: Put<'_>,
    ) -> Result<Commit, Error> {
        let sealed = self.seal(place, draft.json.clone())?;
        let draft = Arc::new(draft);
        let payload: Payload = draft.clone();
        let key: Arc<str> = key.into();
        let lease = self.lease_of(place.storage).await?;
        let put = Op::Put { key: key.clone(), value: sealed, payload: Some(payload), lease };
        self.commit(caller, place, key, expected, put, with).await
    }

    /// Deletes the object of revision `expected`. The record is the last state under the deletion's revision.
    pub(crate) async fn remove(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        key: &str,
        current: &Record,
        writer: &Arc<Writer>,
    ) -> Result<Commit, Error> {
        let claims = match place.storage.strategy.allocator() {
            None => Vec::new(),
            Some(allocator) => Taken::released(allocator.plan(None, Some(&current.object()))),
        };
        let last = self.seal(place, current.json.clone())?;
        let key: Arc<str> = key.into();
        let payload: Payload = writer.clone();
        let delete = Op::Delete { key: key.clone(), payload: Some(payload), last: Some(last) };
        let with = Put { claims, charges: &[] };
        self.commit(caller, place, key, current.mod_revision, delete, with).await
    }

    async fn commit(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        key: Arc<str>,
        expected: u64,
        op: Op,
        with: Put<'_>,
    ) -> Result<Commit, Error> {
        let mut txn = Txn {
            compares: vec![Compare::ModRevision { key: key.clone(), equals: expected }],
            ops: vec![op],
            writer: store_writer(caller),
        };
        for claim in with.claims {
            match claim {
                Taken::Take { key: item, .. } => {
                    txn.compares.push(Compare::absent(item.clone()));
                    txn.ops.push(Op::put(item, key.as_bytes().to_vec()));
                }
                Taken::Release { key: item } => {
                    // Only what is this object's: what another holds, by whatever history, is not given away.
                    let held = self.inner.store.get(&item, None).await?;
                    if let Some(entry) = held.filter(|entry| *entry.value == *key.as_bytes()) {
                        txn.compares.push(Compare::ModRevision { key: item.clone(), equals: entry.mod_revision });
                        txn.ops.push(Op::Delete { key: item, payload: None, last: Some(entry.value) });
                    }
                }
            }
        }
        let mut charged = Vec::with_capacity(with.charges.len());
        for charge in with.charges {
            charged.push(self.add_charge(caller, charge, &mut txn)?);
        }
        match self.inner.store.txn(txn).await {
            Ok(committed) => {
                let event = committed.events.iter().find(|event| event.entry.key == key);
                let event = event.ok_or_else(|| Error::Internal(format!("the write of {key} made no event")))?;
                Ok(Commit::Done(Arc::new(self.inner.watch.record(&place.prefix, &event.entry)?)))
            }
            Err(sampan_store::Error::Conflict { key: at, actual_mod_revision }) if *at == *key => {
                Ok(Commit::Lost(actual_mod_revision))
            }
            Err(sampan_store::Error::Conflict { key: at, .. }) if charged.iter().any(|key| **key == *at) => {
                Ok(Commit::Uncharged)
            }
            Err(sampan_store::Error::Conflict { key: at, .. }) => Ok(Commit::Taken(at)),
            Err(error) => Err(error.into()),
        }
    }

    /// The lease that a write of the row's objects hangs on; `None`: they stay until they are deleted. It lives by as much
    /// longer as it is shared, so that no object goes before its time.
    pub(crate) async fn lease_of(&self, row: &Resource) -> Result<Option<LeaseId>, Error> {
        let Some(lifetime) = row.lifetime else { return Ok(None) };
        let now = self.inner.env.instant();
        if let Some(id) = self.inner.lifetimes.take(lifetime, now) {
            return Ok(Some(id));
        }
        let id = self.inner.store.lease_grant(lifetime + crate::limits::LEASE_SHARED_FOR, None).await?;
        self.inner.lifetimes.share(lifetime, id, now);
        Ok(Some(id))
    }

    /// Waits until reads show the write that won.
    pub(crate) async fn see(&self, winner: u64) -> Result<(), Error> {
        if winner == 0 {
            // A deletion has no revision here; it is a moment away.
            self.inner.env.sleep(crate::limits::UPDATE_BACKOFF).await;
            return self.catch_up().await;
        }
        Ok(self.inner.watch.wait_until(winner).await?)
    }

    /// The items that the object's allocator takes and gives back with this write; free choices are drawn, and set in
    /// the object. One that is taken is refused here, before anything else of the object is looked at, and again by the write.
    pub(crate) async fn claims(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        object: &mut Object,
        old: Option<&Object>,
        refused: &[String],
    ) -> Result<Vec<Taken>, Error> {
        let Some(allocator) = place.storage.strategy.allocator() else { return Ok(Vec::new()) };
        let errors = allocator.check(&self.inner.gates, object, old);
        if !errors.is_empty() {
            return Err(Error::invalid(place.storage, object.name(), errors));
        }
        let plan = allocator.plan(Some(object), old);
        let mut taken = Vec::with_capacity(plan.len());
        let mut draws = Draws::default();
        for claim in plan {
            match claim {
                Claim::Release { pool, item } => taken.push(Taken::release(pool, &item)),
                Claim::Take { pool, item, path, shown } => {
                    let kind = self.pool(pool)?;
                    let claim = Taken::item(&kind, pool, &item, &path, shown);
                    let claim = claim.map_err(|error| Error::invalid(place.storage, object.name(), error))?;
                    let asked = !caller.dry_run || kind.tells_dry_runs();
                    if let Taken::Take { key, refusal: Some(refusal) } = &claim
                        && (!draws.insert(key.clone())
                            || refused.iter().any(|refused| **refused == **key)
                            || (asked && self.inner.store.get(key, None).await?.is_some()))
                    {
                        let errors = [refusal.clone()].into_iter().collect();
                        return Err(Error::invalid(place.storage, object.name(), errors));
                    }
                    taken.push(claim);
                }
                Claim::TakeAny { pool, set } => {
                    let item = self.draw(pool, refused, &mut draws).await?;
                    set(object, &item);
                    taken.push(Taken::drawn(pool, &item));
                }
            }
        }
        Ok(taken)
    }
}

/// Applies the kind's rule of counting: 1 at the creation.
pub(crate) fn count_creation(row: &Resource, object: &mut Object) {
    if !matches!(row.strategy.generation(), Generation::Uncounted | Generation::Changes) {
        object.set_meta("generation", 1);
    }
}

/// One more than `old`'s where the kind counts this change; otherwise the same as before.
pub(crate) fn count_update(row: &Resource, object: &mut Object, old: &Object, subresource: &str) {
    // Go's binding writes past the strategy.
    let counted = !matches!(subresource, "status" | "binding")
        && match row.strategy.generation() {
            Generation::Uncounted | Generation::Constant => false,
            Generation::Spec | Generation::AsSent | Generation::Changes => object.get(&["spec"]) != old.get(&["spec"]),
            Generation::By(changed) => changed(object, old),
        };
    match (counted, old.metadata().get("generation")) {
        (true, _) => object.set_meta("generation", old.generation().saturating_add(1)),
        (false, Some(generation)) => object.set_meta("generation", generation.clone()),
        (false, None) => drop(object.metadata_mut().remove("generation")),
    }
}

/// Refuses writes to rows that store nothing.
pub(crate) fn require_stored(row: &Resource) -> Result<(), Error> {
    match row.body {
        Body::Stored => Ok(()),
        Body::Action(_) => Err(Error::Internal(format!("{row:?} is an action: nothing of it is stored"))),
    }
}
