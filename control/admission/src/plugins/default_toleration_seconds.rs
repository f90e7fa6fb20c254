use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::{Object, Status};
use serde_json::{Value, json};

/// Seconds for which a pod stays bound to a node that is not ready or cannot be reached (kube-apiserver's defaults).
const TOLERATION_SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// Gives pods the tolerations of a node's passing failures, unless they say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultTolerationSeconds;

fn tolerates(tolerations: &[Value], taint: &str) -> bool {
    tolerations.iter().any(|one| {
        let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        (text("key") == taint || text("key").is_empty()) && matches!(text("effect"), "NoExecute" | "")
    })
}

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.is("", "pods")
    }

    async fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object) -> Result<Mutated, Status> {
        if !attributes.is("", "pods") || !matches!(attributes.operation, Operation::Create | Operation::Update) {
            return Ok(Mutated::No);
        }
        let present = object.get(&["spec", "tolerations"]).and_then(Value::as_array).cloned().unwrap_or_default();
        let missing: Vec<Value> = TAINTS
            .iter()
            .filter(|taint| !tolerates(&present, taint))
            .map(|taint| {
                json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS})
            })
            .collect();
        if missing.is_empty() {
            return Ok(Mutated::No);
        }
        object.set(&["spec", "tolerations"], present.into_iter().chain(missing).collect::<Vec<_>>());
        Ok(Mutated::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::admission::{NoKinds, Warnings};
    use sampan_api::{GroupVersionResource, UserInfo};

    #[tokio::test]
    async fn pods_get_what_they_do_not_say() {
        let resource = GroupVersionResource::new("", "v1", "pods");
        let user = UserInfo::anonymous();
        let attributes = Attributes {
            operation: Operation::Create,
            resource: &resource,
            subresource: "",
            namespace: "default",
            name: "a",
            user: &user,
            dry_run: false,
            options: &Value::Null,
            old: None,
            warnings: &Warnings::default(),
            kinds: &NoKinds,
            annotations: None,
        };
        for (given, added) in [
            (json!([]), 2),
            (json!([{"operator": "Exists"}]), 0),
            (json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]), 1),
            (json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"}]), 2),
        ] {
            let mut pod = Object::from_value(json!({"spec": {"tolerations": given}})).expect("an object");
            let changed = DefaultTolerationSeconds.mutate(&attributes, &mut pod).await.expect("lets pass");
            let after = pod.get(&["spec", "tolerations"]).and_then(Value::as_array).map_or(0, Vec::len);
            assert_eq!(after - given.as_array().map_or(0, Vec::len), added, "{given}");
            assert_eq!(changed == Mutated::Yes, added > 0);
        }
    }
}
