//! The parts' own metrics, on the API server's `/metrics`: read when somebody asks, under `sampan_<part>_`.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use sampan_apiserver::Metrics;
use sampan_scheduler_driver::Metrics as SchedulerMetrics;
use sampan_store::Store;
use sampan_wasm_runtime::Runtime;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The direction in which a figure moves.
enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One figure, as it is at a look.
struct Figure {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    value: u64,
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Figure {
    Figure { kind: Kind::Counter, name, help, value }
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Figure {
    Figure { kind: Kind::Gauge, name, help, value }
}

/// A part's figures, as they are at a look.
struct Part {
    name: &'static str,
    read: Box<dyn Fn() -> Vec<Figure> + Send + Sync>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Part {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for figure in (self.read)() {
            let metric: Box<dyn EncodeMetric> = match figure.kind {
                Kind::Counter => Box::new(ConstCounter::new(figure.value)),
                Kind::Gauge => Box::new(ConstGauge::new(i64::try_from(figure.value).unwrap_or(i64::MAX))),
            };
            let name = format!("sampan_{}_{}", self.name, figure.name);
            metric.encode(encoder.encode_descriptor(&name, figure.help, None, metric.metric_type())?)?;
        }
        Ok(())
    }
}

fn register(metrics: &Metrics, name: &'static str, read: impl Fn() -> Vec<Figure> + Send + Sync + 'static) {
    metrics.register(|all| all.register_collector(Box::new(Part { name, read: Box::new(read) })));
}

pub fn of_the_store(metrics: &Metrics, store: Arc<dyn Store>) {
    register(metrics, "store", move || {
        let now = store.statistics();
        vec![
            counter("batches", "Commits; each is one sync", now.batches),
            counter("transactions", "Transactions in these commits", now.transactions),
            counter("rows", "Rows written", now.rows),
            counter("conflicts", "Transactions refused because a compare failed", now.conflicts),
            counter("checkpoints", "Times that the write-ahead log was moved to the database", now.checkpoints),
            counter("compacted_rows", "Rows removed by compaction", now.compacted_rows),
            gauge("keys", "Live keys", now.keys),
            gauge("leases", "Live leases", now.leases),
            gauge("disk_full", "1 while writes are refused because the disk is full", u64::from(now.disk_full)),
        ]
    });
}

pub fn of_the_runtime(metrics: &Metrics, runtime: Runtime) {
    register(metrics, "runtime", move || {
        let now = runtime.metrics();
        vec![
            counter("compiles", "Components compiled", now.compiles),
            counter("cache_hits", "Components found compiled", now.cache_hits),
            counter("bad_digests", "Components that could not be compiled", now.bad_digests),
            counter("traps", "Guests that trapped", now.traps),
            counter("ooms", "Containers that outgrew their memory", now.ooms),
            counter("requests", "Requests that services answered", now.requests),
            counter("requests_refused", "Requests turned away", now.requests_refused),
        ]
    });
}

pub fn of_the_scheduler(metrics: &Metrics, scheduler: Arc<SchedulerMetrics>) {
    register(metrics, "scheduler", move || {
        let read = |one: &std::sync::atomic::AtomicU64| one.load(Relaxed);
        vec![
            counter("cycles", "Pods looked at", read(&scheduler.cycles)),
            counter("placed", "Pods for which a node was found", read(&scheduler.placed)),
            counter("unschedulable", "Pods that no node takes now", read(&scheduler.unschedulable)),
            counter("failed", "Cycles that ended in a fault", read(&scheduler.failed)),
            counter("bound", "Pods bound", read(&scheduler.bound)),
            counter("bind_refused", "Bindings that the API server refused", read(&scheduler.bind_refused)),
            counter("cycle_microseconds", "Wall time of all cycles", read(&scheduler.cycle_micros)),
            counter("decisions_dropped", "Decisions that were not recorded", read(&scheduler.decisions_dropped)),
        ]
    });
}
