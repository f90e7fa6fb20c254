//! Kubernetes' mandatory and suggested levels and schemas (k8s.io/apiserver,
//! `pkg/apis/flowcontrol/bootstrap/default.go`).

use super::{
    Classifier, Distinguisher, FlowSchema, Level, LevelKind, LimitResponse, Limited, Policy, Queuing, Rule, Subject,
};
use sampan_api::user::{
    GROUP_AUTHENTICATED, GROUP_MASTERS, GROUP_NODES, GROUP_SERVICE_ACCOUNTS, GROUP_UNAUTHENTICATED,
};
use std::borrow::Cow;

const KUBE_SYSTEM: &str = "kube-system";
const LEASES: (&[&str], &[&str]) = (&["coordination.k8s.io"], &["leases"]);
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = sampan_api::user::USER_SCHEDULER;

/// The levels and schemas of a server that was told nothing else.
pub fn classifier() -> Classifier {
    Classifier::new(levels(), schemas())
}

pub(super) fn levels() -> Vec<Level> {
    let level = |name: &'static str, shares: u32, lendable_percent: u32, queues: u32, hand_size: u32| Level {
        name: name.into(),
        uid: None,
        kind: LevelKind::Limited(Limited {
            shares,
            lendable_percent,
            response: LimitResponse::Queue(Queuing { queues, hand_size, queue_length: QUEUE_LENGTH }),
        }),
    };
    vec![
        Level { name: "exempt".into(), uid: None, kind: LevelKind::Exempt },
        level("node-high", 40, 25, 64, 6),
        level("system", 30, 33, 64, 6),
        level("leader-election", 10, 0, 16, 4),
        level("workload-high", 40, 50, 128, 6),
        level("workload-low", 100, 90, 128, 6),
        level("global-default", 20, 50, 128, 6),
        Level {
            name: "catch-all".into(),
            uid: None,
            kind: LevelKind::Limited(Limited { shares: 5, lendable_percent: 0, response: LimitResponse::Reject }),
        },
    ]
}

/// `queueLengthLimit` of every suggested level.
const QUEUE_LENGTH: u32 = 50;

fn list(words: &[&'static str]) -> Vec<Cow<'static, str>> {
    words.iter().map(|word| Cow::Borrowed(*word)).collect()
}

fn resource(
    verbs: &[&'static str],
    (groups, resources): (&[&'static str], &[&'static str]),
    namespaces: &[&'static str],
) -> Rule {
    let cluster_scope = false;
    let (verbs, groups) = (list(verbs), list(groups));
    Rule::Resource { verbs, groups, resources: list(resources), namespaces: list(namespaces), cluster_scope }
}

/// A rule for objects with and without a namespace.
fn resource_anywhere(of: (&[&'static str], &[&'static str])) -> Rule {
    let (groups, resources) = (list(of.0), list(of.1));
    Rule::Resource { verbs: list(&["*"]), groups, resources, namespaces: list(&["*"]), cluster_scope: true }
}

fn everything() -> Vec<Rule> {
    vec![resource_anywhere((&["*"], &["*"])), Rule::NonResource { verbs: list(&["*"]), paths: list(&["*"]) }]
}

fn users(names: &[&'static str]) -> Vec<Subject> {
    names.iter().map(|name| Subject::User((*name).into())).collect()
}

fn groups(names: &[&'static str]) -> Vec<Subject> {
    names.iter().map(|name| Subject::Group((*name).into())).collect()
}

fn accounts_of_kube_system(names: &[&'static str]) -> Vec<Subject> {
    let account = |name: &&'static str| Subject::ServiceAccount { namespace: KUBE_SYSTEM.into(), name: (*name).into() };
    names.iter().map(account).collect()
}

type Rules = (Option<Distinguisher>, Vec<Subject>, Vec<Rule>);

fn schema(name: &'static str, level: &'static str, precedence: u32, rules: Rules) -> FlowSchema {
    let (distinguisher, subjects, rules) = rules;
    FlowSchema {
        name: name.into(),
        uid: None,
        level: level.into(),
        precedence,
        distinguisher,
        policies: vec![Policy { subjects, rules }],
    }
}

const CHANGE: &[&str] = &["get", "create", "update"];
const EVERYBODY: &[&str] = &[GROUP_UNAUTHENTICATED, GROUP_AUTHENTICATED];
const BY_USER: Option<Distinguisher> = Some(Distinguisher::ByUser);
const BY_NAMESPACE: Option<Distinguisher> = Some(Distinguisher::ByNamespace);

pub(super) fn schemas() -> Vec<FlowSchema> {
    let probes = Rule::NonResource { verbs: list(&["get"]), paths: list(&["/healthz", "/readyz", "/livez"]) };
    let mut all = vec![
        schema("exempt", "exempt", 1, (None, groups(&[GROUP_MASTERS]), everything())),
        schema("probes", "exempt", 2, (None, groups(EVERYBODY), vec![probes])),
    ];
    all.push(of_leaders());
    all.extend(of_the_control_plane());
    all.extend([
        schema("service-accounts", "workload-low", 9000, (BY_USER, groups(&[GROUP_SERVICE_ACCOUNTS]), everything())),
        schema("global-default", "global-default", 9900, (BY_USER, groups(EVERYBODY), everything())),
        schema("catch-all", "catch-all", 10_000, (BY_USER, groups(EVERYBODY), everything())),
    ]);
    all
}

fn of_leaders() -> FlowSchema {
    let mut leaders = users(&[CONTROLLER_MANAGER, SCHEDULER]);
    leaders.extend(accounts_of_kube_system(&["*"]));
    let elections = vec![resource(CHANGE, LEASES, &["*"])];
    schema("system-leader-election", "leader-election", 100, (BY_USER, leaders, elections))
}

fn of_the_control_plane() -> [FlowSchema; 5] {
    let nodes = || groups(&[GROUP_NODES]);
    let of_nodes = vec![resource_anywhere((&[""], &["nodes", "nodes/status"])), resource(&["*"], LEASES, &["*"])];
    let (manager, scheduler) = (users(&[CONTROLLER_MANAGER]), users(&[SCHEDULER]));
    let accounts = accounts_of_kube_system(&["*"]);
    [
        schema("system-node-high", "node-high", 400, (BY_USER, nodes(), of_nodes)),
        schema("system-nodes", "system", 500, (BY_USER, nodes(), everything())),
        schema("kube-controller-manager", "workload-high", 800, (BY_NAMESPACE, manager, everything())),
        schema("kube-scheduler", "workload-high", 800, (BY_NAMESPACE, scheduler, everything())),
        schema("kube-system-service-accounts", "workload-high", 900, (BY_NAMESPACE, accounts, everything())),
    ]
}
