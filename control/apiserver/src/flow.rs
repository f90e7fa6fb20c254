//! Priority and fairness: which level of priority a request belongs to, and to which flow within it. Levels and schemas
//! are data with the names, precedences and shares of Kubernetes' mandatory and suggested ones ([`suggested`]); objects of
//! `flowcontrol.apiserver.k8s.io` can take their place. [`seats`] gives out the seats of the levels.

/// The levels and schemas as objects of the API.
pub mod objects;
/// Priority and fairness: the number of requests that are worked on at once, shared out among flows.
pub mod seats;
/// Kubernetes' own levels and schemas.
pub mod suggested;

use crate::request_info::RequestInfo;
use http::HeaderValue;
use sampan_api::UserInfo;
use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

/// A PriorityLevelConfiguration.
#[derive(Clone, Debug)]
pub struct Level {
    /// Its name.
    pub name: Cow<'static, str>,
    /// The UID of its object, where it is one.
    pub uid: Option<HeaderValue>,
    /// Whether it is limited.
    pub kind: LevelKind,
}

#[derive(Clone, Copy, Debug)]
/// Whether a level is limited.
pub enum LevelKind {
    /// Never waits and holds no seat.
    Exempt,
    Limited(Limited),
}

/// The share of a `Limited` level.
#[derive(Clone, Copy, Debug)]
pub struct Limited {
    /// `nominalConcurrencyShares`: the part of the server's seats that is this level's.
    pub shares: u32,
    /// `lendablePercent`: how much of it others may use while it is free.
    pub lendable_percent: u32,
    /// The answer when no seat is free.
    pub response: LimitResponse,
}

/// The treatment of a request for which no seat is free.
#[derive(Clone, Copy, Debug)]
pub enum LimitResponse {
    Reject,
    Queue(Queuing),
}

/// The queues of a level.
#[derive(Clone, Copy, Debug)]
pub struct Queuing {
    /// `queues`.
    pub queues: u32,
    /// `handSize`: queues that the requests of one flow are spread over.
    pub hand_size: u32,
    /// `queueLengthLimit`.
    pub queue_length: u32,
}

impl Queuing {
    /// Requests of one flow that may wait.
    pub fn flow_max(&self) -> usize {
        self.hand_size as usize * self.queue_length as usize
    }

    /// Requests of the level that may wait.
    pub fn level_max(&self) -> usize {
        self.queues as usize * self.queue_length as usize
    }
}

/// A FlowSchema: which requests go to which level.
#[derive(Clone, Debug)]
pub struct FlowSchema {
    /// Its name.
    pub name: Cow<'static, str>,
    /// The UID of its object, where it is one.
    pub uid: Option<HeaderValue>,
    /// The name of its level.
    pub level: Cow<'static, str>,
    /// The matching schema with the lowest is a request's.
    pub precedence: u32,
    /// `None`: all its requests are one flow.
    pub distinguisher: Option<Distinguisher>,
    /// The schema applies to a request that one of these applies to.
    pub policies: Vec<Policy>,
}

/// A PolicyRulesWithSubjects.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The users that it applies to: any of them.
    pub subjects: Vec<Subject>,
    /// It applies to a request that matches one of these.
    pub rules: Vec<Rule>,
}

/// The key by which the flows of a schema are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinguisher {
    ByUser,
    ByNamespace,
}

/// A user, group or service account that a schema applies to. `*` as a name is everybody of the sort.
#[derive(Clone, Debug)]
pub enum Subject {
    User(Cow<'static, str>),
    Group(Cow<'static, str>),
    ServiceAccount { namespace: Cow<'static, str>, name: Cow<'static, str> },
}

/// A set of requests that a schema applies to. `*` stands for everything.
#[derive(Clone, Debug)]
pub enum Rule {
    Resource {
        verbs: Vec<Cow<'static, str>>,
        groups: Vec<Cow<'static, str>>,
        /// `RESOURCE` or `RESOURCE/SUBRESOURCE`.
        resources: Vec<Cow<'static, str>>,
        namespaces: Vec<Cow<'static, str>>,
        cluster_scope: bool,
    },
    NonResource {
        verbs: Vec<Cow<'static, str>>,
        /// A path, or what it begins with before `*`.
        paths: Vec<Cow<'static, str>>,
    },
}

/// The level and flow of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Index of the level.
    pub level: usize,
    /// Index of the schema; `None`: no schema matches.
    pub schema: Option<usize>,
    /// The flow, as a hash of the schema and of what distinguishes its flows.
    pub flow: u64,
}

/// Levels and the schemas that lead to them.
#[derive(Debug)]
pub struct Classifier {
    levels: Vec<Level>,
    /// By precedence, each with its level's index.
    schemas: Vec<(FlowSchema, usize)>,
    /// The schema of requests that no other matches.
    otherwise: usize,
    hasher: RandomState,
}

impl Classifier {
    /// `schemas` of levels that are not among `levels` are left out. What no schema matches goes to the last level.
    pub fn new(levels: Vec<Level>, mut schemas: Vec<FlowSchema>) -> Self {
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        let index = |name: &str| levels.iter().position(|level| level.name == name);
        let schemas = schemas.into_iter().filter_map(|schema| index(&schema.level).map(|at| (schema, at))).collect();
        let otherwise = levels.len().saturating_sub(1);
        Self { levels, schemas, otherwise, hasher: RandomState::new() }
    }

    /// The levels, in the order of [`Placement::level`].
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The level and flow of a request of `user`.
    pub fn place(&self, user: &UserInfo, info: &RequestInfo) -> Placement {
        let found = self.schemas.iter().position(|(schema, _)| schema.matches(user, info));
        let Some((at, (schema, level))) = found.map(|at| (at, &self.schemas[at])) else {
            return Placement { level: self.otherwise, schema: None, flow: self.hasher.hash_one(&user.name) };
        };
        let flow = match schema.distinguisher {
            Some(Distinguisher::ByUser) => self.hasher.hash_one((&*schema.name, &*user.name)),
            Some(Distinguisher::ByNamespace) => self.hasher.hash_one((&*schema.name, info.namespace())),
            None => self.hasher.hash_one(&*schema.name),
        };
        Placement { level: *level, schema: Some(at), flow }
    }

    /// The schemas, by precedence.
    pub fn schemas(&self) -> impl Iterator<Item = &FlowSchema> {
        self.schemas.iter().map(|(schema, _)| schema)
    }

    /// The schema of a placement that this classifier made.
    pub fn schema(&self, placement: &Placement) -> Option<&FlowSchema> {
        Some(&self.schemas.get(placement.schema?)?.0)
    }
}

fn holds(list: &[Cow<'static, str>], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

impl FlowSchema {
    fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        let applies = |policy: &Policy| {
            let subject = policy.subjects.iter().any(|subject| subject.matches(user));
            subject && policy.rules.iter().any(|rule| rule.matches(info))
        };
        self.policies.iter().any(applies)
    }
}

impl Subject {
    fn matches(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(name) => name == "*" || *name == user.name,
            Self::Group(name) => name == "*" || user.in_group(name),
            Self::ServiceAccount { namespace, name } => user
                .name
                .strip_prefix("system:serviceaccount:")
                .and_then(|rest| rest.split_once(':'))
                .is_some_and(|(of, account)| of == namespace && (name == "*" || account == name)),
        }
    }
}

impl Rule {
    fn matches(&self, info: &RequestInfo) -> bool {
        match self {
            Self::NonResource { verbs, paths } => {
                !info.is_resource_request()
                    && holds(verbs, info.verb())
                    && paths.iter().any(|path| match path.strip_suffix('*') {
                        Some(prefix) => info.path().starts_with(prefix),
                        None => *path == info.path(),
                    })
            }
            Self::Resource { verbs, groups, resources, namespaces, cluster_scope } => {
                info.is_resource_request()
                    && holds(verbs, info.verb())
                    && holds(groups, info.group())
                    && resources.iter().any(|one| names(one, info.resource(), info.subresource()))
                    && if info.namespace().is_empty() { *cluster_scope } else { holds(namespaces, info.namespace()) }
            }
        }
    }
}

fn names(rule: &str, resource: &str, subresource: &str) -> bool {
    match rule.split_once('/') {
        _ if rule == "*" => true,
        None => rule == resource && subresource.is_empty(),
        Some((of, below)) => of == resource && below == subresource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn requests_go_where_kubernetes_sends_them() {
        let classifier = suggested::classifier();
        let level = |user: &UserInfo, method: Method, uri: &str| {
            let info = RequestInfo::read(&method, &uri.parse().expect("a URI")).expect("a path");
            let placement = classifier.place(user, &info);
            (classifier.levels()[placement.level].name.to_string(), placement.flow)
        };
        let check = |user: &UserInfo, method: Method, uri: &str, expected: &str| {
            assert_eq!(level(user, method, uri).0, expected, "{} {uri}", user.name);
        };
        let someone = UserInfo::new("someone", Vec::<String>::new());
        let pods = "/api/v1/namespaces/a/pods";
        check(&UserInfo::new("admin", ["system:masters"]), Method::POST, pods, "exempt");
        check(&UserInfo::anonymous(), Method::GET, "/livez", "exempt");
        check(&UserInfo::anonymous(), Method::GET, "/livez/ping", "global-default");
        check(&someone, Method::GET, "/readyz", "exempt");
        check(&UserInfo::node("n"), Method::PUT, "/api/v1/nodes/n/status", "node-high");
        check(&UserInfo::node("n"), Method::GET, pods, "system");
        let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x";
        check(&UserInfo::node("n"), Method::PUT, lease, "node-high");
        check(&UserInfo::scheduler(), Method::PUT, lease, "leader-election");
        check(&UserInfo::scheduler(), Method::GET, pods, "workload-high");
        check(&UserInfo::controller("job"), Method::PUT, lease, "leader-election");
        check(&UserInfo::controller("job"), Method::GET, pods, "workload-high");
        check(&UserInfo::service_account("a", "job"), Method::GET, pods, "workload-low");
        check(&UserInfo::service_account("a", "job"), Method::PUT, lease, "workload-low");
        check(&someone, Method::GET, pods, "global-default");
        check(&UserInfo::default(), Method::GET, pods, "catch-all");

        let flow = |user: &str| level(&UserInfo::new(user, Vec::<String>::new()), Method::GET, pods).1;
        assert_eq!(flow("a"), flow("a"));
        assert_ne!(flow("a"), flow("b"));
    }
}
