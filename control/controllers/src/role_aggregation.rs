//! Writes into each aggregated ClusterRole the rules of those that it selects
//! (pkg/controller/clusterroleaggregation).

use crate::{Context, Error, limits, owner};
use sampan_api::k8s::api::rbac::v1::{ClusterRole, PolicyRule};
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{Client, Lister, Patch, WriteParams};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use serde_json::{Value, json};
use std::sync::Arc;

const AGGREGATED: &str = "aggregated";
/// Of the controller's account, and of the manager of the rules.
const NAME: &str = "clusterrole-aggregation-controller";

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let (env, tasks) = (&context.config.env, &context.config.tasks);
    let roles = context.informers.of::<ClusterRole>()?;
    roles.add_index(AGGREGATED, |record| {
        let selectors = record.object().get(&["aggregationRule", "clusterRoleSelectors"]).is_some();
        selectors.then(String::new).into_iter().collect()
    });
    let mut runtime: Runtime = Runtime::new("clusterrole-aggregation", env, tasks);
    let (queue, all) = (runtime.queue().clone(), roles.store().clone());
    // Whatever changes may be selected, or may have been.
    runtime.watch_with(&roles, move |_, _| {
        for role in all.by_index(AGGREGATED, "") {
            queue.add(role.key.clone());
        }
    });
    let client = context.client(UserInfo::service_account("kube-system", NAME), NAME)?;
    runtime.start(Aggregation { roles: roles.lister(), client }, limits::WORKERS);
    Ok(())
}

/// The rules that an aggregated role is to have; `None`: it has them, or is not aggregated. `all`: by name.
pub fn plan(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    let selectors = role.aggregation_rule.as_ref()?.cluster_role_selectors.as_ref()?;
    let mut rules: Vec<PolicyRule> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for selector in selectors.iter().filter_map(owner::selector) {
        let others = all.iter().filter(|other| other.metadata.name != role.metadata.name);
        for other in others.filter(|other| owner::matches(&selector, &other.metadata)) {
            for rule in other.rules.iter().flatten() {
                // As text: rules cannot be hashed.
                if seen.insert(serde_json::to_string(rule).unwrap_or_default()) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    (role.rules.as_deref().unwrap_or_default() != rules).then_some(rules)
}

struct Aggregation {
    roles: Lister<ClusterRole>,
    client: Client,
}

impl Reconcile for Aggregation {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(role) = self.roles.get("", &key.name) else { return Ok(Requeue::Never) };
        let Some(rules) = plan(&role, &self.roles.list()) else { return Ok(Requeue::Never) };
        // Of this very state: whoever changes it meanwhile makes it a key again.
        let metadata =
            json!({"name": &*key.name, "uid": role.metadata.uid, "resourceVersion": role.metadata.resource_version});
        match self.write(&key.name, metadata, &rules).await {
            Err(error) if !(error.is_conflict() || error.is_not_found()) => Err(error.into()),
            _ => Ok(Requeue::Never),
        }
    }
}

impl Aggregation {
    /// Applies the rules. `metadata`: of the state that they are for.
    async fn write(&self, name: &str, metadata: Value, rules: &[PolicyRule]) -> sampan_client::Result<()> {
        let roles = self.client.all::<ClusterRole>();
        let mut wanted =
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata});
        // As in Kubernetes, an empty list is none: nobody is to own it.
        if !rules.is_empty() {
            wanted["rules"] = json!(rules);
        }
        let params = WriteParams { field_manager: Some(NAME.to_owned()), force: true, ..WriteParams::default() };
        let made = roles.patch_with(name, None, &Patch::Apply(wanted), &params).await?;
        if made.rules.as_deref().unwrap_or_default() == rules {
            return Ok(());
        }
        // Rules that somebody else set stay with an apply that wants none.
        let state = json!({"uid": made.metadata.uid, "resourceVersion": made.metadata.resource_version});
        roles.patch(name, &Patch::Merge(json!({"metadata": state, "rules": rules}))).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_gathered_once_each_in_the_order_of_names() {
        let role = |name: &str, label: &str, rules: &[&str]| -> Arc<ClusterRole> {
            let rule = |verb: &&str| json!({"apiGroups": [""], "resources": ["pods"], "verbs": [verb]});
            let rules: Vec<Value> = rules.iter().map(rule).collect();
            let role = json!({"metadata": {"name": name, "labels": {"to": label}}, "rules": rules});
            Arc::new(serde_json::from_value(role).expect("a role"))
        };
        let all = [role("a", "admin", &["get", "list"]), role("b", "admin", &["list", "watch"]), role("c", "", &["*"])];
        let admin = |rules: Value| -> ClusterRole {
            serde_json::from_value(json!({
                "metadata": {"name": "admin", "labels": {"to": "admin"}}, "rules": rules,
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "admin"}}, {"matchLabels": {"to": "x"}}]},
            }))
            .expect("a role")
        };
        let made = plan(&admin(json!([])), &all).expect("rules");
        let verbs: Vec<_> = made.iter().map(|rule| rule.verbs[0].as_str()).collect();
        assert_eq!(verbs, ["get", "list", "watch"]);
        let written = admin(serde_json::to_value(&made).expect("JSON"));
        assert_eq!(plan(&written, &all), None);
        assert_eq!(plan(&written, &all[..1]).map(|rules| rules.len()), Some(2), "what is no longer selected goes");
        assert_eq!(plan(&all[2], &all), None, "it is not aggregated");
    }
}
