//! What the parts count of themselves, on the API server's `/metrics`: read when somebody asks, under `sampan_<part>_`.

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

/// One figure: name, what it says, value.
enum Figure {
    Counter(&'static str, &'static str, u64),
    Gauge(&'static str, &'static str, u64),
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
            match figure {
                Figure::Counter(name, help, value) => {
                    let metric = ConstCounter::new(value);
                    let name = format!("sampan_{}_{name}", self.name);
                    metric.encode(encoder.encode_descriptor(&name, help, None, metric.metric_type())?)?;
                }
                Figure::Gauge(name, help, value) => {
                    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
                    let name = format!("sampan_{}_{name}", self.name);
                    metric.encode(encoder.encode_descriptor(&name, help, None, metric.metric_type())?)?;
                }
            }
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
            Figure::Counter("batches", "Commits; each is one sync", now.batches),
            Figure::Counter("transactions", "Transactions in these commits", now.transactions),
            Figure::Counter("rows", "Rows written", now.rows),
            Figure::Counter("conflicts", "Transactions refused because a compare failed", now.conflicts),
            Figure::Counter("checkpoints", "Times that the write-ahead log was moved to the database", now.checkpoints),
            Figure::Counter("compacted_rows", "Rows removed by compaction", now.compacted_rows),
            Figure::Gauge("keys", "Live keys", now.keys),
            Figure::Gauge("leases", "Live leases", now.leases),
            Figure::Gauge("disk_full", "1 while writes are refused because the disk is full", u64::from(now.disk_full)),
        ]
    });
}

pub fn of_the_runtime(metrics: &Metrics, runtime: Runtime) {
    register(metrics, "runtime", move || {
        let now = runtime.metrics();
        vec![
            Figure::Counter("compiles", "Components compiled", now.compiles),
            Figure::Counter("cache_hits", "Components found compiled", now.cache_hits),
            Figure::Counter("bad_digests", "Components that could not be compiled", now.bad_digests),
            Figure::Counter("traps", "Guests that trapped", now.traps),
            Figure::Counter("ooms", "Containers that outgrew their memory", now.ooms),
            Figure::Counter("requests", "Requests that services answered", now.requests),
            Figure::Counter("requests_refused", "Requests turned away", now.requests_refused),
        ]
    });
}

pub fn of_the_scheduler(metrics: &Metrics, scheduler: Arc<SchedulerMetrics>) {
    register(metrics, "scheduler", move || {
        let (count, read) = (Figure::Counter, |one: &std::sync::atomic::AtomicU64| one.load(Relaxed));
        vec![
            count("cycles", "Pods looked at", read(&scheduler.cycles)),
            count("placed", "Pods for which a node was found", read(&scheduler.placed)),
            count("unschedulable", "Pods that no node takes now", read(&scheduler.unschedulable)),
            count("failed", "Cycles that ended in a fault", read(&scheduler.failed)),
            count("bound", "Pods bound", read(&scheduler.bound)),
            count("bind_refused", "Bindings that the API server refused", read(&scheduler.bind_refused)),
            count("cycle_microseconds", "Wall time of all cycles", read(&scheduler.cycle_micros)),
            count("decisions_dropped", "Decisions that were not recorded", read(&scheduler.decisions_dropped)),
        ]
    });
}
