//! The server's own metrics, under Kubernetes' names where Kubernetes has one. Labels take values from the table and
//! from closed sets only: nobody outside can make one up.

use crate::body::Body;
use crate::negotiate::APPLY_PATCH;
use crate::query::Query;
use crate::request_info::RequestInfo;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry as Metered;
use sampan_registry::resource::Name;
use sampan_registry::{Registry, Resource};
use std::sync::OnceLock;
use std::time::Duration;

/// Labels of what took how long: those of Kubernetes (k8s.io/apiserver/pkg/endpoints/metrics).
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    verb: &'static str,
    dry_run: &'static str,
    group: Name,
    version: Name,
    resource: Name,
    subresource: Name,
    scope: &'static str,
    component: &'static str,
}

/// Those, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    #[prometheus(flatten)]
    of: DurationLabels,
    code: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    request_kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LongRunningLabels {
    verb: &'static str,
    group: Name,
    version: Name,
    resource: Name,
    subresource: &'static str,
    scope: &'static str,
    component: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    group: Name,
    version: Name,
    resource: Name,
}

/// What Kubernetes calls itself.
const COMPONENT: &str = "apiserver";
/// The verb of methods that no resource knows.
const OTHER: &str = "other";
/// Seconds.
const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// What a request is counted as beside its resource: words of closed sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    verb: &'static str,
    dry_run: &'static str,
    scope: &'static str,
}

impl Counted {
    /// Of a request that has just come.
    pub(crate) fn of(info: &RequestInfo, request: &Request<Body>) -> Self {
        Self { verb: verb(info, request), dry_run: dry_run(request.uri().query()), scope: scope(info) }
    }
}

/// The verb in Kubernetes' metrics: the method, but for what a path or a body makes of it.
fn verb(info: &RequestInfo, request: &Request<Body>) -> &'static str {
    let is_apply = || {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = media_type.split(';').next().unwrap_or("").trim();
        essence.eq_ignore_ascii_case(APPLY_PATCH)
    };
    if info.is_resource_request() && info.is_long_running() && !matches!(info.subresource(), "" | "log") {
        return "CONNECT";
    }
    match (info.verb(), request.method()) {
        ("watch", _) => "WATCH",
        ("list", _) => "LIST",
        ("deletecollection", _) => "DELETECOLLECTION",
        (_, &Method::GET | &Method::HEAD) => "GET",
        (_, &Method::POST) => "POST",
        (_, &Method::PUT) => "PUT",
        (_, &Method::PATCH) if is_apply() => "APPLY",
        (_, &Method::PATCH) => "PATCH",
        (_, &Method::DELETE) => "DELETE",
        _ => OTHER,
    }
}

fn dry_run(query: Option<&str>) -> &'static str {
    // Most have none, and those of another writing are no dry runs to Kubernetes' metrics.
    let Some(query) = query.filter(|query| query.contains("dryRun")) else { return "" };
    let query = Query::parse(Some(query));
    if !query.has("dryRun") {
        return "";
    }
    if query.all("dryRun").all(|value| value == "All") { "All" } else { "invalid" }
}

/// What a request is about: one object, a namespace's or the cluster's.
fn scope(info: &RequestInfo) -> &'static str {
    match info {
        info if !info.is_resource_request() => "",
        info if !info.name().is_empty() || info.verb() == "create" => "resource",
        info if !info.namespace().is_empty() => "namespace",
        _ => "cluster",
    }
}

/// All counters of one server. Others add theirs through [`Metrics::register`].
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<KindLabel, Gauge>,
    rejected: Family<KindLabel, Counter>,
    panics: Counter,
    watches: Family<LongRunningLabels, Gauge>,
    watch_events: Family<EventLabels, Counter>,
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

    /// The text that Prometheus reads, in its own form of version 0.0.4, whatever was asked for: as kube-apiserver does.
    pub fn text(&self) -> String {
        let mut open = String::new();
        // Writing to a String cannot fail.
        text::encode(&mut open, &self.all.lock()).unwrap_or_default();
        classic(&open)
    }

    /// Counts an answer. `info`: of a request that was let through; of others no resource is told apart, as Kubernetes counts them
    /// before it knows one: who may do nothing makes no series.
    pub(crate) fn answered(&self, info: Option<&RequestInfo>, counted: Counted, code: u16, took: Duration) {
        let Counted { verb, dry_run, scope } = counted;
        let table = self.registry.get().map(Registry::table);
        let info = info.filter(|info| info.is_resource_request());
        let row = table.as_ref().zip(info);
        let row = row.and_then(|(table, info)| table.lookup(info.group(), info.version(), info.resource()));
        let known = |of: fn(&Resource) -> &Name| row.map(|row| of(row).clone()).unwrap_or_default();
        let below = row.zip(info).and_then(|(row, info)| row.find_subresource(info.subresource()));
        let labels = DurationLabels {
            verb,
            dry_run,
            group: known(|row| &row.group),
            version: known(|row| &row.version),
            resource: known(|row| &row.resource),
            subresource: below.map(|one| one.name.clone()).unwrap_or_default(),
            // Of what nobody knows nothing is told apart.
            scope: if row.is_some() { scope } else { "" },
            component: if row.is_some() { COMPONENT } else { "" },
        };
        if verb != "WATCH" {
            self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        }
        let code = if (100..600).contains(&code) { u32::from(code) } else { 0 };
        self.requests.get_or_create(&RequestLabels { of: labels, code }).inc();
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

    pub(crate) fn watching(&self, row: &Resource, info: &RequestInfo) -> Watching {
        let labels = LongRunningLabels {
            verb: "WATCH",
            group: row.group.clone(),
            version: row.version.clone(),
            resource: row.resource.clone(),
            subresource: "",
            scope: scope(info),
            component: COMPONENT,
        };
        let (group, version, resource) = (row.group.clone(), row.version.clone(), row.resource.clone());
        let events = self.watch_events.get_or_create(&EventLabels { group, version, resource }).clone();
        Watching { _up: Up::new(self.watches.get_or_create(&labels).clone()), events }
    }
}

/// Metrics in the form of OpenMetrics in the older one, which names counters by their samples and knows neither units nor an
/// end.
fn classic(open: &str) -> String {
    let mut out = String::with_capacity(open.len());
    let mut help: Option<(&str, &str)> = None;
    for line in open.lines() {
        let words = |after: &str| line.strip_prefix(after)?.split_once(' ');
        if let Some(said) = words("# HELP ") {
            help = Some(said);
        } else if let Some((name, kind)) = words("# TYPE ") {
            let end = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take() {
                out.push_str(&format!("# HELP {name}{end} {text}\n"));
            }
            out.push_str(&format!("# TYPE {name}{end} {kind}\n"));
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body;

    fn counted(method: &str, uri: &str, content_type: &str) -> (RequestInfo, Counted) {
        let request = Request::builder().method(method).uri(uri).header(CONTENT_TYPE, content_type);
        let request = request.body(body::empty()).expect("a request");
        let info = RequestInfo::read(request.method(), request.uri()).expect("a path");
        let counted = Counted::of(&info, &request);
        (info, counted)
    }

    #[test]
    fn requests_are_counted_by_kubernetes_words() {
        let check = |method: &str, uri: &str, content_type: &str, verb: &str, dry_run: &str, scope: &str| {
            let (_, found) = counted(method, uri, content_type);
            assert_eq!((found.verb, found.dry_run, found.scope), (verb, dry_run, scope), "{method} {uri}");
        };
        let pods = "/api/v1/namespaces/a/pods";
        check("GET", pods, "", "LIST", "", "namespace");
        check("GET", "/api/v1/pods", "", "LIST", "", "cluster");
        check("GET", "/api/v1/pods?watch=1", "", "WATCH", "", "cluster");
        check("GET", "/api/v1/namespaces/a/pods/b", "", "GET", "", "resource");
        check("GET", "/api/v1/namespaces/a/pods/b/log", "", "GET", "", "resource");
        check("POST", "/api/v1/namespaces/a/pods/b/exec", "", "CONNECT", "", "resource");
        check("POST", &format!("{pods}?dryRun=All&dryRun=All"), "", "POST", "All", "resource");
        check("POST", &format!("{pods}?dryRun=Some"), "", "POST", "invalid", "resource");
        check("DELETE", pods, "", "DELETECOLLECTION", "", "namespace");
        check("PATCH", "/api/v1/namespaces/a/pods/b", "application/merge-patch+json", "PATCH", "", "resource");
        check("PATCH", "/api/v1/namespaces/a/pods/b", "application/apply-patch+yaml; a=b", "APPLY", "", "resource");
        check("BREW", "/api/v1/namespaces/a/pods/b", "", "other", "", "resource");
        check("GET", "/readyz", "", "GET", "", "");
    }

    #[test]
    fn nobody_outside_makes_series() {
        let metrics = Metrics::default();
        let ask = |method: &str, uri: &str| {
            let (info, counted) = counted(method, uri, "a/b");
            metrics.answered(Some(&info), counted, 404, Duration::ZERO);
            metrics.answered(None, counted, 401, Duration::ZERO);
        };
        let count = || metrics.text().lines().count();
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"];
        for method in methods {
            ask(method, "/x");
            ask(method, "/api/v1/x");
            ask(method, "/api/v1/x?watch=1");
            ask(method, "/api/v1/namespaces/a/pods/b/exec");
            for dry_run in ["All", "x"] {
                ask(method, &format!("/api/v1/x?dryRun={dry_run}"));
                ask(method, &format!("/x?dryRun={dry_run}"));
                ask(method, &format!("/api/v1/x?watch=1&dryRun={dry_run}"));
                ask(method, &format!("/api/v1/namespaces/a/pods/b/exec?dryRun={dry_run}"));
            }
        }
        let before = count();
        for n in 0..1_000 {
            let method = match n % 7 {
                0 => format!("BREW{n}"),
                at => methods[at - 1].to_owned(),
            };
            let query = ["", "?watch=1", "?dryRun=All", "?dryRun=a"][n % 4];
            ask(&method, &format!("/p{n}{query}"));
            ask(&method, &format!("/apis/g{n}/v{n}/namespaces/n{n}/r{n}/x{n}/s{n}{query}"));
            ask(&method, &format!("/apis/g{n}/v{n}/r{n}{query}"));
        }
        assert_eq!(count(), before);
    }

    #[test]
    fn counters_are_named_by_their_samples() {
        let open =
            "# HELP a Things.\n# TYPE a counter\na_total 1\n# HELP b More.\n# TYPE b gauge\n# UNIT b s\nb 2\n# EOF\n";
        let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n# HELP b More.\n# TYPE b gauge\nb 2\n";
        assert_eq!(classic(open), text);
    }
}
