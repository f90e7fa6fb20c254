//! Keeps as many pods of a template as a ReplicaSet, or a ReplicationController, says.

mod form;
mod plan;
mod rank;
#[cfg(test)]
mod tests;

use form::Form;
pub use plan::{Action, scale, status};

use crate::{Context, Error, limits, owner};
use futures::future::join_all;
use sampan_api::k8s::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use sampan_api::k8s::api::core::v1::{Pod, ReplicationController};
use sampan_api::{RecordKey, UserInfo};
use sampan_client::informer::by_controller_uid;
use sampan_client::{Change, Client, DeleteParams, EventRecorder, EventType, Lister, reference};
use sampan_env::Env;
use sampan_reconcile::claim::{BY_CONTROLLER, Dependents, ORPHANS, index_orphans};
use sampan_reconcile::{Conflict, Expectations, Reconcile, Requeue, Runtime, Unsent, update_status};
use std::sync::Arc;

struct Replicas<K> {
    sets: Lister<K>,
    pods: Lister<Pod>,
    client: Client,
    events: EventRecorder,
    expectations: Arc<Expectations>,
    env: Env,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    start_of::<ReplicaSet>(context, UserInfo::controller("replicaset"), "replicaset-controller")?;
    let user = UserInfo::service_account("kube-system", "replication-controller");
    start_of::<ReplicationController>(context, user, "replication-controller")
}

fn start_of<K: Form>(context: &Context, user: UserInfo, component: &'static str) -> Result<(), Error> {
    let client = context.client(user, component)?;
    let env = context.config.env.clone();
    let (sets, pods) = (context.informers.of::<K>()?, context.informers.of::<Pod>()?);
    for informer in [&sets, &pods] {
        informer.add_index(BY_CONTROLLER, by_controller_uid);
    }
    index_orphans(&pods);
    let expectations = Arc::new(Expectations::new(&env));
    let mut runtime = Runtime::new(component, &env, &context.config.tasks);
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
        let set_of = |record: &sampan_api::Record| owner::controller_key(record, K::KIND);
        let all = sets.lister::<K>();
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
            let is_going = matches!(change, Change::Deleted { .. }) || record.deletion.is_pending();
            match set_of(record) {
                Some(key) => {
                    if is_going {
                        expectations.deleted(&key, &record.uid);
                    }
                    queue.add(key);
                }
                // Without a controller it may be adopted by whoever selects it.
                None if !owner::has_controller(record) && !is_going => {
                    for set in all.store().list_namespace(&record.key.namespace) {
                        if let Ok(typed) = set.typed::<K>()
                            && let Some(selector) = selector(&typed.as_set())
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
    let reconciler = Replicas::<K> {
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

impl<K: Form> Reconcile for Replicas<K> {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(stored) = self.sets.get(&key.namespace, &key.name) else {
            self.expectations.forget(key);
            return Ok(Requeue::Never);
        };
        let set = stored.as_set();
        let Some(selector) = selector(&set) else { return Ok(Requeue::Never) };
        // Before the pods are read: what is seen from here on is in the list.
        let may_act = self.expectations.satisfied(key) && !owner::is_being_deleted(&set.metadata);
        let owned = self.claim(&stored, &selector).await?;
        let now = self.env.now();
        let mut failure = None;
        let mut error = None;
        if may_act && let Some(action) = scale(&set, &owned, &self.siblings(&set, &owned), now) {
            (failure, error) = match action {
                Action::Create(count) => ("FailedCreate", self.create(key, &stored, count).await),
                Action::Delete(pods) => ("FailedDelete", self.delete(key, &stored, &pods).await),
            }
            .into_failure();
        }
        let failure = failure.or_else(|| if may_act { None } else { current_failure(&set) });
        let (mut status, requeue) = status(&set, &owned, failure.as_ref(), now);
        if !K::COUNTS_TERMINATING {
            status.terminating_replicas = None;
        }
        self.write_status(&stored, status).await?;
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

impl<K: Form> Replicas<K> {
    /// The pods that are the set's, after taking those that it selects and nobody has, and leaving those that it no
    /// longer selects.
    async fn claim(&self, set: &K, selector: &sampan_api::LabelSelector) -> Result<Vec<Arc<Pod>>, Error> {
        let namespace = owner::namespace(set.metadata());
        let candidates = self
            .pods
            .by_index(BY_CONTROLLER, owner::uid(set.metadata()))
            .into_iter()
            .chain(self.pods.by_index(ORPHANS, namespace));
        let dependents = Dependents {
            owner: set,
            selector,
            owners: self.client.namespaced::<K>(namespace),
            objects: self.client.namespaced::<Pod>(namespace),
        };
        // Finished pods are counted by nobody: they are left alone.
        dependents.claim(candidates, crate::pod::is_active).await
    }

    /// Pods of every set of the same controller.
    fn siblings(&self, set: &ReplicaSet, owned: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let Some(reference) = owner::controller(&set.metadata) else { return owned.to_vec() };
        let sets = self.sets.by_index(BY_CONTROLLER, &reference.uid);
        sets.iter().flat_map(|one| self.pods.by_index(BY_CONTROLLER, owner::uid(one.metadata()))).collect()
    }

    /// In batches that double: when the first pod is refused, so would be the hundreds after it.
    async fn create(&self, key: &RecordKey, set: &Arc<K>, count: usize) -> Result<(), Error> {
        self.expectations.expect(key, count, []);
        let api = self.client.namespaced::<Pod>(owner::namespace(set.metadata()));
        let template = plan::pod_of(&set.as_set(), owner::reference(&**set));
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

    async fn delete(&self, key: &RecordKey, set: &Arc<K>, pods: &[Arc<Pod>]) -> Result<(), Error> {
        self.expectations.expect(key, 0, pods.iter().map(|one| owner::uid(&one.metadata).to_owned()));
        let api = self.client.namespaced::<Pod>(owner::namespace(set.metadata()));
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

    async fn write_status(&self, set: &Arc<K>, status: ReplicaSetStatus) -> Result<(), Error> {
        if !plan::differs(set.as_set().status.as_ref(), &status) {
            return Ok(());
        }
        let api = self.client.namespaced::<K>(owner::namespace(set.metadata()));
        let change = |set: &mut K| {
            set.set_status(status.clone());
            true
        };
        update_status(&api, &**set, Conflict::Reread, change).await.map(drop)
    }
}
