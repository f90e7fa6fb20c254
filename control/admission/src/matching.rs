//! The requests that webhooks and policies are about: operations, resources, scopes, and the labels of objects and
//! namespaces.

use sampan_api::admission::{Attributes, Equivalent, Operation};
use sampan_api::field::Path;
use sampan_api::k8s::api::core::v1::Namespace;
use sampan_api::{GroupVersionResource, LabelSelector, Object, RecordKey, Status};
use sampan_client::{Client, Informer};
use serde_json::Value;

/// The namespaces of the cluster: nearly always known, and asked for where not.
pub(crate) struct Namespaces {
    informer: Informer,
    client: Client,
}

impl Namespaces {
    /// `informer` answers nearly always; `client` is asked where it has not heard of a namespace yet.
    pub(crate) fn new(informer: Informer, client: Client) -> Self {
        Self { informer, client }
    }

    /// The namespace; `None` where there is no such.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Object>, Status> {
        if let Some(record) = self.informer.store().get(&RecordKey::new("", name)) {
            return Ok(Some(record.object()));
        }
        match self.client.all::<Namespace>().get_record(name).await {
            Ok(record) => Ok(Some(record.object())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Status::internal(&error.to_string())),
        }
    }
}

/// A request as matching looks at it.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) attributes: &'a Attributes<'a>,
    pub(crate) object: Option<&'a Object>,
}

impl Request<'_> {
    fn is_namespace(&self) -> bool {
        let resource = self.attributes.resource;
        resource.group.is_empty() && resource.resource == "namespaces"
    }

    /// The namespace that the request is in; that of a namespace is itself.
    pub(crate) fn namespace(&self) -> &str {
        if self.is_namespace() { self.attributes.name } else { self.attributes.namespace }
    }

    fn name(&self) -> &str {
        let own = self.attributes.name;
        if own.is_empty() { self.object.map_or("", Object::name) } else { own }
    }
}

/// One rule about operations and resources.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    scope: String,
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Rule {
    /// A `RuleWithOperations`, perhaps with names.
    fn of(value: &Value) -> Self {
        Self {
            operations: texts(&value["operations"]),
            groups: texts(&value["apiGroups"]),
            versions: texts(&value["apiVersions"]),
            resources: texts(&value["resources"]),
            names: texts(&value["resourceNames"]),
            scope: value["scope"].as_str().unwrap_or("*").to_owned(),
        }
    }

    /// Whether the request is of the rule, seen as one of `resource`.
    fn matches(&self, request: Request<'_>, resource: &GroupVersionResource) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|one| one == "*" || one == wanted);
        let attributes = request.attributes;
        let clustered = request.is_namespace() || attributes.namespace.is_empty();
        let scope = match self.scope.as_str() {
            "*" => true,
            "Namespaced" => !clustered,
            "Cluster" => clustered,
            _ => false,
        };
        let named = self.names.is_empty() || self.names.iter().any(|name| name == request.name());
        scope
            && named
            && has(&self.operations, &attributes.operation.to_string())
            && has(&self.groups, &resource.group)
            && has(&self.versions, &resource.version)
            && self.resources.iter().any(|one| {
                let (whole, below) = one.split_once('/').unwrap_or((one, ""));
                (whole == "*" || whole == resource.resource) && (below == "*" || below == attributes.subresource)
            })
    }
}

/// The resource as which a rule sees a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The one that the request names.
    Own,
    /// Another one that holds the same objects.
    As(Equivalent),
}

/// Which resources rules may see in a request: `matchPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MatchPolicy {
    Exact,
    Equivalent,
}

/// Rules of one policy or webhook.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    policy: MatchPolicy,
}

impl Rules {
    /// The rules in a list of an object that has a `matchPolicy`.
    pub(crate) fn of(value: &Value, list: &str) -> Self {
        let rules = value[list].as_array().into_iter().flatten().map(Rule::of).collect();
        let policy = if value["matchPolicy"] == "Equivalent" { MatchPolicy::Equivalent } else { MatchPolicy::Exact };
        Self { rules, policy }
    }

    /// As what the request is of one of the rules, by the first rule that is of an equivalent resource where none is of its
    /// own.
    pub(crate) fn matched(&self, request: Request<'_>) -> Option<Seen> {
        let attributes = request.attributes;
        if self.rules.iter().any(|rule| rule.matches(request, attributes.resource)) {
            return Some(Seen::Own);
        }
        if self.policy == MatchPolicy::Exact || self.rules.is_empty() {
            return None;
        }
        let equivalents = attributes.kinds.equivalents(attributes.resource, attributes.subresource);
        let of_rule = |rule: &Rule| equivalents.iter().find(|one| rule.matches(request, &one.resource));
        self.rules.iter().find_map(of_rule).cloned().map(Seen::As)
    }
}

/// The labels that a request's namespace and objects must have.
#[derive(Debug)]
pub(crate) struct Selectors {
    namespace: Result<LabelSelector, String>,
    object: Result<LabelSelector, String>,
}

impl Selectors {
    /// Those of a webhook, or of a `MatchResources`.
    pub(crate) fn of(value: &Value) -> Self {
        let selector = |name: &str| {
            let parsed = LabelSelector::from_v1(value.get(name).unwrap_or(&Value::Null), &Path::new(name));
            match &value[name] {
                Value::Null => Ok(LabelSelector::everything()),
                _ => parsed.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
            }
        };
        Self { namespace: selector("namespaceSelector"), object: selector("objectSelector") }
    }

    /// Whether the request's namespace and objects have the labels.
    ///
    /// # Errors
    /// A selector that cannot be read, a namespace that is not there.
    pub(crate) async fn matches(&self, request: Request<'_>, namespaces: &Namespaces) -> Result<bool, Status> {
        let selector = |one: &Result<LabelSelector, String>| one.clone().map_err(|why| Status::internal(&why));
        let object = selector(&self.object)?;
        let labelled = |one: Option<&Object>| one.is_some_and(|one| object.matches(|key| one.label(key)));
        if !object.is_everything() && !labelled(request.object) && !labelled(request.attributes.old) {
            return Ok(false);
        }
        let wanted = selector(&self.namespace)?;
        let name = request.namespace();
        if wanted.is_everything() || (name.is_empty() && !request.is_namespace()) {
            return Ok(true);
        }
        let written = matches!(request.attributes.operation, Operation::Create | Operation::Update);
        if let (true, Some(object)) = (request.is_namespace() && written, request.object) {
            return Ok(wanted.matches(|key| object.label(key)));
        }
        match namespaces.get(name).await? {
            Some(namespace) => Ok(wanted.matches(|key| namespace.label(key))),
            None => Err(Status::not_found(&sampan_api::GroupResource::new("", "namespaces"), name)),
        }
    }
}

/// A `MatchResources` of a policy or a binding.
#[derive(Debug)]
pub(crate) struct MatchResources {
    rules: Rules,
    excluded: Rules,
    selectors: Selectors,
}

impl MatchResources {
    /// As the object has it.
    pub(crate) fn of(value: &Value) -> Self {
        let rules = |name: &str| Rules::of(value, name);
        Self { rules: rules("resourceRules"), excluded: rules("excludeResourceRules"), selectors: Selectors::of(value) }
    }

    /// As what the request is among them; `None`: it is not.
    ///
    /// # Errors
    /// As [`Selectors::matches`].
    pub(crate) async fn matched(&self, request: Request<'_>, namespaces: &Namespaces) -> Result<Option<Seen>, Status> {
        if self.excluded.matched(request).is_some() {
            return Ok(None);
        }
        let seen = if self.rules.rules.is_empty() { Some(Seen::Own) } else { self.rules.matched(request) };
        let Some(seen) = seen else { return Ok(None) };
        Ok(self.selectors.matches(request, namespaces).await?.then_some(seen))
    }
}
