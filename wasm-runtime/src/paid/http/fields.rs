//! Fields: their content, and a slot for each value that they ever had.

use super::super::buy;
use super::{PaidHttpView, content};
use crate::prices::{FIELD_SLOT, Kind};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types;
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult};
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView};

impl PaidHttpView<'_> {
    /// Charges a change of fields: at most `bytes` more in `values` more values.
    fn changing(
        &mut self,
        fields: &Resource<FieldMap>,
        bytes: usize,
        values: usize,
        change: impl FnOnce(&mut Self, Resource<FieldMap>) -> HeaderResult<()>,
    ) -> HeaderResult<()> {
        let rep = fields.rep();
        let reserved = bytes as u64 + values as u64 * FIELD_SLOT;
        self.mem.charge(reserved).map_err(HeaderError::trap)?;
        let done = change(self, Resource::new_borrow(rep));
        if done.is_err() {
            self.mem.refund(reserved);
            return done;
        }
        self.mem.assign(rep, reserved);
        let now = self.table.get(fields)?.len() as u64;
        let most = self.account.slots.entry(rep).or_default();
        // Of the slots only those beyond the most that there ever were are new.
        let new = now.saturating_sub(*most);
        *most = now.max(*most);
        let cost = self.mem.cost(rep) - values as u64 * FIELD_SLOT + new * FIELD_SLOT;
        self.mem.set_cost(rep, cost).map_err(HeaderError::trap)
    }

    /// Bytes of the values that `fields` have under `name`.
    fn bytes_under(&self, fields: &Resource<FieldMap>, name: &str) -> Result<u64> {
        let map = self.table.get(fields)?;
        let Ok(key) = http::HeaderName::from_bytes(name.as_bytes()) else { return Ok(0) };
        Ok(map.get_all(key).iter().map(|value| (name.len() + value.len()) as u64).sum())
    }

    /// Gives back what was removed from fields.
    fn removed(&mut self, rep: u32, bytes: u64) -> HeaderResult<()> {
        let cost = self.mem.cost(rep).saturating_sub(bytes).max(Kind::Fields.price());
        self.mem.set_cost(rep, cost).map_err(HeaderError::trap)
    }
}

impl types::HostFields for PaidHttpView<'_> {
    fn new(&mut self) -> Result<Resource<FieldMap>> {
        buy(self, Kind::Fields, |view| types::HostFields::new(&mut view.inner()))
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> HeaderResult<Resource<FieldMap>> {
        let values = entries.len() as u64;
        let bytes: usize = entries.iter().map(|(name, value)| name.len() + value.len()).sum();
        let made = self.fields_of(bytes as u64 + values * FIELD_SLOT, |view| {
            types::HostFields::from_list(&mut view.inner(), entries)
        })?;
        self.account.slots.insert(made.rep(), values);
        Ok(made)
    }

    fn set(&mut self, this: Resource<FieldMap>, name: String, values: Vec<Vec<u8>>) -> HeaderResult<()> {
        let gone = self.bytes_under(&this, &name).map_err(HeaderError::trap)?;
        let bytes = values.iter().map(|value| name.len() + value.len()).sum();
        self.changing(&this, bytes, values.len(), |view, this| {
            types::HostFields::set(&mut view.inner(), this, name, values)
        })?;
        self.removed(this.rep(), gone)
    }

    fn delete(&mut self, this: Resource<FieldMap>, name: String) -> HeaderResult<()> {
        let gone = self.bytes_under(&this, &name).map_err(HeaderError::trap)?;
        let rep = this.rep();
        types::HostFields::delete(&mut self.inner(), this, name)?;
        self.removed(rep, gone)
    }

    fn append(&mut self, this: Resource<FieldMap>, name: String, value: Vec<u8>) -> HeaderResult<()> {
        self.changing(&this, name.len() + value.len(), 1, |view, this| {
            types::HostFields::append(&mut view.inner(), this, name, value)
        })
    }

    fn clone(&mut self, this: Resource<FieldMap>) -> Result<Resource<FieldMap>> {
        let map = self.table.get(&this)?;
        let (bytes, values) = (content(map), map.len() as u64);
        let made = self.fields_of(bytes, |view| types::HostFields::clone(&mut view.inner(), this))?;
        self.account.slots.insert(made.rep(), values);
        Ok(made)
    }

    as_it_is! { types::HostFields:
        fn get(FieldMap, name: String) -> Result<Vec<Vec<u8>>>;
        fn has(FieldMap, name: String) -> Result<bool>;
        fn entries(FieldMap) -> Result<Vec<(String, Vec<u8>)>>;
    }

    fn drop(&mut self, this: Resource<FieldMap>) -> Result<()> {
        let rep = this.rep();
        types::HostFields::drop(&mut self.inner(), this)?;
        self.account.slots.remove(&rep);
        self.mem.dropped(rep);
        Ok(())
    }
}
