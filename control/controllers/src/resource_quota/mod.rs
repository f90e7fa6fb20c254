//! Keeps the status of ResourceQuotas: what they limit, and how much of it is used (pkg/controller/resourcequota). Admission
//! charges what comes; what goes is counted here.
//!
//! The count is exact: objects are listed after the quota was read, and what is charged in the meantime makes the status
//! write a conflict.

mod plan;
mod watched;

pub use plan::plan;

use crate::{Context, Error, limits};
use sampan_api::k8s::api::core::v1::ResourceQuota;
use sampan_api::{GroupVersionResource, Object, RecordKey, UserInfo};
use sampan_client::{Api, Change, Client, Informer, ListParams};
use sampan_env::Env;
use sampan_quota::{Evaluator, Item};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use watched::{Counted, Watched};

const COMPONENT: &str = "resourcequota-controller";

struct Controller {
    quotas: Informer,
    client: Client,
    watched: Watched,
    env: Env,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let client = context.client(UserInfo::service_account("kube-system", COMPONENT), COMPONENT)?;
    let quotas = context.informers.of::<ResourceQuota>()?;
    let mut runtime: Runtime = Runtime::new("resource quota", &context.config.env, &context.config.tasks);
    runtime.read(&quotas);
    let queue = runtime.queue().clone();
    quotas.add_handler(move |change| {
        // Charges are no reason to count: they are as exact as a count.
        if let Change::Applied { old, new } = change
            && old.as_ref().is_none_or(|old| plan::asks_for_more(old, new))
        {
            queue.add(new.key.clone());
        }
    });
    let env = context.config.env.clone();
    let watched = Watched::new(quotas.clone(), context.informers.clone(), runtime.queue().clone(), env.clone());
    runtime.start(Controller { quotas, client, watched, env }, limits::WORKERS);
    Ok(())
}

impl Reconcile for Controller {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(record) = self.quotas.store().get(key) else { return Ok(Requeue::Never) };
        let quota = record.typed::<ResourceQuota>().map_err(|error| Error::Invalid(error.to_string()))?;
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
        let wanted = Evaluator::named_by(hard.into_iter().flatten().map(|(name, _)| name.as_str()));
        let counted = self.watched.counted(&self.client, &wanted).await?;
        let mut found = Vec::with_capacity(counted.len());
        for one in &counted {
            found.push((one.evaluator.clone(), self.items(one, &key.namespace).await?));
        }
        let status = plan(&quota, &found, self.env.now());
        // What came before the status said that it is limited was not charged: it is counted once more.
        let hard_is_new = status.as_ref().is_some_and(|status| plan::changes_hard(&quota, status));
        if let Some(status) = status {
            let mut object = record.object();
            object.set(&["status"], status);
            match self.quotas_of(&key.namespace).update_status(&key.name, &object).await {
                Err(error) if !error.is_not_found() => return Err(Error::of(format!("status of quota {key}"))(error)),
                _ => {}
            }
        }
        // What is not served now may be later.
        let all = counted.len() == wanted.len();
        Ok(Requeue::After(match (hard_is_new, all) {
            (true, _) => limits::QUOTA_RECOUNT,
            (false, true) => limits::QUOTA_RESYNC,
            (false, false) => limits::DISCOVERY_MAX_AGE,
        }))
    }
}

impl Controller {
    fn quotas_of(&self, namespace: &str) -> Api<Object> {
        self.client.dynamic(&GroupVersionResource::new("", "v1", "resourcequotas"), Some(namespace))
    }

    /// The namespace's objects of a resource.
    async fn items(&self, one: &Counted, namespace: &str) -> Result<Vec<Item>, Error> {
        let api = self.client.dynamic(&one.resource, Some(namespace));
        let list =
            api.list_all_records(&ListParams::default()).await.map_err(Error::of(format!("list {}", one.resource)))?;
        let items = list.items.iter().map(|record| one.evaluator.read_record(record));
        items.collect::<Result<_, _>>().map_err(|error| Error::Invalid(format!("{}: {error}", one.resource)))
    }
}
