//! Nobody gives away rights that he has not: asked of every role and binding that is written, after the plugins have
//! changed it (k8s.io/kubernetes/pkg/registry/rbac: the `policybased` storages and `escalation_check.go`). It is no
//! plugin: it cannot be turned off.

use sampan_api::admission::{Attributes, Operation};
use sampan_api::k8s::api::rbac::v1::{ClusterRole, Role};
use sampan_api::user::{self, GROUP_MASTERS};
use sampan_api::{Authorizer, Object, Status};
use sampan_auth::rbac::{PolicyRule, RbacAuthorizer};
use sampan_client::{Client, Error};
use serde_json::Value;
use std::sync::Arc;

const GROUP: &str = "rbac.authorization.k8s.io";

/// The check.
pub struct Escalation {
    client: Client,
    authorizer: Arc<dyn Authorizer>,
    rbac: Arc<RbacAuthorizer>,
}

impl Escalation {
    /// `client` reads roles as `system:apiserver`; `authorizer` decides who may `escalate` and `bind`; `rbac` knows the
    /// rights that everybody holds.
    pub fn new(client: Client, authorizer: Arc<dyn Authorizer>, rbac: Arc<RbacAuthorizer>) -> Self {
        Self { client, authorizer, rbac }
    }

    /// Refuses a role or a binding that gives away what its writer has not.
    pub(crate) async fn check(&self, attributes: &Attributes<'_>, object: &Object) -> Result<(), Status> {
        let written = matches!(attributes.operation, Operation::Create | Operation::Update);
        if attributes.resource.group != GROUP || !written || attributes.user.in_group(GROUP_MASTERS) {
            return Ok(());
        }
        let is_role = match attributes.resource.resource.as_str() {
            "roles" | "clusterroles" => true,
            "rolebindings" | "clusterrolebindings" => false,
            _ => return Ok(()),
        };
        if attributes.old.is_some_and(|old| is_only_collected(object, old)) {
            return Ok(());
        }
        if is_role { self.role(attributes, object).await } else { self.binding(attributes, object).await }
    }

    async fn role(&self, attributes: &Attributes<'_>, role: &Object) -> Result<(), Status> {
        // A creation names no object in its path.
        let name = if attributes.operation == Operation::Create { "" } else { attributes.name };
        if self.may(attributes, "escalate", &attributes.resource.resource, name).await {
            return Ok(());
        }
        self.held(attributes, &rules(role.get(&["rules"])))?;
        let aggregates = |role: &Object| {
            let selectors = role.get(&["aggregationRule", "clusterRoleSelectors"]).and_then(Value::as_array);
            selectors.is_some_and(|list| !list.is_empty())
        };
        if !aggregates(role) && !attributes.old.is_some_and(aggregates) {
            return Ok(());
        }
        let all = || vec!["*".to_owned()];
        let everything = [
            PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
            PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
        ];
        match self.rbac.escalation(attributes.user, attributes.namespace, &everything) {
            Some(_) => Err(attributes.forbidden("must have cluster-admin privileges to use the aggregationRule")),
            None => Ok(()),
        }
    }

    async fn binding(&self, attributes: &Attributes<'_>, binding: &Object) -> Result<(), Status> {
        let of = |field: &str| binding.get_str(&["roleRef", field]).unwrap_or_default();
        let resource = match of("kind") {
            "ClusterRole" => "clusterroles",
            "Role" => "roles",
            kind => return Err(Status::internal(&format!("unsupported role reference kind: {kind:?}"))),
        };
        let name = of("name");
        if of("apiGroup") == GROUP && self.may(attributes, "bind", resource, name).await {
            return Ok(());
        }
        let found = match resource {
            "roles" => self.client.namespaced::<Role>(attributes.namespace).get(name).await.map(|role| role.rules),
            _ => self.client.all::<ClusterRole>().get(name).await.map(|role| role.rules),
        };
        let found = found.map_err(|error| match error {
            // The store of roles names what the request is about, not what it reads.
            Error::Api(status) if status.code() == 404 => {
                Status::not_found(&attributes.resource.group_resource(), name)
            }
            Error::Api(status) => *status,
            other => Status::internal(&other.to_string()),
        })?;
        self.held(attributes, &rules(serde_json::to_value(found).ok().as_ref()))
    }

    fn held(&self, attributes: &Attributes<'_>, rules: &[PolicyRule]) -> Result<(), Status> {
        match self.rbac.escalation(attributes.user, attributes.namespace, rules) {
            Some(why) => Err(attributes.forbidden(&why)),
            None => Ok(()),
        }
    }

    async fn may(&self, attributes: &Attributes<'_>, verb: &str, resource: &str, name: &str) -> bool {
        let asked = user::Attributes {
            user: attributes.user.clone().into(),
            verb: verb.into(),
            namespace: attributes.namespace.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: resource.into(),
            name: name.into(),
            resource_request: true,
            ..user::Attributes::default()
        };
        self.authorizer.authorize(&asked).await.allowed()
    }
}

/// The rules of a role. One that cannot be read is refused by validation, and grants nothing.
fn rules(value: Option<&Value>) -> Vec<PolicyRule> {
    let read = |rule: &Value| serde_json::from_value(without_nulls(rule)).ok();
    value.and_then(Value::as_array).into_iter().flatten().filter_map(read).collect()
}

fn without_nulls(rule: &Value) -> Value {
    let fields = rule.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
}

/// Whether nothing is changed but what the garbage collector changes, so that the object can go.
fn is_only_collected(object: &Object, old: &Object) -> bool {
    let rest = |object: &Object| {
        let mut rest = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields", "selfLink"] {
            rest.remove(&["metadata", field]);
        }
        rest
    };
    rest(object) == rest(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_garbage_collector_changes_gives_nothing_away() {
        let role = |metadata: Value, verbs: Value| {
            let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]);
            Object::from_value(json!({"kind": "Role", "metadata": metadata, "rules": rules})).expect("a role")
        };
        let old = role(json!({"name": "r", "finalizers": ["x/y"]}), json!(["get"]));
        let check = |new: Object, expected: bool| assert_eq!(is_only_collected(&new, &old), expected, "{new:?}");
        check(role(json!({"name": "r"}), json!(["get"])), true);
        check(role(json!({"name": "r", "ownerReferences": [{"uid": "1"}]}), json!(["get"])), true);
        check(role(json!({"name": "r"}), json!(["*"])), false);
        check(role(json!({"name": "r", "labels": {"a": "b"}}), json!(["get"])), false);
    }
}
