//! Registers the group versions that this server serves as APIServices, and says of those of other servers whether they
//! answer (kube-aggregator's autoregister and availability controllers, and crdregistration).
//!
//! It belongs to the API server: it runs wherever one does.

mod availability;
mod plan;

use crate::{ClientOf, Error, limits};
use availability::Availability;
use parking_lot::Mutex;
use plan::{Action, Desired, Managed, Seen};
use sampan_api::{GroupVersionResource, Object, Record, RecordKey, UserInfo};
use sampan_client::{Client, DeleteParams, Informer, InformerSpec, Informers, ServiceProxy};
use sampan_env::{Env, Tasks};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};

pub use plan::GroupVersionPriority;

fn api_services() -> GroupVersionResource {
    GroupVersionResource::new("apiregistration.k8s.io", "v1", "apiservices")
}

fn definitions() -> GroupVersionResource {
    GroupVersionResource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

/// The parts that it is started with.
pub struct Config {
    /// Makes clients.
    pub client_of: ClientOf,
    /// Reaches other servers.
    pub proxy: Arc<ServiceProxy>,
    /// The group versions that are built in.
    pub builtin: Vec<GroupVersionPriority>,
    /// What each version of a definition gets.
    pub defined: (i64, i64),
}

/// Starts it, as the API server itself.
///
/// # Errors
/// When no client can be made.
pub fn start(config: Config, env: &Env, tasks: &Tasks) -> Result<(), Error> {
    let client = (config.client_of)(UserInfo::apiserver())?.with_user_agent("kube-apiserver/api-services");
    let informers = Informers::new(client.clone(), env, tasks);
    let services = informers.select(InformerSpec::dynamic(api_services()))?;
    let definitions = informers.select(InformerSpec::dynamic(definitions()))?;
    let builtin: BTreeMap<String, Desired> =
        config.builtin.into_iter().map(|one| (one.name(), Desired::of(&one, Managed::OnStart))).collect();

    let mut runtime: Runtime = Runtime::new("api-services", env, tasks);
    runtime.watch(&services);
    let queue = runtime.queue().clone();
    runtime.watch_with(&definitions, move |record, _| {
        names_of(record).into_iter().for_each(|name| queue.add(RecordKey::new("", name)));
    });
    builtin.keys().for_each(|name| runtime.queue().add(RecordKey::new("", name.clone())));
    let registration = Registration {
        services: services.clone(),
        definitions,
        client: client.clone(),
        builtin,
        defined: config.defined,
        at_start: OnceLock::new(),
        done: Mutex::default(),
    };
    runtime.start(registration, limits::WORKERS);
    availability::start(Availability::new(client, services, config.proxy), &informers, env, tasks)
}

/// The names of the APIServices of a definition's versions.
fn names_of(record: &Record) -> Vec<String> {
    let definition = record.object();
    plan::versions(&definition).map(|(version, group)| format!("{version}.{group}")).collect()
}

struct Registration {
    services: Informer,
    definitions: Informer,
    client: Client,
    builtin: BTreeMap<String, Desired>,
    defined: (i64, i64),
    /// Those that were there when it began.
    at_start: OnceLock<HashSet<String>>,
    /// Those that were as they should be once.
    done: Mutex<HashSet<String>>,
}

impl Registration {
    fn desired(&self, name: &str) -> Option<Desired> {
        if let Some(builtin) = self.builtin.get(name) {
            return Some(builtin.clone());
        }
        let (version, group) = name.split_once('.')?;
        let served =
            self.definitions.store().list().iter().any(|record| plan::serves(&record.object(), group, version));
        let one = GroupVersionPriority {
            group: group.to_owned(),
            version: version.to_owned(),
            group_priority: self.defined.0,
            version_priority: self.defined.1,
        };
        served.then(|| Desired::of(&one, Managed::Always))
    }

    async fn act(&self, name: &str, current: Option<&Object>, action: Action) -> Result<(), Error> {
        let api = self.client.dynamic(&api_services(), None);
        let outcome = match action {
            Action::Nothing => Ok(()),
            Action::Create(object) => api.create(&object).await.map(drop),
            Action::Update(object) => api.update(name, &object).await.map(drop),
            Action::Delete => api.delete(name, &DeleteParams::uid(current.map_or("", Object::uid))).await.map(drop),
        };
        match outcome {
            // It comes again by itself.
            Err(error) if error.is_not_found() || error.is_conflict() || error.is_already_exists() => Ok(()),
            other => Ok(other?),
        }
    }
}

impl Reconcile for Registration {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let names = || self.services.store().list().iter().map(|record| record.key.name.to_string()).collect();
        let at_start = self.at_start.get_or_init(names);
        let name: &str = &key.name;
        let current = self.services.store().get(key).map(|record| record.object());
        let seen = Seen { at_start: at_start.contains(name), done: self.done.lock().contains(name) };
        let action = plan::plan(self.desired(name).as_ref(), current.as_ref(), seen);
        self.act(name, current.as_ref(), action).await?;
        self.done.lock().insert(name.to_owned());
        Ok(Requeue::Never)
    }
}
