//! Outgoing HTTP of a guest: requests, answers and their bodies.

use super::super::buy;
use super::super::stream::WithCharge;
use super::{PaidHttpView, charge_writes, content};
use crate::memory::Charge;
use crate::prices::{Kind, OUTGOING_CONNECTION};
use http_body_util::BodyExt;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Method, Scheme, StatusCode, Trailers};
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostOutgoingRequest, HostOutgoingResponse, HostResponseOutparam,
};
use wasmtime_wasi_http::p2::{HttpError, HttpResult};
use wasmtime_wasi_http::{FieldMap, RequestOptions, WasiBody, WasiHttpCtxView};

impl PaidHttpView<'_> {
    /// Sets a string of `new` bytes in the resource at `rep` in the place of one of `old` bytes.
    fn replacing(
        &mut self,
        rep: u32,
        old: usize,
        new: usize,
        set: impl FnOnce(&mut Self) -> Result<Result<(), ()>>,
    ) -> Result<Result<(), ()>> {
        self.mem.charge(new as u64)?;
        let done = set(self);
        if matches!(done, Ok(Ok(()))) {
            let cost = self.mem.cost(rep) + new as u64 - old as u64;
            self.mem.assign(rep, new as u64);
            self.mem.set_cost(rep, cost)?;
        } else {
            self.mem.refund(new as u64);
        }
        done
    }

    /// A body's two ends: the stream's in the table, and the other one, which `other` gives, with its own charge.
    fn body_made(
        &mut self,
        made: Option<u32>,
        other: impl FnOnce(&mut ResourceTable) -> Result<&mut Option<WasiBody>>,
    ) -> Result<()> {
        let Some(rep) = made else { return Ok(()) };
        let charge = Arc::new(Charge::none(self.mem.pod()));
        let slot = other(self.table)?;
        *slot = slot.take().map(|body| WithCharge { body, _charge: charge.clone() }.boxed_unsync());
        self.account.bodies.insert(rep, charge);
        Ok(())
    }
}

/// The length of what a guest names itself.
fn named(method: &Method) -> usize {
    if let Method::Other(name) = method { name.len() } else { 0 }
}

fn scheme_named(scheme: Option<&Scheme>) -> usize {
    if let Some(Scheme::Other(name)) = scheme { name.len() } else { 0 }
}

impl types::HostOutgoingRequest for PaidHttpView<'_> {
    as_it_is! { types::HostOutgoingRequest:
        fn method(HostOutgoingRequest) -> Result<Method>;
        fn path_with_query(HostOutgoingRequest) -> Result<Option<String>>;
        fn scheme(HostOutgoingRequest) -> Result<Option<Scheme>>;
        fn authority(HostOutgoingRequest) -> Result<Option<String>>;
    }
    given_back! { types::HostOutgoingRequest: HostOutgoingRequest }

    fn new(&mut self, headers: Resource<FieldMap>) -> Result<Resource<HostOutgoingRequest>> {
        self.made_of(headers.rep(), Kind::OutgoingRequest, |view| {
            types::HostOutgoingRequest::new(&mut view.inner(), headers)
        })
    }

    fn body(&mut self, this: Resource<HostOutgoingRequest>) -> Result<Result<Resource<HostOutgoingBody>, ()>> {
        let request = Resource::<HostOutgoingRequest>::new_borrow(this.rep());
        let made = buy(self, Kind::OutgoingBody, |view| types::HostOutgoingRequest::body(&mut view.inner(), this))?;
        let rep = made.as_ref().ok().map(Resource::rep);
        self.body_made(rep, |table| Ok(&mut table.get_mut(&request)?.body))?;
        Ok(made)
    }

    fn headers(&mut self, this: Resource<HostOutgoingRequest>) -> Result<Resource<FieldMap>> {
        let bytes = content(&self.table.get(&this)?.headers);
        self.fields_of(bytes, |view| types::HostOutgoingRequest::headers(&mut view.inner(), this))
    }

    fn set_method(&mut self, this: Resource<HostOutgoingRequest>, method: Method) -> Result<Result<(), ()>> {
        let old = named(&self.table.get(&this)?.method);
        self.replacing(this.rep(), old, named(&method), |view| {
            types::HostOutgoingRequest::set_method(&mut view.inner(), this, method)
        })
    }

    fn set_path_with_query(
        &mut self,
        this: Resource<HostOutgoingRequest>,
        path: Option<String>,
    ) -> Result<Result<(), ()>> {
        let old = self.table.get(&this)?.path_with_query.as_ref().map_or(0, String::len);
        self.replacing(this.rep(), old, path.as_ref().map_or(0, String::len), |view| {
            types::HostOutgoingRequest::set_path_with_query(&mut view.inner(), this, path)
        })
    }

    fn set_scheme(&mut self, this: Resource<HostOutgoingRequest>, scheme: Option<Scheme>) -> Result<Result<(), ()>> {
        let old = scheme_named(self.table.get(&this)?.scheme.as_ref());
        self.replacing(this.rep(), old, scheme_named(scheme.as_ref()), |view| {
            types::HostOutgoingRequest::set_scheme(&mut view.inner(), this, scheme)
        })
    }

    fn set_authority(
        &mut self,
        this: Resource<HostOutgoingRequest>,
        authority: Option<String>,
    ) -> Result<Result<(), ()>> {
        let old = self.table.get(&this)?.authority.as_ref().map_or(0, String::len);
        self.replacing(this.rep(), old, authority.as_ref().map_or(0, String::len), |view| {
            types::HostOutgoingRequest::set_authority(&mut view.inner(), this, authority)
        })
    }
}

impl types::HostResponseOutparam for PaidHttpView<'_> {
    given_back! { types::HostResponseOutparam: HostResponseOutparam }

    fn set(
        &mut self,
        this: Resource<HostResponseOutparam>,
        response: std::result::Result<Resource<HostOutgoingResponse>, ErrorCode>,
    ) -> Result<()> {
        let rep = this.rep();
        if let Ok(response) = &response {
            // Its head is the client's connection's from now on, and lives as long as the body.
            let held = self.mem.unassign(response.rep());
            let body = &mut self.table.get_mut(response)?.body;
            match body.take() {
                Some(inner) => {
                    let charge = Arc::new(Charge::none(self.mem.pod()));
                    charge.adopt(self.mem, held);
                    *body = Some(WithCharge { body: inner, _charge: charge }.boxed_unsync());
                }
                None => self.mem.refund(held),
            }
        }
        types::HostResponseOutparam::set(&mut self.inner(), this, response)?;
        self.mem.dropped(rep);
        Ok(())
    }

    fn send_informational(
        &mut self,
        this: Resource<HostResponseOutparam>,
        status: u16,
        headers: Resource<FieldMap>,
    ) -> HttpResult<()> {
        types::HostResponseOutparam::send_informational(&mut self.inner(), this, status, headers)
    }
}

impl types::HostOutgoingResponse for PaidHttpView<'_> {
    as_it_is! { types::HostOutgoingResponse:
        fn status_code(HostOutgoingResponse) -> Result<StatusCode>;
        fn set_status_code(HostOutgoingResponse, status: StatusCode) -> Result<Result<(), ()>>;
    }
    given_back! { types::HostOutgoingResponse: HostOutgoingResponse }

    fn new(&mut self, headers: Resource<FieldMap>) -> Result<Resource<HostOutgoingResponse>> {
        self.made_of(headers.rep(), Kind::OutgoingResponse, |view| {
            types::HostOutgoingResponse::new(&mut view.inner(), headers)
        })
    }

    fn body(&mut self, this: Resource<HostOutgoingResponse>) -> Result<Result<Resource<HostOutgoingBody>, ()>> {
        let response = Resource::<HostOutgoingResponse>::new_borrow(this.rep());
        let made = buy(self, Kind::OutgoingBody, |view| types::HostOutgoingResponse::body(&mut view.inner(), this))?;
        let rep = made.as_ref().ok().map(Resource::rep);
        self.body_made(rep, |table| Ok(&mut table.get_mut(&response)?.body))?;
        Ok(made)
    }

    fn headers(&mut self, this: Resource<HostOutgoingResponse>) -> Result<Resource<FieldMap>> {
        let bytes = content(&self.table.get(&this)?.headers);
        self.fields_of(bytes, |view| types::HostOutgoingResponse::headers(&mut view.inner(), this))
    }
}

impl types::HostOutgoingBody for PaidHttpView<'_> {
    fn write(&mut self, this: Resource<HostOutgoingBody>) -> Result<Result<Resource<DynOutputStream>, ()>> {
        let made = buy(self, Kind::OutputStream, |view| types::HostOutgoingBody::write(&mut view.inner(), this))?;
        if let Ok(stream) = &made {
            charge_writes(self.table, stream, self.mem)?;
        }
        Ok(made)
    }

    fn finish(&mut self, this: Resource<HostOutgoingBody>, trailers: Option<Resource<Trailers>>) -> HttpResult<()> {
        let rep = this.rep();
        let charge = self.account.bodies.remove(&rep);
        if let Some(trailers) = &trailers {
            // They wait at the body's other end.
            self.account.slots.remove(&trailers.rep());
            let held = self.mem.unassign(trailers.rep());
            match &charge {
                Some(charge) => charge.adopt(self.mem, held),
                None => self.mem.refund(held),
            }
        }
        let finished = types::HostOutgoingBody::finish(&mut self.inner(), this, trailers);
        self.mem.dropped(rep);
        finished
    }

    fn drop(&mut self, this: Resource<HostOutgoingBody>) -> Result<()> {
        let rep = this.rep();
        types::HostOutgoingBody::drop(&mut self.inner(), this)?;
        self.account.bodies.remove(&rep);
        self.mem.dropped(rep);
        Ok(())
    }
}

impl outgoing_handler::Host for PaidHttpView<'_> {
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> HttpResult<Resource<HostFutureIncomingResponse>> {
        // Of the connection's buffers, which are there until its driver ends.
        let connection = Charge::new(self.mem.pod(), OUTGOING_CONNECTION).map_err(HttpError::trap)?;
        self.outgoing.next_costs(Some(connection));
        let sent = self.made_of(request.rep(), Kind::FutureIncomingResponse, |view| {
            outgoing_handler::Host::handle(&mut view.inner(), request, options)
        });
        self.outgoing.next_costs(None);
        sent
    }
}
