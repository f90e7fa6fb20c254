//! One request, once its row is known, and the ways to answer it.

use crate::answer::FirstRoom;
use crate::arriving;
use crate::body::{Body, discard};
use crate::core::Core;
use crate::decode::Expected;
use crate::encode::Encoder;
use crate::exchange::Exchange;
use crate::ledger::Charge;
use crate::limits::{ANSWER_PIECE_BYTES, COMPUTED_BYTES_MIN, COMPUTED_WRITE_BYTES_MIN, GZIP_MIN_BYTES};
use crate::listing::Listing;
use crate::negotiate::{self, Endpoint, Forms, Output};
use crate::options::{WriteOptions, manager_of_agent};
use crate::pieces::{Pieces, Source};
use crate::query::Query;
use crate::respond::{self, Coding};
use crate::table::Include;
use crate::websocket;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, EXPECT, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, Version};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use sampan_api::{Reason, Record, Records, Status, UserInfo, WantRecords};
use sampan_env::Env;
use sampan_registry::options::{Caller, ListOptions};
use sampan_registry::{Conversions, Registry, Resource, Selection};
use std::sync::{Arc, OnceLock};

/// A request about a row of the table, its body apart.
pub struct Ask {
    pub(crate) core: Arc<Core>,
    pub(crate) parts: Parts,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) user: Arc<UserInfo>,
    pub(crate) row: Arc<Resource>,
    /// Objects of the request in other versions, which webhooks make.
    pub(crate) conversions: Conversions,
    /// The manager that the user agent stands for, once somebody asked.
    pub(crate) manager: OnceLock<String>,
}

impl Ask {
    /// The row that the path names.
    pub fn row(&self) -> &Arc<Resource> {
        &self.row
    }
    /// The caller.
    pub fn user(&self) -> &Arc<UserInfo> {
        &self.user
    }
    /// Reads and writes all kinds.
    pub fn registry(&self) -> &Registry {
        &self.core.registry
    }
    /// Clock and randomness.
    pub fn env(&self) -> &Env {
        &self.core.env
    }
    /// `""` for cluster-scoped rows, and for lists over all namespaces.
    pub fn namespace(&self) -> &str {
        if self.row.namespaced { self.exchange.info.namespace() } else { "" }
    }
    /// `""` for collections.
    pub fn name(&self) -> &str {
        self.exchange.info.name()
    }
    /// `""` for the object itself.
    pub fn subresource(&self) -> &str {
        self.exchange.info.subresource()
    }
    /// As authorization names it.
    pub fn verb(&self) -> &str {
        self.exchange.info.verb()
    }
    /// The query of the URL.
    pub fn query(&self) -> Query<'_> {
        Query::parse(self.parts.uri.query())
    }
    /// Warns the caller, in a header of the answer.
    pub fn warn(&self, text: impl Into<String>) {
        self.exchange.warnings.add(text);
    }

    fn user_agent(&self) -> &str {
        let sent = self.parts.headers.get(USER_AGENT);
        sent.and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).unwrap_or("")
    }

    /// The manager of the fields that the request writes.
    fn manager<'a>(&'a self, options: &'a WriteOptions) -> &'a str {
        if !options.field_manager.is_empty() {
            return &options.field_manager;
        }
        let agent = || self.parts.headers.get(USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
        self.manager.get_or_init(|| manager_of_agent(agent()))
    }

    /// The writer, as the registry wants to know it.
    pub fn caller<'a>(&'a self, options: &'a WriteOptions) -> Caller<'a> {
        Caller {
            user: &self.user,
            verb: self.verb(),
            user_agent: self.user_agent(),
            request_id: &self.exchange.audit_id,
            field_manager: self.manager(options),
            dry_run: options.dry_run,
            options: &options.shown,
            admission: self,
            warnings: &self.exchange.warnings,
        }
    }

    /// What the row's objects are served as.
    fn forms(&self) -> Forms {
        match &self.row.ty {
            _ if self.row.defined => Forms::Custom,
            Some(ty) if ty.def().has_protobuf() => Forms::All,
            _ => Forms::Untyped,
        }
    }

    /// The type that the request's bodies are read as: the subresource's own kind where it has one, else the row's.
    pub(crate) fn expected(&self) -> Expected {
        let own = self.row.find_subresource(self.subresource()).and_then(|sub| {
            let gvk = sub.kind.clone()?;
            Some(Expected { gvk, ty: sub.ty.clone(), also: sub.also })
        });
        own.unwrap_or_else(|| Expected::of_row(&self.row))
    }

    /// The encoding of the answer. Errors: 406.
    pub fn output(&self, endpoint: Endpoint) -> Result<Output, Status> {
        negotiate::output(&self.parts.headers, self.parts.uri.query(), endpoint, self.forms())
    }

    /// The router's refusal of a client that takes no form which it knows.
    pub(crate) fn routed(&self) -> Result<(), Status> {
        if websocket::is_asked_for(&self.parts.headers) {
            return Ok(());
        }
        let endpoint = if matches!(self.verb(), "list" | "watch") { Endpoint::List } else { Endpoint::Resource };
        negotiate::routed(&self.parts.headers, endpoint, self.forms())
    }

    /// The encoding of a watch; a refusal comes with its own encoding.
    pub fn stream_output(&self) -> Result<Output, (Status, Output)> {
        let forms = self.forms();
        if !websocket::is_asked_for(&self.parts.headers) {
            return negotiate::stream(&self.parts.headers, forms);
        }
        // A browser can set no header there.
        let query = self.query();
        match query.get("accept").map(HeaderValue::from_str) {
            None => negotiate::stream(&self.parts.headers, forms),
            Some(Ok(accept)) => negotiate::stream(&HeaderMap::from_iter([(ACCEPT, accept)]), forms),
            Some(Err(_)) => Err((Status::bad_request("accept is no media type"), Output::JSON)),
        }
    }

    /// The caller is of this process and takes records instead of bytes.
    pub fn wants_records(&self) -> bool {
        self.parts.extensions.get::<WantRecords>().is_some()
    }

    pub(crate) fn encoder(&self, output: Output) -> Result<Encoder, Status> {
        let include = match output.shape {
            negotiate::Shape::Table(_) => Include::parse(self.query().get("includeObject"))?,
            _ => Include::default(),
        };
        Ok(Encoder { row: self.row.clone(), output, include, now: self.core.env.now() })
    }

    /// The body of the request, read whole; see [`crate::arriving`].
    ///
    /// # Errors
    /// 413 when it is too large, 504 when it is too slow, 429 when too much is arriving or no seat came free, 400 when it
    /// breaks off.
    pub async fn read(&self, mut body: Body) -> Result<Bytes, Status> {
        let received = arriving::receive(&self.exchange, &self.core.ledgers, &self.core.env, &mut body).await;
        let too_large = received.as_ref().is_err_and(|status| status.is(Reason::RequestEntityTooLarge));
        // What follows goes on arriving at its sender's cost; where there is no room for that the stream is reset.
        if too_large
            && !self.exchange.in_process()
            && !self.sends_when_told()
            && let Some(arriving) = arriving::one_more(&self.exchange, &self.core.ledgers)
        {
            drop(self.core.tasks.spawn_until_cancelled(async move {
                let _arriving = arriving;
                discard(body).await;
            }));
        }
        let bytes = received?;
        let size = bytes.len().max(self.changed_bytes());
        if size >= COMPUTED_WRITE_BYTES_MIN && !self.exchange.in_process() {
            let working = self.core.ledgers.working.account(&self.exchange.payer(), None);
            let charge = self.exchange.aside(working.charge(size)).await?;
            self.exchange.hold(charge.into_iter().collect());
        }
        Ok(bytes)
    }

    /// Whether the body comes only once it is asked for. Of HTTP/2 nobody asks.
    fn sends_when_told(&self) -> bool {
        self.parts.version < Version::HTTP_2 && self.parts.headers.contains_key(EXPECT)
    }

    /// Bytes of the object that a write is about, as it is stored now; 0: none.
    pub(crate) fn changed_bytes(&self) -> usize {
        if self.name().is_empty() || !self.exchange.info.is_mutating() {
            return 0;
        }
        self.core.registry.stored_bytes(&self.row, self.namespace(), self.name())
    }

    /// Waits, without holding a seat, for the revision that a list names.
    pub(crate) async fn until_readable(&self, options: &ListOptions) -> Result<(), Status> {
        let registry = &self.core.registry;
        let Some(revision) = registry.awaited_by_list(&self.row, self.namespace(), options) else { return Ok(()) };
        self.exchange.aside(registry.wait_until(&self.row, revision)).await?.map_err(Status::from)
    }

    /// Does work that takes long by the compute threads, in the turn of the request's flow.
    pub(crate) async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.core.compute.run(self.exchange.flow(), work).await
    }

    /// Answers with one object.
    pub async fn record(&self, code: u16, output: Output, record: &Arc<Record>) -> Result<Response<Body>, Status> {
        let encoder = self.encoder(output)?;
        let media_type = output.format.media_type();
        let headers = &self.parts.headers;
        if record.json.len() < COMPUTED_BYTES_MIN {
            return Ok(respond::bytes(code, media_type, encoder.record(record)?));
        }
        if !encoder.is_computed() && !respond::packs(headers, record.json_len()) {
            // Nothing is copied: the answer is the record's own bytes.
            let [before, version, after] = record.json_parts(0);
            return Ok(respond::parts(code, media_type, [before, version, after, Bytes::from_static(b"\n")]));
        }
        let (record, coding) = (record.clone(), respond::coding(headers));
        let made = self.compute(move || encoder.record(&record).map(|plain| respond::packed(plain, coding))).await?;
        Ok(made.response(code, media_type))
    }

    /// Answers with a page of objects, which is encoded as it is sent.
    pub(crate) async fn page(&self, output: Output, selection: Selection) -> Result<Response<Body>, Status> {
        let mut listing = Listing::new(self.encoder(output)?, selection)?;
        let media_type = output.format.media_type();
        if let Some(mut rest) = listing.to_measure() {
            while !rest.is_over() {
                rest.fetch().await?;
                let step = move || {
                    let measured = listing.measure(&mut rest);
                    (listing, rest, measured)
                };
                let measured;
                (listing, rest, measured) = self.compute(step).await;
                measured?;
            }
        }
        // Who takes nothing holds no piece that was not paid for.
        let room = self.room().await?;
        let packing = if respond::coding(&self.parts.headers) == Coding::Gzip { self.packing() } else { None };
        let gzip = packing.is_some();
        let least = if gzip { GZIP_MIN_BYTES } else { ANSWER_PIECE_BYTES };
        let (mut first, mut length) = (Vec::new(), 0);
        while !listing.is_over() && length < least {
            if listing.waits() {
                listing.fetch().await?;
            }
            let parts;
            if listing.is_computed() && !first.is_empty() {
                let wanted = least - length;
                let step = move || {
                    let parts = listing.piece(wanted, usize::MAX);
                    (listing, parts)
                };
                (listing, parts) = self.compute(step).await;
            } else {
                // The beginning of a table is little work: most answers are no longer.
                let wanted = if listing.is_computed() { FIRST_COMPUTED_BYTES } else { least };
                parts = listing.piece(wanted.min(least), listing.briefly());
            }
            let parts = parts?;
            if parts.is_empty() && !listing.is_over() {
                tokio::task::yield_now().await;
            }
            length += parts.iter().map(Bytes::len).sum::<usize>();
            first.extend(parts);
        }
        if listing.is_over() && !(gzip && length >= GZIP_MIN_BYTES) {
            return Ok(respond::bytes(200, media_type, joined(first, length)));
        }
        let (source, coding) = match packing {
            Some(charge) => (Source::gzip(listing, first, charge), Coding::Gzip),
            None => (Source::plain(listing, first), Coding::Plain),
        };
        let pieces = Pieces::new(source, self.core.compute.clone(), self.exchange.flow());
        let making = pieces.making();
        let mut response = respond::stream(200, media_type, coding, BodyExt::boxed_unsync(pieces));
        response.extensions_mut().insert(making);
        response.extensions_mut().insert(FirstRoom(Arc::new(Mutex::new(room))));
        Ok(response)
    }

    /// Room for the first piece of a list, for which no seat is held while it is waited for. `None`: the caller is of this
    /// process, and nothing is sent. Error: 429, when no seat came free afterwards.
    async fn room(&self) -> Result<Option<Charge>, Status> {
        if self.exchange.in_process() {
            return Ok(None);
        }
        let (payer, answers) = (self.exchange.payer(), &self.core.ledgers.answers);
        let shares = self.exchange.line.as_ref().map(|line| line.shares(&self.core.ledgers));
        let account = answers.account(&payer, shares.map(|shares| shares.answers.clone()));
        let reserve = shares.map(|shares| answers.account(&payer, Some(shares.whole_answers.clone())));
        let reserved = || reserve.as_ref().and_then(|account| account.try_charge(ANSWER_PIECE_BYTES));
        match account.try_charge(ANSWER_PIECE_BYTES).or_else(reserved) {
            Some(room) => Ok(Some(room)),
            None => self.exchange.aside(account.charge(ANSWER_PIECE_BYTES)).await,
        }
    }

    /// The right to pack a list; `None`: too many are being packed, and it is sent as it is.
    fn packing(&self) -> Option<Charge> {
        let ledgers = &self.core.ledgers;
        let share = self.exchange.line.as_ref().map(|line| line.shares(ledgers).packing.clone());
        ledgers.packing.account(&self.exchange.payer(), share).try_charge(1)
    }

    /// Answers a caller of this process with what it asked for: records, and no bytes.
    pub(crate) fn records(records: Records) -> Response<Body> {
        let mut response = Response::new(crate::body::empty());
        response.extensions_mut().insert(records);
        response
    }
}

/// Size of the first piece of a computed list, bytes.
const FIRST_COMPUTED_BYTES: usize = 8 * 1024;

fn joined(mut parts: Vec<Bytes>, length: usize) -> Bytes {
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let mut all = BytesMut::with_capacity(length);
    parts.iter().for_each(|part| all.extend_from_slice(part));
    all.freeze()
}
