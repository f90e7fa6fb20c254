//! Decisions on record: from a cycle to the API's `Decision`, and the ring of those kept in memory.

use crate::limits;
use crate::scheduler::Cycled;
use parking_lot::Mutex;
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::OwnerReference;
use sampan_api::scheduling::{
    Decision, DecisionFault, DecisionInputs, DecisionOutcome, PodRef, PolicyInput, Refusal, ScoredNode,
};
use sampan_api::time::rfc3339_micro;
use sampan_scheduler_core::{CycleResult, Outcome, Profile, ProfilePolicy, Refusals};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

/// A cycle as it is kept and posted.
pub(crate) fn decision(cycled: &Cycled, run: &str, now: SystemTime, micros: u64) -> Decision {
    let pod = &cycled.pod;
    let policies = cycled.profile.policies().iter();
    let mut decision = Decision {
        pod: PodRef {
            namespace: pod.namespace().to_owned(),
            name: pod.name().to_owned(),
            uid: pod.uid.to_string(),
            resource_version: pod.resource_version().to_owned(),
        },
        profile: cycled.profile.scheduler_name().to_owned(),
        time: rfc3339_micro(now),
        run: run.to_owned(),
        sequence: cycled.sequence,
        inputs: DecisionInputs {
            nodes: cycled.nodes_revision.to_string(),
            pods: cycled.pods_revision.to_string(),
            assumed: cycled.assumed.clone(),
            seed: cycled.seed,
            start_index: cycled.start,
            policies: policies.map(policy_input).collect(),
            percentage_of_nodes_to_score: cycled.profile.percentage_of_nodes_to_score,
        },
        outcome: outcome(&cycled.outcome, &cycled.profile, micros),
        ..Decision::default()
    };
    let nanos = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    decision.metadata.name = Some(name(pod.name(), &format!("{nanos:x}.{:x}", cycled.sequence)));
    decision.metadata.namespace = Some(pod.namespace().to_owned());
    // A decision goes with its pod.
    decision.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: pod.name().to_owned(),
        uid: pod.uid.to_string(),
        ..OwnerReference::default()
    }]);
    decision
}

/// A policy as a record names it: everything of it that a decision hangs on.
pub(crate) fn policy_input(policy: &ProfilePolicy) -> PolicyInput {
    PolicyInput {
        name: policy.name.clone(),
        generation: policy.generation,
        digest: policy.digest.clone(),
        args_digest: policy.args_digest.clone(),
        points: policy.points.names(),
        weight: policy.weight,
        ignore_faults: policy.ignore_faults,
    }
}

/// The pod's name and what tells its decisions apart; the former is cut where both would be too long.
fn name(pod: &str, suffix: &str) -> String {
    let end = limits::NAME.saturating_sub(suffix.len() + 1).min(pod.len());
    // Names of pods are ASCII; a label ends in a letter or a digit.
    let pod = pod.get(..end).unwrap_or_default().trim_end_matches(['-', '.']);
    format!("{pod}.{suffix}")
}

/// The number of the decision of that name, in its run.
pub(crate) fn number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.rsplit('.').next()?, 16).ok()
}

pub(crate) fn outcome(outcome: &Outcome, profile: &Profile, micros: u64) -> DecisionOutcome {
    let name = |policy: u32| profile.policy(policy).map(|policy| policy.name.clone()).unwrap_or_default();
    let (result, node) = match &outcome.result {
        CycleResult::Placed(placed) => ("Scheduled", Some(placed.node.clone())),
        CycleResult::Unschedulable | CycleResult::Held => ("Unschedulable", None),
        CycleResult::Failed => ("Error", None),
    };
    let (recorded, left_out) = recorded(&outcome.refusals);
    let refusals = recorded.into_iter().map(|refused| Refusal {
        policy: name(refused.reason.policy),
        reasons: refused.reason.texts.clone(),
        unresolvable: refused.reason.unresolvable,
        count: refused.count,
        nodes: base64(&refused.bitmap),
    });
    let faults = outcome.faults.iter().map(|fault| DecisionFault {
        policy: fault.policies.iter().map(|policy| name(*policy)).collect::<Vec<_>>().join(", "),
        cause: fault.cause.clone(),
        message: fault.message.clone(),
    });
    DecisionOutcome {
        result: result.to_owned(),
        node,
        nodes: outcome.nodes,
        feasible: outcome.feasible,
        best: outcome.best.iter().map(|(node, score)| ScoredNode { node: node.clone(), score: *score }).collect(),
        refusals: refusals.collect(),
        refusals_left_out: left_out,
        faults: faults.collect(),
        message: outcome.message.clone(),
        microseconds: micros,
    }
}

/// The refusals of the most nodes, in their order, as far as a record has room; and how many are left out.
fn recorded(refusals: &[Refusals]) -> (Vec<&Refusals>, u32) {
    let mut by_count: Vec<usize> = (0..refusals.len()).collect();
    by_count.sort_by_key(|at| (std::cmp::Reverse(refusals[*at].count), *at));
    let mut bytes = 0;
    let mut kept: Vec<usize> = by_count
        .into_iter()
        .take(limits::RECORDED_REFUSALS)
        .take_while(|at| {
            bytes += refusals[*at].reason.texts.iter().map(String::len).sum::<usize>();
            bytes <= limits::RECORDED_TEXT_BYTES
        })
        .collect();
    kept.sort_unstable();
    let left_out = (refusals.len() - kept.len()) as u32;
    (kept.into_iter().map(|at| &refusals[at]).collect(), left_out)
}

/// Standard alphabet, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
        for at in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[derive(Debug, Default)]
struct Ring {
    kept: VecDeque<Arc<Decision>>,
    latest: HashMap<(String, String), Arc<Decision>>,
}

/// The latest decisions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Records(Arc<Mutex<Ring>>);

fn key(decision: &Decision) -> (String, String) {
    (decision.pod.namespace.clone(), decision.pod.name.clone())
}

impl Records {
    pub(crate) fn keep(&self, decision: Arc<Decision>) {
        let mut ring = self.0.lock();
        if ring.kept.len() == limits::DECISIONS_KEPT
            && let Some(oldest) = ring.kept.pop_front()
        {
            let key = key(&oldest);
            if ring.latest.get(&key).is_some_and(|latest| Arc::ptr_eq(latest, &oldest)) {
                ring.latest.remove(&key);
            }
        }
        ring.latest.insert(key(&decision), Arc::clone(&decision));
        ring.kept.push_back(decision);
    }

    /// The last decision about a pod of that name.
    pub fn latest(&self, namespace: &str, name: &str) -> Option<Arc<Decision>> {
        self.0.lock().latest.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The decision of this number of the present run. Numbers are without gaps, but not in order of keeping.
    pub fn numbered(&self, sequence: u64) -> Option<Arc<Decision>> {
        let ring = self.0.lock();
        ring.kept.iter().rev().find(|decision| decision.sequence == sequence).cloned()
    }

    /// Decisions kept.
    pub fn len(&self) -> usize {
        self.0.lock().kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_one() {
        for (bytes, text) in [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"\xff\xee", "/+4=")]
        {
            assert_eq!(base64(bytes), text);
        }
    }

    #[test]
    fn a_name_fits_what_names_may_be() {
        let check = |pod: &str, expected: &str| assert_eq!(name(pod, "1.2"), expected);
        check("web-0", "web-0.1.2");
        assert_eq!(["web-0.1.2f", "web-0", ""].map(number), [Some(0x2f), None, None]);
        check(&"a".repeat(253), &format!("{}.1.2", "a".repeat(249)));
        check(&format!("{}-{}", "a".repeat(248), "b".repeat(4)), &format!("{}.1.2", "a".repeat(248)));
    }

    #[test]
    fn the_ring_is_bounded_and_knows_the_latest() {
        let records = Records::default();
        for sequence in 0..limits::DECISIONS_KEPT as u64 + 10 {
            let mut decision = Decision { sequence, ..Decision::default() };
            decision.pod.name = format!("p{}", sequence % 3);
            records.keep(Arc::new(decision));
        }
        assert_eq!(records.len(), limits::DECISIONS_KEPT);
        assert!(records.numbered(0).is_none() && records.numbered(20).is_some());
        let last = limits::DECISIONS_KEPT as u64 + 9;
        assert_eq!(records.latest("", &format!("p{}", last % 3)).map(|d| d.sequence), Some(last));
    }
}
