//! The resources that quotas limit: found among those served, and watched for what goes or shrinks.

use crate::Error;
use parking_lot::Mutex;
use sampan_api::k8s::api::core::v1::ResourceQuota;
use sampan_api::{GroupResource, GroupVersionResource, Record, RecordKey};
use sampan_client::{Change, Client, Informer, InformerSpec, Informers, WorkQueue};
use sampan_env::Env;
use sampan_quota::Evaluator;
use std::collections::HashMap;

/// A resource whose objects are counted.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) resource: GroupVersionResource,
    pub(super) evaluator: Evaluator,
}

/// A resource under watch.
struct Followed {
    counted: Counted,
    informer: Informer,
}

/// The resources under watch. One is watched from the first quota on that limits it.
pub(super) struct Watched {
    quotas: Informer,
    informers: Informers,
    queue: WorkQueue<RecordKey>,
    env: Env,
    known: Mutex<HashMap<GroupResource, Followed>>,
}

impl Watched {
    pub(super) fn new(quotas: Informer, informers: Informers, queue: WorkQueue<RecordKey>, env: Env) -> Self {
        Self { quotas, informers, queue, env, known: Mutex::default() }
    }

    /// Those of `wanted` that are served and can be counted.
    pub(super) async fn counted(&self, client: &Client, wanted: &[GroupResource]) -> Result<Vec<Counted>, Error> {
        let missing = {
            let mut known = self.known.lock();
            // What is served no more may be served anew.
            known.retain(|_, one| !one.informer.is_closed());
            wanted.iter().any(|resource| !known.contains_key(resource))
        };
        if missing {
            let served = client.discover().await?;
            for one in served.preferred().filter(|one| one.namespaced && one.has_verb("list") && one.has_verb("watch"))
            {
                let resource = one.resource.group_resource();
                if wanted.contains(&resource) {
                    self.watch(resource, &one.resource)?;
                }
            }
        }
        let known = self.known.lock();
        Ok(wanted.iter().filter_map(|resource| known.get(resource).map(|one| one.counted.clone())).collect())
    }

    fn watch(&self, resource: GroupResource, served: &GroupVersionResource) -> Result<(), Error> {
        let Some(evaluator) = Evaluator::of(&resource) else { return Ok(()) };
        let informer = self.informers.select(InformerSpec::dynamic(served.clone()))?;
        let counted = Counted { resource: served.clone(), evaluator: evaluator.clone() };
        if self.known.lock().insert(resource, Followed { counted, informer: informer.clone() }).is_some() {
            return Ok(());
        }
        let (quotas, queue, env) = (self.quotas.clone(), self.queue.clone(), self.env.clone());
        informer.add_handler(move |change| {
            let (record, old) = match change {
                Change::Deleted { last } => (last, None),
                Change::Applied { old: Some(old), new } => (new, Some(old)),
                _ => return,
            };
            let limiting = limiting(&quotas, &record.key.namespace, &evaluator);
            if !limiting.is_empty() && old.is_none_or(|old| is_counted_anew(&evaluator, old, record, &env)) {
                limiting.into_iter().for_each(|key| queue.add(key));
            }
        });
        Ok(())
    }
}

/// The quotas of the namespace that limit what the evaluator counts.
fn limiting(quotas: &Informer, namespace: &str, evaluator: &Evaluator) -> Vec<RecordKey> {
    let all = quotas.store().list_namespace(namespace).into_iter();
    let limits = |record: &Record| {
        let quota = record.typed::<ResourceQuota>().ok();
        let hard = quota.as_ref().and_then(|quota| quota.spec.as_ref()).and_then(|spec| spec.hard.as_ref());
        hard.into_iter().flatten().any(|(name, _)| evaluator.limits(name))
    };
    all.filter(|record| limits(record)).map(|record| record.key.clone()).collect()
}

fn is_counted_anew(evaluator: &Evaluator, old: &Record, new: &Record, env: &Env) -> bool {
    match (evaluator.read_record(old), evaluator.read_record(new)) {
        (Ok(old), Ok(new)) => evaluator.is_counted_anew(&old, &new, env.now()),
        // The count says what is wrong with it.
        _ => true,
    }
}
