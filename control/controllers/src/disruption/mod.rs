//! Says of each PodDisruptionBudget how many of its pods may be evicted, and takes back what was said of pods that were
//! to be disrupted and were not.

mod plan;
mod scale;
#[cfg(test)]
mod tests;

pub use plan::{Scale, disrupted, failed, needs_scale, stale_in, status, wanted};

use crate::{Context, Error, limits, owner, time};
use sampan_api::field::Path;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::k8s::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use sampan_api::{LabelSelector, RecordKey, UserInfo};
use sampan_client::{Client, EventRecorder, EventType, Lister, Patch, reference};
use sampan_env::Env;
use sampan_reconcile::{Conflict, Reconcile, Requeue, Runtime, update_status};
use scale::Owners;
use serde_json::json;
use std::sync::Arc;

struct Budgets {
    budgets: Lister<PodDisruptionBudget>,
    pods: Lister<Pod>,
    owners: Owners,
    client: Client,
    events: EventRecorder,
    env: Env,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let component = "controllermanager";
    let client = context.client(UserInfo::controller("disruption"), "disruption-controller")?;
    let (env, tasks) = (&context.config.env, &context.config.tasks);
    let (budgets, pods) = (context.informers.of::<PodDisruptionBudget>()?, context.informers.of::<Pod>()?);
    let mut runtime: Runtime = Runtime::new("disruption", env, tasks);
    runtime.watch(&budgets);
    let (queue, all) = (runtime.queue().clone(), budgets.lister::<PodDisruptionBudget>());
    runtime.watch_with(&pods, move |record, _| {
        for budget in all.list_namespace(&record.key.namespace) {
            if selector(&budget).is_some_and(|selector| owner::matches_record(&selector, record)) {
                queue.add(RecordKey::new(record.key.namespace.clone(), owner::name(&budget.metadata)));
            }
        }
    });
    let owners = Owners::new(context, &mut runtime, client.clone())?;
    let events = context.recorder(&client, component);
    let (budgets, lister) = (budgets.lister(), pods.lister());
    let (pods_of, writer) = (pods.lister(), client.clone());
    runtime.start(Budgets { budgets, pods: lister, owners, client, events, env: env.clone() }, limits::WORKERS);

    let mut runtime: Runtime = Runtime::new("disruption-target", env, tasks);
    let queue = runtime.queue().clone();
    runtime.watch_with(&pods, move |record, gone| {
        if !gone && record.typed::<Pod>().is_ok_and(|one| crate::pod::condition(&one, "DisruptionTarget").is_some()) {
            queue.add(record.key.clone());
        }
    });
    runtime.start(StaleTargets { pods: pods_of, client: writer, env: env.clone() }, 1);
    Ok(())
}

/// An empty selector selects everything, none selects nothing.
fn selector(budget: &PodDisruptionBudget) -> Option<LabelSelector> {
    let selector = serde_json::to_value(budget.spec.as_ref()?.selector.as_ref()?).ok()?;
    LabelSelector::from_v1(&selector, &Path::new("spec").child("selector")).ok()
}

impl Reconcile for Budgets {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(budget) = self.budgets.get(&key.namespace, &key.name) else { return Ok(Requeue::Never) };
        match self.count(&budget).await {
            Err(error) if error.is_conflict() => Err(error),
            Err(error) => {
                let why = error.to_string();
                self.events.event(
                    reference(&*budget),
                    EventType::Warning,
                    "CalculateExpectedPodCountFailed",
                    format!("Failed to calculate the number of expected pods: {why}"),
                );
                self.write(&budget, failed(&budget, &why, self.env.now())).await.map(|()| Requeue::Never)
            }
            outcome => outcome,
        }
    }
}

impl Budgets {
    async fn count(&self, budget: &PodDisruptionBudget) -> Result<Requeue, Error> {
        let now = self.env.now();
        let all = self.pods.list_namespace(owner::namespace(&budget.metadata));
        let selector = selector(budget);
        let selected = |one: &Arc<Pod>| selector.as_ref().is_some_and(|all| owner::matches(all, &one.metadata));
        let pods: Vec<Arc<Pod>> = all.into_iter().filter(selected).collect();
        if pods.is_empty() {
            self.events.event(reference(budget), EventType::Normal, "NoPods", "No matching pods found");
        }
        let scale = if needs_scale(budget) { self.owners.scale(&pods).await? } else { Scale::default() };
        if !scale.unmanaged.is_empty() {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let shown = serde_json::to_string(&selector).unwrap_or_default();
            let text = format!(
                "Pods selected by this PodDisruptionBudget (selector: {shown}) were found to be unmanaged. As a result, \
                 the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account \
                 for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
            );
            self.events.event(reference(budget), EventType::Warning, "UnmanagedPods", text);
        }
        let wanted = wanted(budget, pods.len(), &scale).map_err(Error::Invalid)?;
        let (waiting, never, requeue) = disrupted(budget, &pods, now);
        for one in never {
            let namespace = owner::namespace(&budget.metadata);
            let name = owner::name(&budget.metadata);
            let text = format!("Pod was expected by PDB {namespace}/{name} to be deleted but it wasn't");
            self.events.event(reference(&*one), EventType::Warning, "NotDeleted", text);
        }
        self.write(budget, status(budget, &pods, wanted, waiting, now)).await?;
        Ok(requeue)
    }

    /// A conflict is not written over: the API server counts disruptions into the same status.
    async fn write(&self, budget: &PodDisruptionBudget, status: PodDisruptionBudgetStatus) -> Result<(), Error> {
        let api = self.client.namespaced::<PodDisruptionBudget>(owner::namespace(&budget.metadata));
        let change = |budget: &mut PodDisruptionBudget| {
            let differs = budget.status.as_ref() != Some(&status);
            budget.status = Some(status.clone());
            differs
        };
        update_status(&api, budget, Conflict::Fail, change).await.map(drop)
    }
}

/// Takes back the condition of pods that were to be disrupted and are still there.
struct StaleTargets {
    pods: Lister<Pod>,
    client: Client,
    env: Env,
}

impl Reconcile for StaleTargets {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(one) = self.pods.get(&key.namespace, &key.name) else { return Ok(Requeue::Never) };
        let now = self.env.now();
        match stale_in(&one, now) {
            None => Ok(Requeue::Never),
            Some(left) if !left.is_zero() => Ok(Requeue::After(left + limits::WHOLE_SECOND)),
            Some(_) => {
                let condition = json!({"type": "DisruptionTarget", "status": "False", "reason": null, "message": null,
                    "lastTransitionTime": time::of(now)});
                let patch =
                    json!({"metadata": {"uid": owner::uid(&one.metadata)}, "status": {"conditions": [condition]}});
                let api = self.client.namespaced::<Pod>(&key.namespace);
                match api.patch_status(&key.name, &Patch::Strategic(patch)).await {
                    Err(error) if !error.is_not_found() && !error.is_conflict() => {
                        Err(Error::of(format!("condition of pod {key}"))(error))
                    }
                    _ => Ok(Requeue::Never),
                }
            }
        }
    }
}
