//! What all requests share, and what one request is once it is known which row it is about.

use crate::actions::{Action, RuleResolver};
use crate::body::Body;
use crate::compute::compute;
use crate::connect::NodeConnector;
use crate::decode::Expected;
use crate::discovery::Documents;
use crate::encode::Encoder;
use crate::exchange::Exchange;
use crate::health::Check;
use crate::metrics::Metrics;
use crate::negotiate::{self, Endpoint, Output, SERVED, SERVED_WITHOUT_SCHEMA};
use crate::options::{WriteOptions, manager_or_agent};
use crate::query::Query;
use crate::respond;
use crate::table::Include;
use crate::{ApiService, Config};
use http::Response;
use http::header::USER_AGENT;
use http::request::Parts;
use sampan_api::admission::Admission;
use sampan_api::{Authorizer, Record, Records, Status, UserInfo, WantRecords};
use sampan_env::{CancellationToken, Env};
use sampan_registry::options::Caller;
use sampan_registry::{List, Registry, Resource};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// The server's parts, shared by all requests.
pub(crate) struct Core {
    pub env: Env,
    /// The end has begun: see [`crate::ApiServer::stopping`].
    pub stopping: CancellationToken,
    /// This process's own callers are ended too.
    pub ended: CancellationToken,
    pub registry: Registry,
    pub authorizer: Arc<dyn Authorizer>,
    pub admission: Arc<dyn Admission>,
    pub nodes: Arc<dyn NodeConnector>,
    pub actions: HashMap<String, Arc<dyn Action>>,
    pub rules: Option<Arc<dyn RuleResolver>>,
    pub routes: Vec<(String, ApiService)>,
    pub checks: Vec<Arc<dyn Check>>,
    pub documents: Documents,
    pub metrics: Arc<Metrics>,
    pub version: String,
}

impl Core {
    pub fn new(
        config: Config,
        actions: HashMap<String, Arc<dyn Action>>,
        metrics: Arc<Metrics>,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            stopping,
            ended: config.tasks.token().clone(),
            env: config.env,
            registry: config.registry,
            authorizer: config.authorizer,
            admission: config.admission,
            nodes: config.nodes,
            actions,
            rules: config.rules,
            routes: config.routes.into_iter().map(|route| (route.prefix, route.service)).collect(),
            checks: config.checks,
            documents: Documents::default(),
            metrics,
            version: config.version,
        }
    }
}

/// A request about a row of the table, its body apart.
pub struct Ask {
    pub(crate) core: Arc<Core>,
    pub(crate) parts: Parts,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) user: Arc<UserInfo>,
    pub(crate) row: Arc<Resource>,
}

impl Ask {
    pub fn row(&self) -> &Arc<Resource> {
        &self.row
    }
    pub fn user(&self) -> &Arc<UserInfo> {
        &self.user
    }
    pub fn registry(&self) -> &Registry {
        &self.core.registry
    }
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
    pub fn subresource(&self) -> &str {
        self.exchange.info.subresource()
    }
    pub fn verb(&self) -> &str {
        self.exchange.info.verb()
    }
    pub fn query(&self) -> Query<'_> {
        Query::parse(self.parts.uri.query())
    }
    pub fn warn(&self, text: impl Into<String>) {
        self.exchange.warnings.add(text);
    }

    fn user_agent(&self) -> &str {
        self.parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Who writes, as the registry wants to know it.
    pub fn caller<'a>(&'a self, options: &'a WriteOptions) -> Caller<'a> {
        self.caller_of(&options.field_manager, options.dry_run, &options.shown)
    }

    /// `options`: the call's options as an object, for admission.
    pub fn caller_of<'a>(&'a self, field_manager: &'a str, dry_run: bool, options: &'a Value) -> Caller<'a> {
        Caller {
            user: &self.user,
            verb: self.verb(),
            user_agent: self.user_agent(),
            request_id: &self.exchange.audit_id,
            field_manager: manager_or_agent(field_manager, self.user_agent()),
            dry_run,
            options,
            admission: &*self.core.admission,
            warnings: &self.exchange.warnings,
        }
    }

    /// The media types in which the row's objects are served.
    fn served(&self) -> &'static [&'static str] {
        if self.row.ty.as_ref().is_some_and(|ty| ty.def().has_protobuf()) { &SERVED } else { &SERVED_WITHOUT_SCHEMA }
    }

    /// What the request's bodies are read as: the subresource's own kind where it has one, else the row's.
    pub(crate) fn expected(&self) -> Expected {
        let own =
            self.row.find_subresource(self.subresource()).and_then(|sub| Some((sub.kind.clone()?, sub.ty.clone())));
        let (gvk, ty) = own.unwrap_or_else(|| (self.row.gvk(), self.row.ty.clone()));
        Expected { gvk, ty }
    }

    pub fn output(&self, endpoint: Endpoint) -> Result<Output, Status> {
        negotiate::output(&self.parts.headers, self.parts.uri.query(), endpoint, self.served())
    }

    pub fn stream_output(&self) -> Result<Output, (Status, Output)> {
        negotiate::stream(&self.parts.headers, self.served())
    }

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

    /// Answers with one object.
    pub fn record(&self, code: u16, output: Output, record: &Arc<Record>) -> Result<Response<Body>, Status> {
        let encoder = self.encoder(output)?;
        let bytes = compute(record.json.len(), encoder.heavy_from(), || encoder.record(record))?;
        Ok(respond::compressible(&self.parts.headers, code, output.format.media_type(), bytes))
    }

    /// Answers with a page of objects.
    pub(crate) fn page(&self, output: Output, list: &List) -> Result<Response<Body>, Status> {
        let encoder = self.encoder(output)?;
        let size = list.items.iter().map(|record| record.json_len() + 1).sum();
        let bytes = compute(size, encoder.heavy_from(), || encoder.list(list, size))?;
        Ok(respond::compressible(&self.parts.headers, 200, output.format.media_type(), bytes))
    }

    /// Answers a caller of this process with what it asked for: records, and no bytes.
    pub(crate) fn records(records: Records) -> Response<Body> {
        let mut response = Response::new(crate::body::empty());
        response.extensions_mut().insert(records);
        response
    }
}
