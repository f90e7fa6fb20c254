//! Writes that go with a write: admission names them, and they are in its transaction.

use crate::allocate::Taken;
use crate::error::Error;
use crate::limits::UPDATE_ATTEMPTS_MAX;
use crate::options::Caller;
use crate::registry::{Place, Registry, writer};
use crate::shapes::{self, ManagedWrite};
use crate::versions;
use crate::write::{Commit, Put};
use sampan_api::admission::{Attributes, Charge};
use sampan_api::object::Object;
use sampan_api::{Status, time};
use sampan_store::{Compare, Op, Payload, Txn};
use std::sync::Arc;

/// The manager of what admission writes, as kube-apiserver calls itself.
const MANAGER: &str = "kube-apiserver";

/// An object that is about to be written, as admission is asked what it is charged: in the version that is stored, as is
/// what it replaces.
pub(crate) struct Admitted<'a> {
    pub(crate) attributes: Attributes<'a>,
    pub(crate) object: &'a Object,
    /// Bytes that it may take, to be allotted at once.
    pub(crate) size: usize,
}

impl Registry {
    /// Asks what the write is charged, and charges nothing: a dry run's part. Errors: admission's.
    pub(crate) async fn chargeable(&self, caller: &Caller<'_>, admitted: &Admitted<'_>) -> Result<(), Error> {
        caller.admission.charge(&admitted.attributes, admitted.object).await?;
        Ok(())
    }

    /// Puts the object where `expected` (0: nothing) is now, and with it what admission charges for it: again, as long as
    /// another write changes what is charged in the meantime. Errors: admission's, the store's.
    pub(crate) async fn put_charged(
        &self,
        caller: &Caller<'_>,
        place: &Place<'_>,
        admitted: &Admitted<'_>,
        key: &str,
        expected: u64,
        claims: Vec<Taken>,
    ) -> Result<Commit, Error> {
        let writer = writer(caller);
        for _ in 0..UPDATE_ATTEMPTS_MAX {
            let charges = caller.admission.charge(&admitted.attributes, admitted.object).await?;
            let draft = self.draft(place, admitted.object, &writer, admitted.size)?;
            let put = Put { claims: claims.clone(), charges: &charges.writes };
            let commit = self.put(caller, place, key, expected, draft, put).await?;
            // Until here others who would charge the same wait.
            drop(charges.turn);
            match commit {
                Commit::Uncharged => {}
                done => return Ok(done),
            }
        }
        let resource = place.storage.group_resource();
        let why = "what it is charged to keeps being changed by others";
        Err(Status::conflict(&resource, admitted.object.name(), why).into())
    }

    /// Adds a charge to the transaction; the key of what is charged.
    pub(crate) fn add_charge(&self, caller: &Caller<'_>, charge: &Charge, txn: &mut Txn) -> Result<Arc<str>, Error> {
        let table = self.inner.table.load();
        let row = table.of_resource(&charge.resource);
        let row = row.ok_or_else(|| Error::Internal(format!("{} is charged and not served", charge.resource)))?;
        let place = self.place(&table, row, &charge.current.key.namespace)?;
        let mut object = charge.object.clone();
        object.metadata_mut().remove("resourceVersion");
        let time = time::rfc3339(self.now());
        let write = ManagedWrite { manager: MANAGER, subresource: "status", time: &time };
        shapes::track_managers(
            row,
            Some(&charge.current.object()),
            &mut object,
            &write,
            &*versions::of_row(&table, row),
        );
        let draft = self.draft(&place, &object, &writer(caller), charge.current.json.len() + 64)?;
        let key: Arc<str> = place.key(&charge.current.key.name).into();
        let value = self.seal(&place, draft.json.clone())?;
        let payload: Payload = Arc::new(draft);
        txn.compares.push(Compare::ModRevision { key: key.clone(), equals: charge.current.mod_revision });
        txn.ops.push(Op::Put { key: key.clone(), value, payload: Some(payload), lease: None });
        Ok(key)
    }
}
