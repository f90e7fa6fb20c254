//! Keeps as many pods of a template as a ReplicaSet says.

mod plan;
mod rank;
#[cfg(test)]
mod tests;

pub use plan::{Action, scale, status};

use crate::owner::{self, Claim};
use crate::runtime::{Expectations, Reconcile, Requeue, Runtime, Unsent};
use crate::{Context, Error, limits};
use futures::future::join_all;
use sampan_api::k8s::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use sampan_api::k8s::api::core::v1::Pod;
use sampan_api::{RecordKey, UserInfo};
use sampan_client::informer::by_controller_uid;
use sampan_client::{Change, Client, DeleteParams, EventRecorder, EventType, Lister, reference};
use sampan_env::Env;
use std::sync::Arc;

/// Objects by the UID of their controller.
pub(crate) const BY_CONTROLLER: &str = "controller";
/// Pods without a controller, by namespace.
pub(crate) const ORPHANS: &str = "orphans";

struct ReplicaSets {
    sets: Lister<ReplicaSet>,
    pods: Lister<Pod>,
    client: Client,
    events: EventRecorder,
    expectations: Arc<Expectations>,
    env: Env,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let component = "replicaset-controller";
    let client = context.client(UserInfo::controller("replicaset"), component)?;
    let env = context.config.env.clone();
    let (sets, pods) = (context.informers.of::<ReplicaSet>()?, context.informers.of::<Pod>()?);
    for informer in [&sets, &pods] {
        informer.add_index(BY_CONTROLLER, by_controller_uid);
    }
    pods.add_index(ORPHANS, |record| {
        let owned = record.owners.iter().any(|owner| owner.controller);
        if owned { Vec::new() } else { vec![record.key.namespace.to_string()] }
    });
    let expectations = Arc::new(Expectations::new(&env));
    let mut runtime = Runtime::new("replicaset", &env, &context.config.tasks);
    {
        let (expectations, queue) = (expectations.clone(), runtime.queue().clone());
        runtime.watch_with(&sets, move |record, gone| {
            if gone {
                expectations.forget(&record.key);
            }
            queue.add(record.key.clone());
        });
    }
    {
        let (expectations, queue) = (expectations.clone(), runtime.queue().clone());
        let set_of = |record: &sampan_api::Record| {
            let owner = record.owners.iter().find(|owner| owner.controller && owner.kind == "ReplicaSet")?;
            Some(RecordKey::new(record.key.namespace.clone(), owner.name.as_str()))
        };
        let all = sets.lister::<ReplicaSet>();
        pods.add_handler(move |change| {
            let record = match change {
                Change::Applied { old, new } => {
                    if let Some(key) = old.as_deref().and_then(set_of) {
                        queue.add(key);
                    }
                    if let Some(key) = set_of(new).filter(|_| old.is_none()) {
                        expectations.created(&key);
                    }
                    new
                }
                Change::Deleted { last } => last,
                Change::Synced | Change::Lost => return,
            };
            let is_going = matches!(change, Change::Deleted { .. })
                || record.typed::<Pod>().is_ok_and(|one| owner::is_being_deleted(&one.metadata));
            match set_of(record) {
                Some(key) => {
                    if is_going {
                        expectations.deleted(&key, &record.uid);
                    }
                    queue.add(key);
                }
                // Without a controller it may be adopted by whoever selects it.
                None if record.owners.iter().all(|owner| !owner.controller) && !is_going => {
                    for set in all.store().list_namespace(&record.key.namespace) {
                        if let Ok(typed) = set.typed::<ReplicaSet>()
                            && let Some(selector) = selector(&typed)
                            && owner::matches_record(&selector, record)
                        {
                            queue.add(set.key.clone());
                        }
                    }
                }
                None => {}
            }
        });
        runtime.read(&pods);
    }
    let reconciler = ReplicaSets {
        sets: sets.lister(),
        pods: pods.lister(),
        events: context.recorder(&client, component),
        client,
        expectations,
        env,
    };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

fn selector(set: &ReplicaSet) -> Option<sampan_api::LabelSelector> {
    set.spec.as_ref().and_then(|spec| owner::selector(&spec.selector))
}

impl Reconcile for ReplicaSets {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(set) = self.sets.get(&key.namespace, &key.name) else {
            self.expectations.forget(key);
            return Ok(Requeue::Never);
        };
        let Some(selector) = selector(&set) else { return Ok(Requeue::Never) };
        // Before the pods are read: what is seen from here on is in the list.
        let may_act = self.expectations.satisfied(key) && !owner::is_being_deleted(&set.metadata);
        let owned = self.claim(&set, &selector).await?;
        let now = self.env.now();
        let mut failure = None;
        let mut error = None;
        if may_act && let Some(action) = scale(&set, &owned, &self.siblings(&set, &owned), now) {
            (failure, error) = match action {
                Action::Create(count) => ("FailedCreate", self.create(key, &set, count).await),
                Action::Delete(pods) => ("FailedDelete", self.delete(key, &set, &pods).await),
            }
            .into_failure();
        }
        let failure = failure.or_else(|| if may_act { None } else { current_failure(&set) });
        let (status, requeue) = status(&set, &owned, failure.as_ref(), now);
        self.write_status(&set, status).await?;
        match error {
            Some(error) => Err(error),
            None => Ok(requeue),
        }
    }
}

trait IntoFailure {
    fn into_failure(self) -> (Option<plan::Failure>, Option<Error>);
}

impl IntoFailure for (&'static str, Result<(), Error>) {
    fn into_failure(self) -> (Option<plan::Failure>, Option<Error>) {
        match self {
            (_, Ok(())) => (None, None),
            (reason, Err(error)) => {
                let text = error.client().map_or_else(|| error.to_string(), ToString::to_string);
                (Some((reason, text)), Some(error))
            }
        }
    }
}

/// While nothing is tried, what failed before still stands.
fn current_failure(set: &ReplicaSet) -> Option<plan::Failure> {
    let conditions = set.status.as_ref()?.conditions.as_ref()?;
    let one = conditions.iter().find(|condition| condition.type_ == "ReplicaFailure")?;
    let reason = if one.reason.as_deref() == Some("FailedDelete") { "FailedDelete" } else { "FailedCreate" };
    Some((reason, one.message.clone().unwrap_or_default()))
}

impl ReplicaSets {
    /// The pods that are the set's, after taking those that it selects and nobody has, and leaving those that it no
    /// longer selects.
    async fn claim(&self, set: &ReplicaSet, selector: &sampan_api::LabelSelector) -> Result<Vec<Arc<Pod>>, Error> {
        let namespace = owner::namespace(&set.metadata);
        let candidates = self
            .pods
            .by_index(BY_CONTROLLER, owner::uid(&set.metadata))
            .into_iter()
            .chain(self.pods.by_index(ORPHANS, namespace));
        let api = self.client.namespaced::<Pod>(namespace);
        let (mut owned, mut checked) = (Vec::new(), false);
        for one in candidates {
            let name = owner::name(&one.metadata);
            match owner::claim(&set.metadata, selector, &one.metadata) {
                Claim::Mine => owned.push(one),
                Claim::NotMine => {}
                // Finished pods are counted by nobody: they are left alone.
                Claim::Adopt if !crate::pod::is_active(&one) => {}
                Claim::Adopt => {
                    if !checked {
                        self.check_alive(set).await?;
                        checked = true;
                    }
                    match api.patch(name, &owner::adopt(set, &one.metadata)).await {
                        Ok(adopted) => owned.push(Arc::new(adopted)),
                        Err(error) if error.is_not_found() || error.is_conflict() || error.is_invalid() => {}
                        Err(error) => return Err(Error::of(format!("adopt pod {name}"))(error)),
                    }
                }
                Claim::Release => match api.patch(name, &owner::release(&set.metadata, &one.metadata)).await {
                    Ok(_) => {}
                    Err(error) if error.is_not_found() || error.is_conflict() || error.is_invalid() => {}
                    Err(error) => return Err(Error::of(format!("release pod {name}"))(error)),
                },
            }
        }
        Ok(owned)
    }

    /// The informer's copy may be of a set that is gone: nothing is adopted by the dead.
    async fn check_alive(&self, set: &ReplicaSet) -> Result<(), Error> {
        let name = owner::name(&set.metadata);
        let fresh: ReplicaSet = self.client.namespaced(owner::namespace(&set.metadata)).get(name).await?;
        if fresh.metadata.uid != set.metadata.uid || owner::is_being_deleted(&fresh.metadata) {
            return Err(Error::Invalid(format!("replica set {name} is gone or going: it adopts nothing")));
        }
        Ok(())
    }

    /// Pods of every set of the same controller.
    fn siblings(&self, set: &ReplicaSet, owned: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let Some(reference) = owner::controller(&set.metadata) else { return owned.to_vec() };
        let sets = self.sets.by_index(BY_CONTROLLER, &reference.uid);
        sets.iter().flat_map(|one| self.pods.by_index(BY_CONTROLLER, owner::uid(&one.metadata))).collect()
    }

    /// In batches that double: when the first pod is refused, so would be the hundreds after it.
    async fn create(&self, key: &RecordKey, set: &Arc<ReplicaSet>, count: usize) -> Result<(), Error> {
        self.expectations.expect(key, count, []);
        let api = self.client.namespaced::<Pod>(owner::namespace(&set.metadata));
        let template = plan::pod_of(set);
        let mut unsent = Unsent::new(&self.expectations, key, count);
        let (mut batch, mut first_error, mut terminating) = (limits::SLOW_START_BATCH, None, false);
        while unsent.left() > 0 && first_error.is_none() && !terminating {
            let size = batch.min(unsent.left());
            unsent.sent(size);
            let outcomes = join_all((0..size).map(|_| api.create(&template))).await;
            for outcome in outcomes {
                match outcome {
                    Ok(made) => self.events.event(
                        reference(&**set),
                        EventType::Normal,
                        "SuccessfulCreate",
                        format!("Created pod: {}", owner::name(&made.metadata)),
                    ),
                    Err(error) => {
                        self.expectations.created(key);
                        if !error.is_namespace_terminating() {
                            let message = format!("Error creating: {error}");
                            self.events.event(reference(&**set), EventType::Warning, "FailedCreate", message);
                            first_error.get_or_insert(error);
                        } else {
                            // It can only succeed when the namespace is gone, and the set with it.
                            terminating = true;
                        }
                    }
                }
            }
            batch *= 2;
        }
        first_error.map_or(Ok(()), |error| Err(Error::of("create pods")(error)))
    }

    async fn delete(&self, key: &RecordKey, set: &Arc<ReplicaSet>, pods: &[Arc<Pod>]) -> Result<(), Error> {
        self.expectations.expect(key, 0, pods.iter().map(|one| owner::uid(&one.metadata).to_owned()));
        let api = self.client.namespaced::<Pod>(owner::namespace(&set.metadata));
        let outcomes = join_all(pods.iter().map(async |one| {
            let uid = owner::uid(&one.metadata);
            (one, api.delete(owner::name(&one.metadata), &DeleteParams::uid(uid)).await)
        }))
        .await;
        let mut first_error = None;
        for (one, outcome) in outcomes {
            let name = owner::name(&one.metadata);
            match outcome {
                Ok(_) => self.events.event(
                    reference(&**set),
                    EventType::Normal,
                    "SuccessfulDelete",
                    format!("Deleted pod: {name}"),
                ),
                Err(error) => {
                    self.expectations.deleted(key, owner::uid(&one.metadata));
                    if !error.is_not_found() {
                        let message = format!("Error deleting: {error}");
                        self.events.event(reference(&**set), EventType::Warning, "FailedDelete", message);
                        first_error.get_or_insert(error);
                    }
                }
            }
        }
        first_error.map_or(Ok(()), |error| Err(Error::of("delete pods")(error)))
    }

    async fn write_status(&self, set: &Arc<ReplicaSet>, status: ReplicaSetStatus) -> Result<(), Error> {
        if !plan::differs(set.status.as_ref(), &status) {
            return Ok(());
        }
        let name = owner::name(&set.metadata);
        let api = self.client.namespaced::<ReplicaSet>(owner::namespace(&set.metadata));
        let mut object = ReplicaSet::clone(set);
        for attempt in 1.. {
            object.status = Some(status.clone());
            match api.update_status(name, &object).await {
                Ok(_) => break,
                Err(error) if error.is_not_found() => break,
                Err(error) if error.is_conflict() && attempt < limits::STATUS_ATTEMPTS => {
                    object = api.get(name).await?;
                    if object.metadata.uid != set.metadata.uid {
                        break;
                    }
                }
                Err(error) => return Err(Error::of(format!("status of replica set {name}"))(error)),
            }
        }
        Ok(())
    }
}
