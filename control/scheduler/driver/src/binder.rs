//! Binding, away from the cycle: many at a time, each until its end is certain.

use crate::limits;
use crate::scheduler::{Bind, BindResult};
use sampan_api::k8s::api::core::v1::{Binding, ObjectReference, Pod};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_client::{Client, Error};
use sampan_env::Env;

/// Binds; returns only what is certain. A lost answer is asked again: the same binding twice is one binding.
pub(crate) async fn bind(client: &Client, env: &Env, bind: &Bind) -> BindResult {
    let body = Binding {
        metadata: ObjectMeta {
            name: Some(bind.name.clone()),
            namespace: Some(bind.namespace.clone()),
            // A pod of the same name that came later is another pod.
            uid: Some(bind.uid.to_string()),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Node".into()),
            name: Some(bind.node.clone()),
            ..ObjectReference::default()
        },
    };
    let api = client.namespaced::<Pod>(&bind.namespace);
    let mut wait = limits::BIND_RETRY;
    loop {
        let answer: Result<serde_json::Value, Error> = api.create_subresource(&bind.name, "binding", &body).await;
        let error = match answer {
            Ok(_) => return BindResult::Bound,
            Err(error) => error,
        };
        if error.is_conflict() {
            // Bound before, by us or by another?
            match api.get_opt(&bind.name).await {
                Ok(Some(pod)) if has(&pod, bind) => return BindResult::Bound,
                Ok(_) => return BindResult::Refused(error.to_string()),
                Err(unread) => tracing::debug!(error = %unread, pod = %bind.name, "a conflict cannot be looked into"),
            }
        } else if is_final(&error) {
            return BindResult::Refused(error.to_string());
        }
        tracing::debug!(%error, pod = %bind.name, node = %bind.node, "a binding is tried again");
        env.sleep(wait).await;
        wait = (wait * 2).min(limits::BIND_RETRY_MAX);
    }
}

fn has(pod: &Pod, bind: &Bind) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node == Some(bind.node.as_str()) && pod.metadata.uid.as_deref() == Some(&*bind.uid)
}

/// The server's refusals that leave no doubt; a server in trouble may have done it all the same.
fn is_final(error: &Error) -> bool {
    error.status().is_some() && matches!(error.code(), 400..=499) && !matches!(error.code(), 408 | 429)
}
