//! `wasi:http`: fields by their content, requests by their strings, bodies by what was written and not taken yet, and a
//! connection for each request that is sent.

/// The engine's own, which makes nothing.
macro_rules! as_it_is {
    ($host:path: $(fn $name:ident($this:ty $(, $arg:ident: $ty:ty)*) -> $answer:ty;)*) => {$(
        fn $name(&mut self, this: Resource<$this> $(, $arg: $ty)*) -> $answer {
            <WasiHttpCtxView<'_> as $host>::$name(&mut self.inner(), this $(, $arg)*)
        }
    )*};
}

/// The engine's own, and what it cost is given back.
macro_rules! given_back {
    ($host:path: $this:ty) => {
        fn drop(&mut self, this: Resource<$this>) -> Result<()> {
            let rep = this.rep();
            <WasiHttpCtxView<'_> as $host>::drop(&mut self.inner(), this)?;
            self.mem.dropped(rep);
            Ok(())
        }
    };
}

mod fields;
mod incoming;
mod outgoing;

use super::stream::charged_stream;
use super::{Payer, buy};
use crate::memory::{Charge, StoreMem};
use crate::prices::{FIELD_SLOT, Kind};
use http::HeaderMap;
use std::collections::HashMap;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Scheme};
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::p2::{HeaderError, HttpError};
use wasmtime_wasi_http::{FieldMap, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks};

/// State that the accounts of one store's HTTP resources need beside their costs.
#[derive(Debug, Default)]
pub(crate) struct HttpAccount {
    /// The charge that travels with the other end of an outgoing body, by the body's place in the table.
    bodies: HashMap<u32, Arc<Charge>>,
    /// The most values that mutable fields ever had, by their place in the table.
    slots: HashMap<u32, u64>,
}

/// A sender of requests.
pub(crate) trait Outgoing: WasiHttpHooks {
    /// The cost of the next request's connection; None takes back an unused one.
    fn next_costs(&mut self, connection: Option<Charge>);
}

/// Names [`PaidHttpView`] to the linker.
pub(crate) struct PaidHttp;

/// A store's HTTP, and the ledger that its resources are charged to.
pub(crate) struct PaidHttpView<'a> {
    pub(crate) outgoing: &'a mut dyn Outgoing,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) ctx: &'a mut WasiHttpCtx,
    pub(crate) mem: &'a mut StoreMem,
    pub(crate) account: &'a mut HttpAccount,
}

impl HasData for PaidHttp {
    type Data<'a> = PaidHttpView<'a>;
}

impl Payer for PaidHttpView<'_> {
    fn mem(&mut self) -> &mut StoreMem {
        self.mem
    }
}

/// The cost of a map's content, in bytes.
fn content(map: &HeaderMap) -> u64 {
    let bytes: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    bytes as u64 + map.len() as u64 * FIELD_SLOT
}

impl PaidHttpView<'_> {
    pub(crate) fn inner(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut *self.outgoing, table: self.table, ctx: self.ctx }
    }

    /// A view of headers that something else holds: it may outlive that.
    fn fields_of<E: super::Refusal>(
        &mut self,
        bytes: u64,
        make: impl FnOnce(&mut Self) -> Result<Resource<FieldMap>, E>,
    ) -> Result<Resource<FieldMap>, E> {
        self.mem.charge(bytes).map_err(E::of)?;
        let made = buy(self, Kind::Fields, make);
        match &made {
            Ok(fields) => self.mem.assign(fields.rep(), bytes),
            Err(_) => self.mem.refund(bytes),
        }
        made
    }

    /// Makes something of `kind` that takes over what the resource at `from` holds.
    fn made_of<T, E: super::Refusal>(
        &mut self,
        from: u32,
        kind: Kind,
        make: impl FnOnce(&mut Self) -> Result<Resource<T>, E>,
    ) -> Result<Resource<T>, E> {
        let held = self.mem.unassign(from);
        self.account.slots.remove(&from);
        let made = buy(self, kind, make);
        match &made {
            Ok(made) => self.mem.assign(made.rep(), held),
            Err(_) => self.mem.refund(held),
        }
        made
    }

    /// Puts a request and the place for its answer in the guest's table before its call.
    pub(crate) fn incoming<B>(
        &mut self,
        request: http::Request<B>,
        answer: impl FnOnce(std::result::Result<http::Response<WasiBody>, ErrorCode>) + Send + Sync + 'static,
    ) -> Result<(Resource<HostIncomingRequest>, Resource<HostResponseOutparam>)>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<wasmtime_wasi_http::Error>,
    {
        let head = content(request.headers()) + 2 * request.uri().to_string().len() as u64;
        self.mem.charge(head)?;
        let request =
            buy(self, Kind::IncomingRequest, |view| view.inner().new_incoming_request(Scheme::Http, request))?;
        self.mem.assign(request.rep(), head);
        let out = buy(self, Kind::ResponseOutparam, |view| view.inner().new_response_outparam_from_callback(answer))?;
        Ok((request, out))
    }
}

impl types::Host for PaidHttpView<'_> {
    fn convert_error_code(&mut self, error: HttpError) -> Result<ErrorCode> {
        types::Host::convert_error_code(&mut self.inner(), error)
    }
    fn convert_header_error(&mut self, error: HeaderError) -> Result<types::HeaderError> {
        types::Host::convert_header_error(&mut self.inner(), error)
    }
    fn http_error_code(&mut self, error: Resource<types::IoError>) -> Result<Option<ErrorCode>> {
        types::Host::http_error_code(&mut self.inner(), error)
    }
}

/// Has each write on a stream of the table charged.
pub(crate) fn charge_writes(
    table: &mut ResourceTable,
    stream: &Resource<DynOutputStream>,
    mem: &StoreMem,
) -> Result<()> {
    let slot = table.get_mut(stream)?;
    let inner = std::mem::replace(slot, Box::new(wasmtime_wasi::p2::pipe::SinkOutputStream));
    *slot = charged_stream(inner, mem.pod());
    Ok(())
}

type Timeout = Option<types::Duration>;

impl types::HostRequestOptions for PaidHttpView<'_> {
    as_it_is! { types::HostRequestOptions:
        fn connect_timeout(RequestOptions) -> Result<Timeout>;
        fn set_connect_timeout(RequestOptions, timeout: Timeout) -> Result<Result<(), ()>>;
        fn first_byte_timeout(RequestOptions) -> Result<Timeout>;
        fn set_first_byte_timeout(RequestOptions, timeout: Timeout) -> Result<Result<(), ()>>;
        fn between_bytes_timeout(RequestOptions) -> Result<Timeout>;
        fn set_between_bytes_timeout(RequestOptions, timeout: Timeout) -> Result<Result<(), ()>>;
    }
    given_back! { types::HostRequestOptions: RequestOptions }

    fn new(&mut self) -> Result<Resource<RequestOptions>> {
        buy(self, Kind::RequestOptions, |view| types::HostRequestOptions::new(&mut view.inner()))
    }
}
