//! Pods: containers that run together on a node.

use super::super::columns::{Cell, Tabled, age};
use super::super::rules::Rules;
use super::super::validation::At;
use super::super::validation::addresses::ip_warning;
use super::super::validation::app_armor;
use super::super::validation::container::LISTS;
use super::super::validation::pod_spec;
use super::super::validation::qos::qos_class;
use super::super::validation::warnings;
use super::{condition_is, connect_options};
use crate::resource::{HistoryClass, Resource, Subresource, SubresourceBody, Verbs};
use crate::shapes;
use crate::strategy::{Context, Generation, MetadataOfUpdate, Warned};
use sampan_api::meta::GroupVersionKind;
use sampan_api::object::Object;
use sampan_api::time;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

pub(super) fn row() -> Resource {
    let stream = Verbs::CREATE.or(Verbs::GET);
    let any = Verbs::CREATE.or(Verbs::DELETE).or(Verbs::GET).or(Verbs::PATCH).or(Verbs::UPDATE);
    Resource::new("", "v1", "pods", "Pod")
        .short_names(["po"])
        .categories(["all"])
        .connect("attach", connect_options("PodAttachOptions"), stream, "attach")
        .sub_action("binding", GroupVersionKind::new("", "v1", "Binding"), Verbs::CREATE, "binding")
        .view("ephemeralcontainers")
        .subresource(eviction())
        .connect("exec", connect_options("PodExecOptions"), stream, "exec")
        .connect("log", None, Verbs::GET, "log")
        .connect("portforward", connect_options("PodPortForwardOptions"), stream, "portforward")
        .connect("proxy", connect_options("PodProxyOptions"), any, "proxy")
        .view("resize")
        // Our own subresource: the explanation of the pod's placement.
        .sub_action("scheduling", GroupVersionKind::new("", "v1", "Pod"), Verbs::GET, "scheduling")
        .view("status")
        // The object's own path marks a deletion.
        .resets("status", &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
        .selectable("spec.nodeName")
        .dispatched()
        // Its name of old.
        .selectable_as("spec.host", "spec.nodeName")
        .selectable("spec.restartPolicy")
        .selectable("spec.schedulerName")
        .selectable("spec.serviceAccountName")
        .selectable_or("spec.hostNetwork", "false")
        .selectable("status.phase")
        .selectable_fn("status.podIP", first_ip)
        .selectable_fn("status.podIPs", |_| String::new())
        .selectable("status.nominatedNodeName")
        .history(HistoryClass::Ample)
        .strategy(RULES)
        .table(CELLS)
        .row_conditions(finished)
}

fn eviction() -> Subresource {
    let kind = GroupVersionKind::new("policy", "v1", "Eviction");
    Subresource::new("eviction", Some(kind), Verbs::CREATE, SubresourceBody::Action("eviction".into()))
        .taking_also(&["policy/v1beta1"])
}

const RULES: Rules = Rules {
    metadata_of_update: Some(MetadataOfUpdate::Both),
    returns_deleted_object: true,
    generation: Generation::Spec,
    prepare_for_create: Some(prepare_for_create),
    prepare_for_update: Some(prepare_for_update),
    validate: Some(pod_spec::create),
    validate_update: Some(pod_spec::update),
    graceful_deletion: Some(grace),
    pods: Some(&[]),
    // They are changed by programs, which are not warned.
    tells_of_changes: false,
    warnings: &[
        (Warned::AsSent, warnings::as_sent),
        (Warned::Status, |_, pod, _| {
            let mut all = Vec::new();
            let at = At::object(pod);
            for list in ["podIPs", "hostIPs"] {
                at.get("status").get(list).items().for_each(|one| ip_warning(one.get("ip"), &mut all));
            }
            all
        }),
        (Warned::Object, |_, pod, old| {
            let mut all = Vec::new();
            if old.is_none() {
                warnings::name(pod, "this is used in the Pod's hostname", &mut all);
            }
            all
        }),
    ],
    ..Rules::NONE
};

/// The scheduling gate's reason of the condition PodScheduled.
const GATED: &str = "SchedulingGated";

/// A creator may set no status: the pod begins Pending, with its quality of service, and waiting for its gates.
fn prepare_for_create(ctx: &Context<'_>, pod: &mut Object) {
    let grace = ["spec", "terminationGracePeriodSeconds"];
    if pod.get(&grace).and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        pod.set(&grace, 1);
    }
    profiles(pod);
    let mut status = json!({"phase": "Pending", "qosClass": qos_class(pod)});
    let gates = pod.get(&["spec", "schedulingGates"]).and_then(Value::as_array).map_or(0, Vec::len);
    if gates > 0 {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": GATED, "lastProbeTime": null,
            "lastTransitionTime": time::rfc3339(ctx.now), "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    pod.set(&["status"], status);
}

/// AppArmor's annotations of containers become fields where there are none.
fn profiles(pod: &mut Object) {
    let annotated: HashMap<String, Value> = pod
        .annotations()
        .filter_map(|(key, text)| Some((key.strip_prefix(app_armor::PREFIX)?.to_owned(), app_armor::profile(text)?)))
        .collect();
    let whole = pod.get(&["spec", "securityContext", "appArmorProfile"]).cloned();
    if annotated.is_empty() || pod.get_str(&["spec", "os", "name"]) == Some("windows") {
        return;
    }
    for list in LISTS {
        let Some(Value::Array(containers)) = pod.get_mut(&["spec", list]) else { continue };
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            let Some(profile) = annotated.get(name).filter(|profile| whole.as_ref() != Some(*profile)) else {
                continue;
            };
            let context = container.entry("securityContext").or_insert_with(|| json!({}));
            if let Some(context) = context.as_object_mut() {
                context.entry("appArmorProfile").or_insert_with(|| profile.clone());
            }
        }
    }
}

/// Splits what each view may change: the object itself never its status, the views only their part.
fn prepare_for_update(ctx: &Context<'_>, pod: &mut Object, old: &Object) {
    match ctx.subresource {
        "status" => {
            one_address(pod, "hostIP", "hostIPs");
            if pod.get(&["status", "qosClass"]).is_none() {
                shapes::restore(pod, old, &["status", "qosClass"]);
            }
            keep_observed(pod, old);
        }
        "ephemeralcontainers" => {
            let list = pod.get(&["spec", "ephemeralContainers"]).cloned();
            restore(pod, old);
            if let Some(list) = list {
                pod.set(&["spec", "ephemeralContainers"], list);
            }
        }
        "resize" => {
            let lists = ["containers", "initContainers"].map(|list| (list, resized(pod, old, list)));
            // Other containers are left for validation to refuse.
            if lists.iter().any(|(_, list)| matches!(list, Resized::Others)) {
                return;
            }
            let own = pod.get(&["spec", "resources"]).cloned();
            restore(pod, old);
            for (list, containers) in lists {
                if let Resized::Same(containers) = containers {
                    pod.set(&["spec", list], containers);
                }
            }
            if ctx.gates.enabled("InPlacePodLevelResourcesVerticalScaling") {
                match own {
                    Some(own) => pod.set(&["spec", "resources"], own),
                    None => drop(pod.remove(&["spec", "resources"])),
                }
            }
        }
        // `binding` and `eviction` are written by the server's own actions, which change spec, metadata and conditions together.
        _ => {}
    }
}

/// What the status and its conditions were of, where the new ones do not say it: conditions of one type in their order
/// (preserveOldObservedGeneration).
fn keep_observed(pod: &mut Object, old: &Object) {
    const OBSERVED: &str = "observedGeneration";
    let told = |value: Option<&Value>| value.and_then(Value::as_i64).filter(|observed| *observed != 0);
    if told(pod.get(&["status", OBSERVED])).is_none() {
        shapes::restore(pod, old, &["status", OBSERVED]);
    }
    let Some(conditions) = pod.get(&["status", "conditions"]).and_then(Value::as_array) else { return };
    let before = old.get(&["status", "conditions"]).and_then(Value::as_array);
    let mut of_type: HashMap<&str, VecDeque<Option<i64>>> = HashMap::new();
    for condition in before.into_iter().flatten() {
        let observed = told(condition.get(OBSERVED));
        of_type.entry(condition["type"].as_str().unwrap_or("")).or_default().push_back(observed);
    }
    let mut kept = conditions.clone();
    for condition in &mut kept {
        let type_ = condition["type"].as_str().unwrap_or("");
        let observed = of_type.get_mut(type_).and_then(VecDeque::pop_front).flatten();
        if let (None, Some(observed), Some(condition)) =
            (told(condition.get(OBSERVED)), observed, condition.as_object_mut())
        {
            condition.insert(OBSERVED.to_owned(), observed.into());
        }
    }
    pod.set(&["status", "conditions"], kept);
}

/// The single address wins over the list: old clients know only it.
fn one_address(pod: &mut Object, single: &str, list: &str) {
    let own = pod.get_str(&["status", single]).unwrap_or("").to_owned();
    let first = pod.get(&["status", list]).and_then(|list| list.get(0)?.get("ip")?.as_str().map(str::to_owned));
    match first {
        Some(first) if own.is_empty() => pod.set(&["status", single], first),
        Some(first) if first == own => {}
        _ if own.is_empty() => {}
        _ => pod.set(&["status", list], json!([{"ip": own}])),
    }
}

/// Takes metadata, spec and status from the old pod.
fn restore(pod: &mut Object, old: &Object) {
    shapes::restore_metadata(pod, old);
    for part in ["spec", "status"] {
        match old.get(&[part]) {
            Some(value) => pod.set(&[part], value.clone()),
            None => {
                pod.remove(&[part]);
            }
        }
    }
}

/// A list of containers in a request to resize.
enum Resized {
    /// There is none, and was none.
    None,
    /// More or fewer than there are.
    Others,
    /// The old ones with the new ones' resources and resize policies; where names differ, the new ones.
    Same(Value),
}

fn resized(pod: &Object, old: &Object, list: &str) -> Resized {
    let containers = |pod: &Object| pod.get(&["spec", list]).and_then(Value::as_array).cloned().unwrap_or_default();
    let (new, mut merged) = (containers(pod), containers(old));
    if new.len() != merged.len() {
        return Resized::Others;
    }
    if new.is_empty() {
        return Resized::None;
    }
    for (container, new) in merged.iter_mut().zip(&new) {
        let (Some(container), Some(other)) = (container.as_object_mut(), new.as_object()) else { continue };
        if container.get("name") != other.get("name") {
            // Renamed or moved.
            return Resized::Same(containers(pod).into());
        }
        for part in ["resources", "resizePolicy"] {
            match other.get(part) {
                Some(value) => container.insert(part.to_owned(), value.clone()),
                None => container.remove(part),
            };
        }
    }
    Resized::Same(merged.into())
}

/// Deleted by its node after its own grace, but at once where no node has it or where it has ended.
fn grace(_: &Context<'_>, pod: &Object, options: &crate::options::DeleteOptions) -> Option<i64> {
    let own = pod.get(&["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64);
    let period = options.grace_period_seconds.or(own).unwrap_or(0);
    let placed = pod.get_str(&["spec", "nodeName"]).is_some_and(|node| !node.is_empty());
    let ended = matches!(pod.get_str(&["status", "phase"]), Some("Failed" | "Succeeded"));
    Some(if placed && !ended { if period < 0 { 1 } else { period } } else { 0 })
}

fn first_ip(pod: &Object) -> String {
    let ips = pod.get(&["status", "podIPs"]).and_then(Value::as_array);
    let first = ips.and_then(|ips| ips.first()).and_then(|ip| ip.get("ip")).and_then(Value::as_str);
    first.unwrap_or("").to_owned()
}

const CELLS: &[(&str, Cell)] = &[
    ("ready", |pod, now| Summary::of(pod, now).ready.into()),
    ("status", |pod, now| Summary::of(pod, now).status.into()),
    ("restarts", |pod, now| Summary::of(pod, now).restarts.into()),
    ("ip", |pod, _| Some(first_ip(pod)).filter(|ip| !ip.is_empty()).unwrap_or_else(|| "<none>".to_owned()).into()),
    ("readiness-gates", readiness_gates),
];

fn readiness_gates(pod: &Object, _: SystemTime) -> Value {
    let Some(gates) = pod.get(&["spec", "readinessGates"]).and_then(Value::as_array).filter(|gates| !gates.is_empty())
    else {
        return "<none>".into();
    };
    let mut first: HashMap<&str, &str> = HashMap::new();
    for condition in pod.get(&["status", "conditions"]).and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or("");
        first.entry(text("type")).or_insert(text("status"));
    }
    let types = gates.iter().filter_map(|gate| gate.get("conditionType").and_then(Value::as_str));
    let met = types.filter(|type_| first.get(type_) == Some(&"True")).count();
    format!("{met}/{}", gates.len()).into()
}

/// The row's condition of a pod that has ended: kubectl leaves such rows out where it is asked to.
fn finished(pod: &Object) -> Vec<Value> {
    let (reason, message) = match pod.get_str(&["status", "phase"]) {
        Some("Succeeded") => ("Succeeded", "The pod has completed successfully."),
        Some("Failed") => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

/// The columns of `kubectl get pods`.
struct Summary {
    ready: String,
    status: String,
    restarts: String,
}

/// The parts of a container's status that the summary is made of.
struct Container<'a>(&'a Value);

impl<'a> Container<'a> {
    fn state(&self, name: &str) -> Option<&'a Map<String, Value>> {
        self.0.get("state")?.get(name)?.as_object()
    }
    fn reason(&self, state: &str) -> Option<&'a str> {
        self.state(state)?.get("reason")?.as_str().filter(|reason| !reason.is_empty())
    }
    fn restarts(&self) -> i64 {
        self.0.get("restartCount").and_then(Value::as_i64).unwrap_or(0)
    }
    fn last_restart(&self) -> Option<&'a str> {
        self.0.get("lastState")?.get("terminated")?.get("finishedAt")?.as_str()
    }
    fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
    fn exit_code(&self) -> i64 {
        self.state("terminated").and_then(|state| state.get("exitCode")).and_then(Value::as_i64).unwrap_or(0)
    }
    /// The reason of its end, or what ended it.
    fn end(&self) -> String {
        let signal =
            self.state("terminated").and_then(|state| state.get("signal")).and_then(Value::as_i64).unwrap_or(0);
        match (self.reason("terminated"), signal) {
            (Some(reason), _) => reason.to_owned(),
            (None, 0) => format!("ExitCode:{}", self.exit_code()),
            (None, signal) => format!("Signal:{signal}"),
        }
    }
}

/// Restarts and when the last of them was.
#[derive(Default)]
struct Restarts<'a> {
    count: i64,
    last: Option<&'a str>,
}

impl<'a> Restarts<'a> {
    fn add(&mut self, container: &Container<'a>) {
        self.count += container.restarts();
        let time = container.last_restart();
        if time.and_then(time::parse) > self.last.and_then(time::parse) {
            self.last = time;
        }
    }
}

impl Summary {
    fn of(pod: &Object, now: SystemTime) -> Self {
        let list = |path: &[&str]| pod.get(path).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let phase = pod.get_str(&["status", "phase"]).unwrap_or("");
        let own_reason = pod.get_str(&["status", "reason"]).filter(|reason| !reason.is_empty());
        let mut status = own_reason.unwrap_or(phase).to_owned();
        let gated = |c: &&Value| {
            c.get("type").and_then(Value::as_str) == Some("PodScheduled")
                && c.get("reason").and_then(Value::as_str) == Some(GATED)
        };
        if list(&["status", "conditions"]).iter().find(gated).is_some() {
            GATED.clone_into(&mut status);
        }

        // Init containers that restart are sidecars: they count among the containers.
        let inits = list(&["spec", "initContainers"]);
        let name = |value: &'_ Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
        let mut restarting: HashMap<Option<String>, bool> = HashMap::new();
        for init in inits {
            let always = init.get("restartPolicy").and_then(Value::as_str) == Some("Always");
            restarting.entry(name(init)).or_insert(always);
        }
        let sidecar = |value: &Value| restarting.get(&name(value)).copied().unwrap_or(false);
        let sidecars = inits.iter().filter(|init| sidecar(init)).count();
        let total = list(&["spec", "containers"]).len() + sidecars;
        let mut ready = 0;
        let mut restarts = Restarts::default();
        let mut sidecar_restarts = Restarts::default();
        let mut initializing = false;
        for (index, init) in list(&["status", "initContainerStatuses"]).iter().enumerate() {
            let container = Container(init);
            let is_sidecar = sidecar(init);
            restarts.add(&container);
            if is_sidecar {
                sidecar_restarts.add(&container);
            }
            let terminated = container.state("terminated").is_some();
            if terminated && container.exit_code() == 0 {
                continue;
            }
            if is_sidecar && container.flag("started") {
                ready += usize::from(container.flag("ready"));
                continue;
            }
            status = match container.reason("waiting") {
                _ if terminated => format!("Init:{}", container.end()),
                Some(reason) if reason != "PodInitializing" => format!("Init:{reason}"),
                _ => format!("Init:{index}/{}", inits.len()),
            };
            initializing = true;
            break;
        }

        if !initializing || condition_is(pod, "Initialized", "True") {
            restarts = sidecar_restarts;
            let mut running = false;
            let mut failure = None;
            for container in list(&["status", "containerStatuses"]).iter().rev().map(Container) {
                restarts.add(&container);
                if let Some(reason) = container.reason("waiting") {
                    reason.clone_into(&mut status);
                } else if container.state("terminated").is_some() {
                    status = container.end();
                    if container.exit_code() != 0 {
                        failure = Some(status.clone());
                    }
                } else if container.flag("ready") && container.state("running").is_some() {
                    running = true;
                    ready += 1;
                }
            }
            if status == "Completed" {
                status = match failure {
                    _ if running && condition_is(pod, "Ready", "True") => "Running".to_owned(),
                    Some(failure) => failure,
                    None if running => "NotReady".to_owned(),
                    None => status,
                };
            }
        }

        if pod.deletion_timestamp().is_some() {
            if own_reason == Some("NodeLost") {
                "Unknown".clone_into(&mut status);
            } else if !matches!(phase, "Failed" | "Succeeded") {
                "Terminating".clone_into(&mut status);
            }
        }
        let restarts = match restarts.last {
            Some(last) if restarts.count != 0 => format!("{} ({} ago)", restarts.count, age(last, now)),
            _ => restarts.count.to_string(),
        };
        Self { ready: format!("{ready}/{total}"), status, restarts }
    }
}
