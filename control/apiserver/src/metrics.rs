//! The server's own metrics, under Kubernetes' names where Kubernetes has one. Labels take values from the table and
//! from closed sets only: nobody outside can make one up.

use crate::request_info::RequestInfo;
use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Metered;
use sampan_registry::{Registry, Resource};
use std::sync::OnceLock;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    group: String,
    resource: String,
    subresource: String,
    code: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    verb: &'static str,
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    request_kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    group: String,
    version: String,
    kind: String,
}

const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
/// Seconds: from what an in-memory read takes to the request timeout.
const BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];

/// All counters of one server. Others add theirs through [`Metrics::register`].
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<KindLabel, Gauge>,
    rejected: Family<KindLabel, Counter>,
    panics: Counter,
    watches: Family<WatchLabels, Gauge>,
    watch_events: Family<WatchLabels, Counter>,
    /// Whose table says what the resources of requests are called.
    registry: OnceLock<Registry>,
    all: Mutex<Metered>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Metered::default();
        let requests = Family::default();
        let durations: Family<DurationLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let (in_flight, rejected, panics) = (Family::default(), Family::default(), Counter::default());
        let (watches, watch_events) = (Family::default(), Family::default());
        all.register("apiserver_request", "Requests answered", requests.clone());
        all.register("apiserver_request_duration_seconds", "Time to the answer's first byte", durations.clone());
        all.register("apiserver_current_inflight_requests", "Requests under way", in_flight.clone());
        all.register("apiserver_dropped_requests", "Requests turned away with 429", rejected.clone());
        all.register("apiserver_request_panics", "Requests that panicked", panics.clone());
        all.register("apiserver_longrunning_requests", "Watches under way", watches.clone());
        all.register("apiserver_watch_events", "Events sent to watches", watch_events.clone());
        Self {
            requests,
            durations,
            in_flight,
            rejected,
            panics,
            watches,
            watch_events,
            registry: OnceLock::new(),
            all: Mutex::new(all),
        }
    }
}

impl Metrics {
    /// Adds another room's metrics to what `/metrics` shows.
    pub fn register(&self, add: impl FnOnce(&mut Metered)) {
        add(&mut self.all.lock());
    }

    /// From now on requests are counted by the resources of this registry's table.
    pub(crate) fn know(&self, registry: Registry) {
        self.registry.get_or_init(|| registry);
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        text::encode(&mut out, &self.all.lock()).unwrap_or_default();
        out
    }

    pub(crate) fn answered(&self, info: &RequestInfo, code: u16, took: Duration) {
        let verb = VERBS.into_iter().find(|verb| *verb == info.verb()).unwrap_or("other");
        let table = self.registry.get().map(Registry::table);
        let row = table.as_ref().and_then(|table| table.lookup(info.group(), info.version(), info.resource()));
        let (group, resource, subresource) = match row.filter(|_| info.is_resource_request()) {
            None => (String::new(), String::new(), String::new()),
            Some(row) => (
                row.group.to_string(),
                row.resource.to_string(),
                row.find_subresource(info.subresource()).map(|one| one.name.to_string()).unwrap_or_default(),
            ),
        };
        if verb != "watch" {
            let labels = DurationLabels { verb, resource: resource.clone() };
            self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        }
        let labels = RequestLabels { verb, group, resource, subresource, code: u32::from(code) };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    fn kind(mutating: bool) -> KindLabel {
        KindLabel { request_kind: if mutating { "mutating" } else { "readOnly" } }
    }

    pub(crate) fn turned_away(&self, mutating: bool) {
        self.rejected.get_or_create(&Self::kind(mutating)).inc();
    }

    pub(crate) fn in_flight(&self, mutating: bool) -> Up {
        Up::new(self.in_flight.get_or_create(&Self::kind(mutating)).clone())
    }

    pub(crate) fn watching(&self, row: &Resource) -> Watching {
        let labels =
            WatchLabels { group: row.group.to_string(), version: row.version.to_string(), kind: row.kind.to_string() };
        let events = self.watch_events.get_or_create(&labels).clone();
        Watching { _up: Up::new(self.watches.get_or_create(&labels).clone()), events }
    }
}

/// Counts one while it lives.
pub(crate) struct Up(Gauge);

impl Up {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A watch under way.
pub(crate) struct Watching {
    _up: Up,
    events: Counter,
}

impl Watching {
    /// Counts an event that was sent.
    pub fn sent(&self) {
        self.events.inc();
    }
}
