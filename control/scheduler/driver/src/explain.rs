//! A recorded decision computed again, whole: the inputs are read as they were, and every policy is asked about every
//! node.

use crate::limits;
use crate::record::{Records, number, outcome, policy_input};
use crate::text::text;
use sampan_api::k8s::api::core::v1::{Node, Pod};
use sampan_api::scheduling::{
    Decision, ExplainedCell, ExplainedMatrix, ExplainedNode, ExplainedPolicy, Explanation, PolicyInput,
};
use sampan_api::{GroupResource, Record, Status};
use sampan_client::{Client, ListParams};
use sampan_scheduler_core::{LivePolicies, Matrix, PodInfo, PolicyHosts, Profile, Snapshot, explain};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Answers `pods/NAME/scheduling`. Cheap to clone.
#[derive(Clone)]
pub struct Explainer {
    client: Client,
    policies: Arc<dyn PolicyHosts>,
    records: Records,
    turns: Arc<Semaphore>,
}

impl std::fmt::Debug for Explainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Explainer")
    }
}

/// The cluster at the moment of the decision.
struct Inputs {
    nodes: Vec<Arc<Record>>,
    pods: Vec<Arc<Record>>,
    /// Node of each assumed pod, by uid.
    assumed: HashMap<String, String>,
}

impl Explainer {
    pub(crate) fn new(client: Client, policies: Arc<dyn PolicyHosts>, records: Records) -> Self {
        Self { client, policies, records, turns: Arc::new(Semaphore::new(limits::EXPLANATIONS)) }
    }

    /// The decisions that it explains.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The last decision about the pod, and the whole of it computed again.
    ///
    /// # Errors
    /// Not found, when no decision about it is on record.
    pub async fn explain(&self, namespace: &str, name: &str) -> Result<Explanation, Status> {
        let kept = self.records.latest(namespace, name);
        let decision = match kept {
            Some(decision) => Some(decision),
            // One of an earlier run, or one that others pushed out of memory.
            None => self.posted(namespace, name).await?.map(Arc::new),
        };
        let Some(decision) = decision else {
            let resource = GroupResource::new("", "pods");
            let mut status = Status::not_found(&resource, name);
            status.message = format!("no decision about pod {namespace}/{name} is on record");
            return Err(status);
        };
        let _turn = self.turns.acquire().await.map_err(|_| Status::internal("the scheduler is shutting down"))?;
        let recorded = Decision::clone(&decision);
        let (matrix, note) = match self.compute(decision).await {
            Ok(matrix) => (Some(matrix), String::new()),
            Err(note) => (None, note),
        };
        Ok(Explanation { text: text(&recorded, matrix.as_ref(), &note), decision: recorded, matrix, note })
    }

    /// The newest decision about the pod that the API holds.
    async fn posted(&self, namespace: &str, name: &str) -> Result<Option<Decision>, Status> {
        let of_pod = ListParams::fields(format!("pod.name={name}"));
        let listed = self.client.namespaced::<Decision>(namespace).list_all_records(&of_pod).await;
        let listed = listed.map_err(|error| Status::internal(&format!("decisions cannot be read: {error}")))?;
        let decisions = listed.items.iter().filter_map(|record| record.typed::<Decision>().ok());
        let newest = decisions.max_by(|a, b| a.time.cmp(&b.time));
        Ok(newest.map(|decision| Decision::clone(&decision)))
    }

    async fn compute(&self, decision: Arc<Decision>) -> Result<ExplainedMatrix, String> {
        let inputs = self.inputs(&decision).await?;
        let policies = Arc::clone(&self.policies);
        // Off the async threads: it runs guests over the whole cluster.
        let computed = sampan_env::blocking(move || recompute(&decision, &inputs, policies.explaining_host().as_mut()));
        computed.await.map_err(|error| format!("the computation ended: {error}"))?
    }

    async fn inputs(&self, decision: &Decision) -> Result<Inputs, String> {
        let at = |revision: &str| ListParams {
            resource_version: Some(revision.to_owned()),
            exact: true,
            ..ListParams::default()
        };
        let gone =
            |what: &str, error: sampan_client::Error| format!("the {what} of that moment cannot be read: {error}");
        let nodes = self.client.all::<Node>().list_all_records(&at(&decision.inputs.nodes)).await;
        let pods = self.client.all::<Pod>().list_all_records(&at(&decision.inputs.pods)).await;
        Ok(Inputs {
            nodes: nodes.map_err(|error| gone("nodes", error))?.items,
            pods: pods.map_err(|error| gone("pods", error))?.items,
            assumed: self.assumed(decision).await?,
        })
    }

    /// Where the pods were counted whose bindings had not been seen yet: as the decisions about them say, which are those
    /// in memory, or what an earlier run has posted.
    async fn assumed(&self, decision: &Decision) -> Result<HashMap<String, String>, String> {
        let mut assumed = HashMap::new();
        let mut missing = BTreeSet::new();
        let mut count = |earlier: &Decision| {
            // Another run has numbers of its own.
            let of_this_run = earlier.run == decision.run;
            if let Some(node) = earlier.outcome.node.as_ref().filter(|_| of_this_run) {
                assumed.insert(earlier.pod.uid.clone(), node.clone());
            }
            of_this_run
        };
        let numbers = decision.inputs.assumed.iter().flat_map(|(first, last)| *first..=*last);
        for sequence in numbers.take(limits::ASSUMED_MAX) {
            if !self.records.numbered(sequence).is_some_and(|earlier| count(&earlier)) {
                missing.insert(sequence);
            }
        }
        if !missing.is_empty() {
            let listed = self.client.all::<Decision>().list_all_records(&ListParams::default()).await;
            let listed = listed.map_err(|error| format!("the decisions that it builds on cannot be read: {error}"))?;
            // Names end with the number: few others need be decoded.
            let numbered =
                listed.items.iter().filter(|record| number(&record.key.name).is_some_and(|n| missing.contains(&n)));
            let found: BTreeSet<u64> = numbered
                .filter_map(|record| record.typed::<Decision>().ok())
                .filter(|earlier| count(earlier))
                .map(|earlier| earlier.sequence)
                .collect();
            missing.retain(|sequence| !found.contains(sequence));
        }
        match missing.first() {
            Some(sequence) => Err(format!("decision {sequence}, which it builds on, is no longer kept")),
            None => Ok(assumed),
        }
    }
}

fn recompute(decision: &Decision, inputs: &Inputs, host: &mut dyn LivePolicies) -> Result<ExplainedMatrix, String> {
    host.adopt();
    let profile = host.profile(&decision.profile).ok_or_else(|| format!("profile {} is gone", decision.profile))?;
    same_policies(decision, &profile)?;
    let mut snapshot = Snapshot::new(profile.columns());
    for record in &inputs.nodes {
        snapshot.set_node(record.typed::<Node>().map_err(|error| format!("node {}: {error}", record.key.name))?);
    }
    let mut wanted = None;
    for record in &inputs.pods {
        let pod = record.typed::<Pod>().map_err(|error| format!("pod {}: {error}", record.key.name))?;
        let info = PodInfo::new(pod, snapshot.strings_mut());
        if *info.uid == *decision.pod.uid {
            wanted = Some(info);
            continue;
        }
        let node = info.node_name().or_else(|| inputs.assumed.get(&*info.uid).map(String::as_str));
        if let Some(node) = node.filter(|_| !info.finished()) {
            snapshot.add_pod(node, &info.uid, &info.usage);
        }
    }
    let pod = wanted.ok_or("the pod was not there at that revision")?;
    let view = snapshot.view(&pod, &profile);
    let matrix = explain(&snapshot, &view, &profile, decision.inputs.seed, decision.inputs.start_index, host);
    Ok(explained(decision, &profile, matrix))
}

/// A matrix of other policies than decided would explain nothing, nor one of other weights or arguments.
fn same_policies(decision: &Decision, profile: &Profile) -> Result<(), String> {
    let now: Vec<PolicyInput> = profile.policies().iter().map(policy_input).collect();
    let then = &decision.inputs.policies;
    if decision.inputs.percentage_of_nodes_to_score != profile.percentage_of_nodes_to_score {
        return Err("the profile looks for another share of the nodes than it did then".to_owned());
    }
    if now == *then {
        return Ok(());
    }
    let names = |policies: &[PolicyInput]| policies.iter().map(|policy| policy.name.clone()).collect::<Vec<_>>();
    if names(&now) != names(then) {
        return Err("other policies are live than those that decided, or they run in another order".to_owned());
    }
    let changed = now.iter().zip(then).filter(|(now, then)| now != then).map(|(now, _)| now.name.clone());
    let changed: Vec<String> = changed.collect();
    Err(format!(
        "these policies have another component, other arguments, points, weights or another failurePolicy than when they \
         decided: {}",
        changed.join(", ")
    ))
}

fn explained(decision: &Decision, profile: &Profile, matrix: Matrix) -> ExplainedMatrix {
    let again = outcome(&matrix.outcome, profile, decision.outcome.microseconds);
    let (was, is) = (&decision.outcome, &again);
    let agrees = was.result == is.result && was.node == is.node && was.best == is.best && was.message == is.message;
    let difference = if agrees {
        String::new()
    } else {
        format!("computed again: {} {} {}", is.result, is.node.as_deref().unwrap_or("-"), is.message)
    };
    let policies = matrix.policies.into_iter().map(|policy| ExplainedPolicy {
        name: policy.name,
        digest: policy.digest,
        points: policy.points.names(),
        weight: policy.weight,
    });
    let nodes = matrix.rows.into_iter().map(|row| ExplainedNode {
        node: row.node,
        feasible: row.feasible,
        total: row.total,
        cells: row
            .cells
            .into_iter()
            .map(|cell| ExplainedCell {
                refused: cell.refusal.map(|reason| reason.texts).unwrap_or_default(),
                raw: cell.score.map(|(raw, _)| raw),
                score: cell.score.map(|(_, score)| score),
            })
            .collect(),
    });
    ExplainedMatrix { agrees, difference, policies: policies.collect(), nodes: nodes.collect() }
}
