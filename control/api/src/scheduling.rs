//! The types of our own group `scheduling.sampan.dev/v1alpha1`: `SchedulingPolicy` (cluster-scoped: which component takes
//! part in scheduling, where, and how much it may cost) and `Decision` (namespaced, beside its pod: what one scheduling
//! cycle saw and decided, compactly enough to be written for every pod and whole enough to be computed again).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The group of our own scheduling kinds.
pub const GROUP: &str = "scheduling.sampan.dev";
/// Its version.
pub const VERSION: &str = "v1alpha1";
/// Its `apiVersion`.
pub const API_VERSION: &str = "scheduling.sampan.dev/v1alpha1";

/// Label of the policies that came with the binary: `sampan.dev/built-in: "true"`.
pub const BUILT_IN_LABEL: &str = "sampan.dev/built-in";
/// Annotation of a built-in policy: the digest that the binary carried when it was installed.
pub const BUILT_IN_DIGEST_ANNOTATION: &str = "sampan.dev/built-in-digest";

/// Condition types of a [`SchedulingPolicy`].
pub mod condition {
    /// The policy takes part in scheduling in the form that its spec asks for.
    pub const READY: &str = "Ready";
    /// The component is compiled for this machine.
    pub const COMPILED: &str = "Compiled";
    /// The component decided the spec's fixtures as they state.
    pub const FIXTURES_PASSED: &str = "FixturesPassed";
    /// Set after repeated faults; cleared by a new generation of the object or a new digest of the component.
    pub const SUSPENDED: &str = "Suspended";
    /// Every profile that `spec.profiles` names is there. Only where it names some.
    pub const PROFILES_FOUND: &str = "ProfilesFound";
}

/// One named policy of a component, put to work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulingPolicy {
    /// The object's metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The policy as its author wants it.
    pub spec: SchedulingPolicySpec,
    /// The state of the policy; `None` until the host has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<SchedulingPolicyStatus>,
}

/// The component of a policy, the place where it takes part, and its limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulingPolicySpec {
    /// The component by tag or digest, as an image is named: `example/quiet-nodes:v1`, `example/quiet-nodes@sha256:...`.
    pub component: String,
    /// Name of the policy in the component; may be left out where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// `filter`, `score`, ...: those of the points that it exports at which it shall run; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<String>,
    /// The factor of its normalised score, 1 to 100; 1 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// Checked by the policy itself before it goes live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    /// Bounds of one call; the host's defaults when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The effect of a fault of the policy on the pod in hand: `Fail` (the pod waits) or `Ignore` (as if it had not
    /// been asked).
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// The profiles (`spec.schedulerName` of pods) that it belongs to; every profile when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Whether it decides.
    #[serde(default)]
    pub mode: Mode,
    /// Place among the filters: the first that refuses a node is the one that is named. Built-ins stand below 100; 1000
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<i32>,
    /// Cases that a new digest must decide as stated before it is swapped in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixtures: Vec<Fixture>,
}

/// Bounds of one call of a policy. A limit that is left out is the host's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// CPU time of the thread, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milliseconds: Option<u64>,
    /// Wall time, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_milliseconds: Option<u64>,
    /// Quantity of bytes: linear memories and tables of one instance together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

/// The effect of a policy's fault on the pod in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailurePolicy {
    /// The pod waits.
    #[default]
    Fail,
    /// As if the policy had not been asked.
    Ignore,
}

/// Whether a policy decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The policy decides.
    #[default]
    Enforce,
    /// The policy is not asked.
    Off,
}

/// One pod, one node, and what the policy must say of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fixture {
    /// Its name.
    pub name: String,
    /// The pod, as JSON.
    pub pod: Value,
    /// The node, as JSON.
    pub node: Value,
    /// `Pass`, or the reason of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The raw score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
}

/// The state of a policy, as the host reports it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulingPolicyStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `sha256:...` of the component that is live (not of one that is still being checked).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Extension points that the live component exports for this policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<String>,
    /// See [`condition`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Calls since the process began.
    #[serde(default)]
    pub calls: i64,
    /// Duration of the calls lately, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_microseconds: Option<i64>,
    /// The 99th percentile of the same calls, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_microseconds: Option<i64>,
    /// Faults by cause: `Trap`, `CpuBudget`, `WallBudget`, `Memory`, `Blocked`, `BadAnswer`, `Refused`, `Impure`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<String, i64>,
}

/// One scheduling cycle: its inputs (enough to run it again) and its outcome.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The object's metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The pod that was decided about.
    pub pod: PodRef,
    /// The profile's scheduler name.
    pub profile: String,
    /// Start of the cycle, RFC 3339 with microseconds.
    pub time: String,
    /// The start of the scheduler that it belongs to: sequence numbers count within one.
    pub run: String,
    /// Counts the cycles of a run.
    pub sequence: u64,
    /// The inputs of the decision.
    pub inputs: DecisionInputs,
    /// The result of the decision.
    pub outcome: DecisionOutcome,
}

/// One pod at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The pod's own revision that was decided on.
    pub resource_version: String,
}

/// The inputs of a decision, by which it can be computed again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionInputs {
    /// Revision of the nodes that the cycle saw.
    pub nodes: String,
    /// Revision of the pods that the cycle saw.
    pub pods: String,
    /// Decisions of the same run whose pods were counted on their node though the revision above does not have them
    /// there yet: ranges of sequence numbers, both ends included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<(u64, u64)>,
    /// The seed of the draw between nodes of equal score.
    pub seed: u64,
    /// The node that was looked at first, by its place in the order of nodes.
    pub start_index: u32,
    /// Policies in the order in which they ran.
    pub policies: Vec<PolicyInput>,
    /// The share of nodes that was enough; all, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage_of_nodes_to_score: Option<u32>,
}

/// One policy in the form in which it took part: everything of it that a decision hangs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyInput {
    /// Name of the `SchedulingPolicy`.
    pub name: String,
    /// Generation of the `SchedulingPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Digest of its component.
    pub digest: String,
    /// Digest of its arguments; "" when it had none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub args_digest: String,
    /// The points at which it was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<String>,
    /// The factor of its normalised score.
    #[serde(default)]
    pub weight: i64,
    /// Its faults counted as if it had not been asked.
    #[serde(default)]
    pub ignore_faults: bool,
}

/// The result of a decision, compactly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionOutcome {
    /// `Scheduled`, `Unschedulable` or `Error`.
    pub result: String,
    /// The node that was chosen; `None` where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Nodes in the snapshot, and those that no filter refused.
    pub nodes: u32,
    /// The number of nodes that passed all filters.
    pub feasible: u32,
    /// The best few, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub best: Vec<ScoredNode>,
    /// Reasons for which nodes were refused, by policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// Refusals, of the fewest nodes, that the record has no room for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refusals_left_out: u32,
    /// Policies that failed while they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<DecisionFault>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Duration of the cycle, microseconds.
    pub microseconds: u64,
}

/// One node and its score.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoredNode {
    /// The node's name.
    pub node: String,
    /// Sum of the normalised scores, each times its weight.
    pub score: i64,
}

/// One reason, and the nodes that were refused for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The policy's name.
    pub policy: String,
    /// The texts as they are counted in the pod's condition.
    pub reasons: Vec<String>,
    /// No eviction of pods could change it.
    #[serde(default)]
    pub unresolvable: bool,
    /// The number of nodes that it refused.
    pub count: u32,
    /// Base64 of a bitmap, least significant bit first, over the nodes sorted by name.
    pub nodes: String,
}

/// A policy that failed while it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionFault {
    /// The policy's name.
    pub policy: String,
    /// The kind of the fault.
    pub cause: String,
    /// For people.
    pub message: String,
}

/// Many decisions in one write: the body of the group's `decisionbatches` action, which stores its items in one
/// transaction and answers with how many were stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionBatch {
    /// The object's metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The decisions, each whole.
    pub items: Vec<Decision>,
}

/// The answer of `pods/NAME/scheduling`: the last decision about a pod, and the whole of it computed again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The whole as people read it.
    pub text: String,
    /// The decision that is explained.
    pub decision: Decision,
    /// `None` when it cannot be computed again; [`Explanation::note`] says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<ExplainedMatrix>,
    /// Parts that the explanation leaves out, with the reason; empty if none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Each policy's word on each node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedMatrix {
    /// The computation came to the recorded result.
    pub agrees: bool,
    /// The result of the computation, where it does not agree with the record.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub difference: String,
    /// The policies that were asked, in the order of the columns.
    pub policies: Vec<ExplainedPolicy>,
    /// By name of the node.
    pub nodes: Vec<ExplainedNode>,
}

/// One policy of an explained decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedPolicy {
    /// Its name.
    pub name: String,
    /// The digest of its component.
    pub digest: String,
    /// The points at which it was asked.
    pub points: Vec<String>,
    /// The factor of its normalised score.
    pub weight: i64,
}

/// One node of an explained decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedNode {
    /// The node's name.
    pub node: String,
    /// Whether it passed all filters.
    pub feasible: bool,
    /// Sum of the weighted scores; only where the node is feasible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// One for each of the matrix's policies, in their order.
    pub cells: Vec<ExplainedCell>,
}

/// The answer of one policy about one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedCell {
    /// Reasons for which the policy refuses the node; empty: it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// The score as the policy gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<i64>,
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The resource traits of one of our kinds. k8s-openapi's own types write `apiVersion` and `kind` when serialised; ours
/// leave that to whoever writes them, as the kind is known from the call.
macro_rules! resource {
    ($type:ty, $kind:literal, $plural:literal, $scope:ty) => {
        impl k8s_openapi::Resource for $type {
            const API_VERSION: &'static str = API_VERSION;
            const GROUP: &'static str = GROUP;
            const KIND: &'static str = $kind;
            const VERSION: &'static str = VERSION;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = $scope;
        }
        impl k8s_openapi::ListableResource for $type {
            const LIST_KIND: &'static str = concat!($kind, "List");
        }
        impl k8s_openapi::Metadata for $type {
            type Ty = ObjectMeta;
            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
resource!(SchedulingPolicy, "SchedulingPolicy", "schedulingpolicies", k8s_openapi::ClusterResourceScope);
resource!(Decision, "Decision", "decisions", k8s_openapi::NamespaceResourceScope);
resource!(DecisionBatch, "DecisionBatch", "decisionbatches", k8s_openapi::ClusterResourceScope);
