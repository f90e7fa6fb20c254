//! The policies that come with the binary, as objects like any other.

use sampan_api::scheduling::{BUILT_IN_LABEL, FailurePolicy, SchedulingPolicy, SchedulingPolicySpec};

/// The image of the component that the build makes of plugins/policies.
pub const BUILT_IN_IMAGE: &str = "sampan/policies:v1";

/// Name of the object, policy, weight. In the order of kube-scheduler's filters; weights as its default profile has them.
const BUILT_INS: [(&str, &str, i32); 6] = [
    ("node-unschedulable", "NodeUnschedulable", 1),
    ("node-name", "NodeName", 1),
    ("taint-toleration", "TaintToleration", 3),
    ("node-affinity", "NodeAffinity", 2),
    ("node-ports", "NodePorts", 1),
    ("node-resources-fit", "NodeResourcesFit", 1),
];

/// Places between two built-ins, for policies that want to stand there.
const ORDER_STEP: i32 = 10;

/// The objects that are created at the first start. A built-in is switched off by `spec.mode: Off`; one that was
/// deleted is there again after a restart.
pub fn built_in_policies() -> Vec<SchedulingPolicy> {
    let object = |(at, (name, policy, weight)): (usize, &(&str, &str, i32))| {
        let mut object = SchedulingPolicy {
            spec: SchedulingPolicySpec {
                component: BUILT_IN_IMAGE.to_owned(),
                policy: Some((*policy).to_owned()),
                weight: (*weight > 1).then_some(*weight),
                order: Some((at as i32 + 1) * ORDER_STEP),
                failure_policy: FailurePolicy::Fail,
                ..SchedulingPolicySpec::default()
            },
            ..SchedulingPolicy::default()
        };
        object.metadata.name = Some((*name).to_owned());
        object.metadata.labels = Some([(BUILT_IN_LABEL.to_owned(), "true".to_owned())].into());
        object
    };
    BUILT_INS.iter().enumerate().map(object).collect()
}
