//! Rolls a Deployment's pods from one template to the next through ReplicaSets.

mod annotations;
mod collision;
mod condition;
mod hash;
mod plan;
mod replicas;
#[cfg(test)]
mod tests;

pub use plan::{Action, Plan, plan};

use crate::{Context, Error, limits, owner};
use collision::There;
use sampan_api::k8s::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::{RecordKey, UserInfo};
use sampan_client::informer::by_controller_uid;
use sampan_client::{Client, DeleteParams, EventRecorder, EventType, Informer, Lister, Propagation, reference};
use sampan_env::Env;
use sampan_reconcile::claim::{BY_CONTROLLER, Dependents, ORPHANS, index_orphans};
use sampan_reconcile::owner::controller_key;
use sampan_reconcile::{Conflict, Reconcile, Requeue, Runtime, update_status};
use std::sync::Arc;

struct Deployments {
    deployments: Lister<Deployment>,
    sets: Lister<ReplicaSet>,
    set_informer: Informer,
    pods: Lister<Pod>,
    client: Client,
    events: EventRecorder,
    env: Env,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let component = "deployment-controller";
    let client = context.client(UserInfo::controller("deployment"), component)?;
    let env = context.config.env.clone();
    let informers = &context.informers;
    let (deployments, sets, pods) =
        (informers.of::<Deployment>()?, informers.of::<ReplicaSet>()?, informers.of::<Pod>()?);
    for informer in [&sets, &pods] {
        informer.add_index(BY_CONTROLLER, by_controller_uid);
    }
    index_orphans(&sets);
    let mut runtime = Runtime::new("deployment", &env, &context.config.tasks);
    runtime.watch(&deployments);
    let (queue, all) = (runtime.queue().clone(), deployments.lister::<Deployment>());
    runtime.watch_with(&sets, move |record, gone| match controller_key(record, "Deployment") {
        Some(key) => queue.add(key),
        None if !gone && !owner::has_controller(record) => {
            for one in all.list_namespace(&record.key.namespace) {
                if selector(&one).is_some_and(|selector| owner::matches_record(&selector, record)) {
                    queue.add(RecordKey::new(record.key.namespace.clone(), owner::name(&one.metadata)));
                }
            }
        }
        None => {}
    });
    // A Recreate waits for the last old pod to be gone.
    let (queue, all_sets) = (runtime.queue().clone(), sets.lister::<ReplicaSet>());
    runtime.watch_with(&pods, move |record, gone| {
        if let Some(key) = controller_key(record, "ReplicaSet").filter(|_| gone)
            && let Some(set) = all_sets.store().get(&key)
            && let Some(key) = controller_key(&set, "Deployment")
        {
            queue.add(key);
        }
    });
    let reconciler = Deployments {
        deployments: deployments.lister(),
        sets: sets.lister(),
        set_informer: sets,
        pods: pods.lister(),
        events: context.recorder(&client, component),
        client,
        env,
    };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

fn selector(deployment: &Deployment) -> Option<sampan_api::LabelSelector> {
    deployment.spec.as_ref().and_then(|spec| owner::selector(&spec.selector))
}

impl Reconcile for Deployments {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(deployment) = self.deployments.get(&key.namespace, &key.name) else { return Ok(Requeue::Never) };
        let Some(selector) = selector(&deployment) else {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            self.events.event(reference(&*deployment), EventType::Warning, "SelectingAll", message);
            return Ok(Requeue::Never);
        };
        let sets = self.claim(&deployment, &selector).await?;
        let now = self.env.now();
        let old_pods_run = self.old_pods_run(&deployment, &sets);
        let mut plan = plan(&deployment, &sets, old_pods_run, now);
        let mut outcome = Ok(());
        for action in std::mem::take(&mut plan.actions) {
            outcome = self.apply(&deployment, action, &mut plan.status).await;
            if outcome.is_err() {
                break;
            }
        }
        // After a failure the counts of the plan are not yet true, but its conditions are.
        if outcome.is_err() {
            let conditions = plan.status.conditions.take();
            let collisions = plan.status.collision_count;
            plan.status = deployment.status.clone().unwrap_or_default();
            plan.status.collision_count = collisions;
            if outcome.as_ref().is_err_and(|error| error.client().is_some() && !error.is_conflict()) {
                plan.status.conditions = conditions;
            }
            plan.revision = None;
        }
        let written = self.write_status(&deployment, plan.status, plan.revision).await;
        outcome.and(written).map(|()| plan.requeue)
    }
}

impl Deployments {
    /// The ReplicaSets that are the Deployment's, after taking those that it selects and nobody has.
    async fn claim(
        &self,
        deployment: &Arc<Deployment>,
        selector: &sampan_api::LabelSelector,
    ) -> Result<Vec<ReplicaSet>, Error> {
        let namespace = owner::namespace(&deployment.metadata);
        let owned = self.sets.by_index(BY_CONTROLLER, owner::uid(&deployment.metadata));
        let orphans = self.sets.by_index(ORPHANS, namespace);
        let dependents = Dependents {
            owner: &**deployment,
            selector,
            owners: self.client.namespaced::<Deployment>(namespace),
            objects: self.client.namespaced::<ReplicaSet>(namespace),
        };
        let sets = dependents.claim(owned.into_iter().chain(orphans), |_| true).await?;
        Ok(sets.into_iter().map(Arc::unwrap_or_clone).collect())
    }

    fn old_pods_run(&self, deployment: &Deployment, sets: &[ReplicaSet]) -> bool {
        if replicas::is_rolling(deployment) {
            return false;
        }
        let new = replicas::newest(deployment, sets).map(|at| owner::uid(&sets[at].metadata));
        sets.iter().map(|set| owner::uid(&set.metadata)).filter(|uid| Some(*uid) != new).any(|uid| {
            let pods = self.pods.by_index(BY_CONTROLLER, uid);
            pods.iter().any(|pod| !crate::pod::is_finished(pod))
        })
    }

    async fn apply(
        &self,
        deployment: &Arc<Deployment>,
        action: Action,
        status: &mut DeploymentStatus,
    ) -> Result<(), Error> {
        let api = self.client.namespaced::<ReplicaSet>(owner::namespace(&deployment.metadata));
        let event = match action {
            Action::Create { set, event } => match api.create(&set).await {
                Ok(_) => event,
                Err(error) if error.is_already_exists() => {
                    self.settle_collision(deployment, &set, status).await?;
                    None
                }
                // Nothing can be made here any more; the namespace takes the Deployment with it.
                Err(error) if error.is_namespace_terminating() => None,
                Err(error) => {
                    let name = owner::name(&set.metadata);
                    let message = format!("Failed to create new replica set \"{name}\": {error}");
                    condition::create_failed(deployment, status, message.clone(), self.env.now());
                    self.events.event(reference(&**deployment), EventType::Warning, "ReplicaSetCreateError", message);
                    return Err(Error::of(format!("create replica set {name}"))(error));
                }
            },
            Action::Update { set, event } => {
                let name = owner::name(&set.metadata);
                api.update(name, &set).await.map_err(Error::of(format!("update replica set {name}")))?;
                event
            }
            Action::Delete { name, uid } => {
                let params = DeleteParams { propagation: Some(Propagation::Background), ..DeleteParams::uid(uid) };
                match api.delete(&name, &params).await {
                    Err(error) if !error.is_not_found() => {
                        return Err(Error::of(format!("delete replica set {name}"))(error));
                    }
                    _ => None,
                }
            }
        };
        if let Some(event) = event {
            self.events.event(reference(&**deployment), EventType::Normal, "ScalingReplicaSet", event);
        }
        Ok(())
    }

    /// A ReplicaSet of that name is there.
    ///
    /// # Errors
    /// Where the next hash is to be tried, which `status` says then, or the same again once the copy is no longer late.
    async fn settle_collision(
        &self,
        deployment: &Arc<Deployment>,
        set: &ReplicaSet,
        status: &mut DeploymentStatus,
    ) -> Result<(), Error> {
        let name = owner::name(&set.metadata);
        let there: ReplicaSet = self.client.namespaced(owner::namespace(&deployment.metadata)).get(name).await?;
        match collision::find_out(deployment, &there, set) {
            There::Own => {
                tracing::debug!(set = name, reached = self.set_informer.revision(), "the copy is late");
                Ok(())
            }
            There::ToAdopt => Err(Error::Invalid(format!("replica set {name} is free, and not yet seen to be"))),
            There::Other => {
                status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
                Err(Error::Invalid(format!("replica set {name} is there with another template or owner")))
            }
        }
    }

    async fn write_status(
        &self,
        deployment: &Arc<Deployment>,
        status: DeploymentStatus,
        revision: Option<i64>,
    ) -> Result<(), Error> {
        let api = self.client.namespaced::<Deployment>(owner::namespace(&deployment.metadata));
        let change = |object: &mut Deployment| {
            let noted = revision.is_some_and(|number| {
                annotations::set(&mut object.metadata, annotations::REVISION, &number.to_string())
            });
            let differs = noted || condition::differs(object.status.as_ref(), &status);
            object.status = Some(status.clone());
            differs
        };
        // A status of an older state must not overwrite a newer one's.
        update_status(&api, &**deployment, Conflict::Fail, change).await.map(drop)
    }
}
