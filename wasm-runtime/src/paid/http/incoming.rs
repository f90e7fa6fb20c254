//! Incoming HTTP of a guest: requests, answers, their bodies and trailers.

use super::super::buy;
use super::{PaidHttpView, content};
use crate::prices::Kind;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynPollable};
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Method, Scheme, StatusCode, Trailers};
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostIncomingBody};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostIncomingRequest, HostIncomingResponse};
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView};

impl types::HostIncomingRequest for PaidHttpView<'_> {
    as_it_is! { types::HostIncomingRequest:
        fn method(HostIncomingRequest) -> Result<Method>;
        fn path_with_query(HostIncomingRequest) -> Result<Option<String>>;
        fn scheme(HostIncomingRequest) -> Result<Option<Scheme>>;
        fn authority(HostIncomingRequest) -> Result<Option<String>>;
    }
    given_back! { types::HostIncomingRequest: HostIncomingRequest }

    fn headers(&mut self, this: Resource<HostIncomingRequest>) -> Result<Resource<FieldMap>> {
        // The map cannot be reached from here: the request's own cost bounds it.
        let bytes = self.mem.cost(this.rep());
        self.fields_of(bytes, |view| types::HostIncomingRequest::headers(&mut view.inner(), this))
    }

    fn consume(&mut self, this: Resource<HostIncomingRequest>) -> Result<Result<Resource<HostIncomingBody>, ()>> {
        buy(self, Kind::IncomingBody, |view| types::HostIncomingRequest::consume(&mut view.inner(), this))
    }
}

impl types::HostIncomingResponse for PaidHttpView<'_> {
    as_it_is! { types::HostIncomingResponse:
        fn status(HostIncomingResponse) -> Result<StatusCode>;
    }
    given_back! { types::HostIncomingResponse: HostIncomingResponse }

    fn headers(&mut self, this: Resource<HostIncomingResponse>) -> Result<Resource<FieldMap>> {
        let bytes = content(&self.table.get(&this)?.headers);
        self.fields_of(bytes, |view| types::HostIncomingResponse::headers(&mut view.inner(), this))
    }

    fn consume(&mut self, this: Resource<HostIncomingResponse>) -> Result<Result<Resource<HostIncomingBody>, ()>> {
        buy(self, Kind::IncomingBody, |view| types::HostIncomingResponse::consume(&mut view.inner(), this))
    }
}

type TrailersAnswer = Option<std::result::Result<std::result::Result<Option<Resource<Trailers>>, ErrorCode>, ()>>;
type ResponseAnswer = Option<std::result::Result<std::result::Result<Resource<HostIncomingResponse>, ErrorCode>, ()>>;

impl types::HostFutureTrailers for PaidHttpView<'_> {
    given_back! { types::HostFutureTrailers: HostFutureTrailers }

    fn subscribe(&mut self, this: Resource<HostFutureTrailers>) -> Result<Resource<DynPollable>> {
        buy(self, Kind::Pollable, |view| types::HostFutureTrailers::subscribe(&mut view.inner(), this))
    }

    fn get(&mut self, this: Resource<HostFutureTrailers>) -> Result<TrailersAnswer> {
        let answer = buy(self, Kind::Fields, |view| types::HostFutureTrailers::get(&mut view.inner(), this))?;
        if let Some(Ok(Ok(Some(fields)))) = &answer {
            let bytes = content(self.table.get(fields)?);
            self.mem.charge(bytes)?;
            self.mem.assign(fields.rep(), bytes);
        }
        Ok(answer)
    }
}

impl types::HostIncomingBody for PaidHttpView<'_> {
    given_back! { types::HostIncomingBody: HostIncomingBody }

    fn stream(&mut self, this: Resource<HostIncomingBody>) -> Result<Result<Resource<DynInputStream>, ()>> {
        buy(self, Kind::InputStream, |view| types::HostIncomingBody::stream(&mut view.inner(), this))
    }

    fn finish(&mut self, this: Resource<HostIncomingBody>) -> Result<Resource<HostFutureTrailers>> {
        self.made_of(this.rep(), Kind::FutureTrailers, |view| types::HostIncomingBody::finish(&mut view.inner(), this))
    }
}

impl types::HostFutureIncomingResponse for PaidHttpView<'_> {
    given_back! { types::HostFutureIncomingResponse: HostFutureIncomingResponse }

    fn subscribe(&mut self, this: Resource<HostFutureIncomingResponse>) -> Result<Resource<DynPollable>> {
        buy(self, Kind::Pollable, |view| types::HostFutureIncomingResponse::subscribe(&mut view.inner(), this))
    }

    fn get(&mut self, this: Resource<HostFutureIncomingResponse>) -> Result<ResponseAnswer> {
        let answer =
            buy(self, Kind::IncomingResponse, |view| types::HostFutureIncomingResponse::get(&mut view.inner(), this))?;
        if let Some(Ok(Ok(response))) = &answer {
            let bytes = content(&self.table.get(response)?.headers);
            self.mem.charge(bytes)?;
            self.mem.assign(response.rep(), bytes);
        }
        Ok(answer)
    }
}
