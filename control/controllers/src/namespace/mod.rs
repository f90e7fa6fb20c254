//! Empties a namespace that is being deleted, then lets it go (pkg/controller/namespace).

mod conditions;

pub use conditions::{Remaining, Undiscovered, conditions};

use crate::served::Served;
use crate::{Context, Error, limits, owner};
use sampan_api::k8s::api::core::v1::{Namespace, Pod};
use sampan_api::{GroupVersionResource, Object, RecordKey, UserInfo};
use sampan_client::{ApiResource, Client, DeleteParams, Discovery, ListParams, Lister, Propagation};
use sampan_env::Env;
use sampan_reconcile::{Conflict, Reconcile, Requeue, Runtime, update_status};

const FINALIZER: &str = "kubernetes";

struct Namespaces {
    namespaces: Lister<Namespace>,
    client: Client,
    env: Env,
    served: Served,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let namespaces = context.informers.of::<Namespace>()?;
    let pods = context.informers.of::<Pod>()?;
    let mut runtime: Runtime = Runtime::new("namespace", &context.config.env, &context.config.tasks);
    let queue = runtime.queue().clone();
    let is_terminating = |namespace: &Namespace| owner::is_being_deleted(&namespace.metadata);
    runtime.watch_with(&namespaces, move |record, gone| {
        if !gone && record.deletion.is_pending() {
            queue.add(record.key.clone());
        }
    });
    // Pods take their time to end: the last one that is gone lets the rest go on.
    let (queue, all) = (runtime.queue().clone(), namespaces.lister::<Namespace>());
    runtime.watch_with(&pods, move |record, gone| {
        if gone && all.get("", &record.key.namespace).is_some_and(|one| is_terminating(&one)) {
            queue.add(RecordKey::new("", record.key.namespace.clone()));
        }
    });
    let client = context.client(UserInfo::controller("namespace"), "namespace-controller")?;
    let reconciler = Namespaces {
        namespaces: namespaces.lister(),
        served: Served::new(client.clone()),
        client,
        env: context.config.env.clone(),
    };
    runtime.start(reconciler, limits::NAMESPACE_WORKERS);
    Ok(())
}

/// The resources that are emptied, in rounds: pods first, since what they use must not go before them.
pub fn rounds(served: &Discovery) -> [Vec<ApiResource>; 2] {
    let is_mine = |one: &&ApiResource| {
        one.namespaced && one.has_verb("list") && (one.has_verb("delete") || one.has_verb("deletecollection"))
    };
    let all: Vec<ApiResource> = served.preferred().filter(is_mine).cloned().collect();
    let (pods, rest) =
        all.into_iter().partition(|one| one.resource.group.is_empty() && one.resource.resource == "pods");
    [pods, rest]
}

impl Reconcile for Namespaces {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(namespace) = self.namespaces.get("", &key.name) else { return Ok(Requeue::Never) };
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
        if !owner::is_being_deleted(&namespace.metadata) || !finalizers.iter().any(|one| one == FINALIZER) {
            return Ok(Requeue::Never);
        }
        let mut remaining = Remaining::default();
        match self.served.get().await {
            Err(error) => remaining.discovery = Some(Undiscovered { groups: 1, error: error.to_string() }),
            Ok(served) => {
                for round in rounds(&served) {
                    self.empty(&key.name, &round, &mut remaining).await;
                    if !remaining.is_empty() {
                        break;
                    }
                }
                // What is known goes; the namespace stays until the rest is known.
                let failure = |error| Undiscovered { groups: served.stale.len(), error };
                remaining.discovery = served.failure().map(failure);
            }
        }
        if remaining.is_empty() {
            // A namespace that others hold says that its content is gone; another one goes with it.
            let others = namespace.metadata.finalizers.iter().flatten().count();
            let held = others > 0 || finalizers.len() > 1;
            let told = if held { self.write_status(&namespace, &remaining).await? } else { None };
            return self.finalize(told.as_ref().unwrap_or(&namespace)).await;
        }
        self.write_status(&namespace, &remaining).await?;
        match remaining.errors.is_empty() && remaining.discovery.is_none() {
            true => Ok(Requeue::After(limits::NAMESPACE_RETRY)),
            false => {
                let undiscovered = remaining.discovery.map(|failed| failed.error);
                Err(Error::Invalid(remaining.errors.into_iter().chain(undiscovered).collect::<Vec<_>>().join("; ")))
            }
        }
    }
}

impl Namespaces {
    async fn empty(&self, namespace: &str, resources: &[ApiResource], remaining: &mut Remaining) {
        for (resource, outcome) in self.empty_all(namespace, resources).await {
            match outcome {
                Ok(left) => remaining.add(resource, &left),
                Err(error) => remaining.errors.push(format!("{}: {error}", resource.group_resource())),
            }
        }
    }

    async fn empty_all<'a>(
        &self,
        namespace: &str,
        resources: &'a [ApiResource],
    ) -> Vec<(&'a GroupVersionResource, sampan_client::Result<Vec<Object>>)> {
        let mut outcomes = Vec::with_capacity(resources.len());
        for some in resources.chunks(limits::NAMESPACE_KINDS) {
            let calls = some.iter().map(|one| self.empty_one(namespace, one));
            let answers = futures::future::join_all(calls).await;
            outcomes.extend(some.iter().map(|one| &one.resource).zip(answers));
        }
        outcomes
    }

    /// Deletes what there is; answers what is there still.
    async fn empty_one(&self, namespace: &str, one: &ApiResource) -> Result<Vec<Object>, sampan_client::Error> {
        let api = self.client.dynamic(&one.resource, Some(namespace));
        let list = async || {
            let list = api.list_all(&ListParams::default()).await;
            // Served by discovery and gone since, or it cannot be listed in a namespace.
            match list {
                Err(error) if matches!(error.code(), 404 | 405) => Ok(Vec::new()),
                other => other.map(|list| list.items),
            }
        };
        let found = list().await?;
        if found.is_empty() {
            return Ok(found);
        }
        let params = DeleteParams { propagation: Some(Propagation::Background), ..DeleteParams::default() };
        if one.has_verb("deletecollection") {
            api.delete_collection(&params, &ListParams::default()).await?;
        } else {
            for object in &found {
                match api.delete(object.name(), &params).await {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
        }
        list().await
    }

    async fn write_status(&self, namespace: &Namespace, remaining: &Remaining) -> Result<Option<Namespace>, Error> {
        let change = |namespace: &mut Namespace| {
            let status = namespace.status.get_or_insert_default();
            let old = status.conditions.clone().unwrap_or_default();
            let new = conditions(&old, remaining, self.env.now());
            let differs = old != new || status.phase.as_deref() != Some("Terminating");
            status.phase = Some("Terminating".into());
            status.conditions = Some(new);
            differs
        };
        let api = self.client.all::<Namespace>();
        update_status(&api, namespace, Conflict::Reread, change).await
    }

    async fn finalize(&self, namespace: &Namespace) -> Result<Requeue, Error> {
        let name = owner::name(&namespace.metadata);
        let mut object = namespace.clone();
        object.spec.get_or_insert_default().finalizers.get_or_insert_default().retain(|one| one != FINALIZER);
        let api = self.client.all::<Namespace>();
        let body = serde_json::to_value(&object).map_err(|error| Error::Invalid(error.to_string()))?;
        match api.update_subresource::<_, serde_json::Value>(name, "finalize", &body).await {
            Err(error) if !error.is_not_found() => Err(Error::of(format!("finalize namespace {name}"))(error)),
            _ => Ok(Requeue::Never),
        }
    }
}

/// A resource's name in a namespace's conditions: `pods.`, `deployments.apps`.
pub(crate) fn dotted(resource: &GroupVersionResource) -> String {
    format!("{}.{}", resource.resource, resource.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_go_first_and_only_what_can_be_deleted_goes() {
        let one = |group: &str, name: &str, namespaced: bool, verbs: &[&str]| ApiResource {
            resource: GroupVersionResource::new(group, "v1", name),
            kind: String::new(),
            singular: String::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced,
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            subresources: Vec::new(),
        };
        let all = &["list", "delete", "deletecollection"];
        let served = Discovery {
            resources: vec![
                one("", "configmaps", true, all),
                one("", "pods", true, all),
                one("", "nodes", false, all),
                one("", "bindings", true, &["create"]),
                one("", "services", true, &["list", "delete"]),
                one("metrics.k8s.io", "pods", true, &["get", "list"]),
            ],
            stale: Vec::new(),
        };
        let names = |round: &[ApiResource]| round.iter().map(|one| one.resource.resource.clone()).collect::<Vec<_>>();
        let [first, second] = rounds(&served);
        assert_eq!(
            (names(&first), names(&second)),
            (vec!["pods".into()], vec!["configmaps".into(), "services".into()])
        );
    }
}
