//! Keeps claims, volumes and classes of volume attributes until nobody uses them: admission gives them a finalizer, which
//! is taken away here (pkg/controller/volume/{pvc,pv,vac}protection).

mod plan;

pub use plan::{Action, State, plan};

use crate::{Context, Error, limits};
use plan::{claims, class_of_volume, classes_of_claim, uses};
use sampan_api::k8s::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use sampan_api::{GroupVersionResource, Record, RecordKey, UserInfo};
use sampan_client::{Client, Informer, InformerSpec, ListParams};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use serde_json::Value;

const BY_CLAIM: &str = "claim";
const BY_CLASS: &str = "class of volume attributes";

/// One kind that is kept.
struct Protector {
    objects: Informer,
    resource: GroupVersionResource,
    finalizer: &'static str,
    users: Users,
    client: Client,
}

/// Who uses an object.
enum Users {
    /// Of a claim, by [`BY_CLAIM`].
    Pods(Informer),
    /// The one claim that a volume is bound to.
    Claim,
    /// Of a class, by [`BY_CLASS`].
    ClaimsAndVolumes([Informer; 2]),
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let pods = context.informers.of::<Pod>()?;
    let claims_informer = context.informers.of::<PersistentVolumeClaim>()?;
    let volumes = context.informers.of::<PersistentVolume>()?;
    pods.add_index(BY_CLAIM, |record| record.typed::<Pod>().map(|pod| claims(&pod)).unwrap_or_default());
    claims_informer.add_index(BY_CLASS, claim_classes);
    volumes.add_index(BY_CLASS, volume_classes);

    let resource = GroupVersionResource::new("", "v1", "persistentvolumeclaims");
    let claims_name = "pvc-protection-controller";
    let of_pods: Map = |record| record.typed::<Pod>().map(|pod| claims(&pod)).unwrap_or_default();
    let watched = [(pods.clone(), of_pods, true)];
    let users = Users::Pods(pods);
    protect(context, claims_name, resource, "kubernetes.io/pvc-protection", users, &watched)?;

    let resource = GroupVersionResource::new("", "v1", "persistentvolumes");
    protect(context, "pv-protection-controller", resource, "kubernetes.io/pv-protection", Users::Claim, &[])?;

    let resource = GroupVersionResource::new("storage.k8s.io", "v1", "volumeattributesclasses");
    let watched =
        [(claims_informer.clone(), claim_classes as Map, false), (volumes.clone(), volume_classes as Map, false)];
    let users = Users::ClaimsAndVolumes([claims_informer, volumes]);
    protect(
        context,
        "volumeattributesclass-protection-controller",
        resource,
        "kubernetes.io/vac-protection",
        users,
        &watched,
    )
}

/// The names of what an object uses.
type Map = fn(&Record) -> Vec<String>;

fn claim_classes(record: &Record) -> Vec<String> {
    record
        .typed::<PersistentVolumeClaim>()
        .map(|claim| classes_of_claim(&claim).into_iter().collect())
        .unwrap_or_default()
}

fn volume_classes(record: &Record) -> Vec<String> {
    record.typed::<PersistentVolume>().ok().and_then(|volume| class_of_volume(&volume)).into_iter().collect()
}

/// Starts the protection of one kind. `watched`: users, the names of what each uses, and whether those are of its own
/// namespace.
fn protect(
    context: &Context,
    component: &'static str,
    resource: GroupVersionResource,
    finalizer: &'static str,
    users: Users,
    watched: &[(Informer, Map, bool)],
) -> Result<(), Error> {
    let client = context.client(UserInfo::service_account("kube-system", component), component)?;
    let objects = context.informers.select(InformerSpec::dynamic(resource.clone()))?;
    let mut runtime: Runtime = Runtime::new(component, &context.config.env, &context.config.tasks);
    runtime.watch(&objects);
    for (informer, names, own_namespace) in watched {
        let (queue, objects, names, own_namespace) = (runtime.queue().clone(), objects.clone(), *names, *own_namespace);
        runtime.watch_with(informer, move |record, _| {
            for name in names(record) {
                let namespace = if own_namespace { record.key.namespace.clone() } else { "".into() };
                let key = RecordKey::new(namespace, name);
                // Who stays is not asked about at each heartbeat of who uses it.
                if objects.store().get(&key).is_some_and(|object| object.deletion.is_pending()) {
                    queue.add(key);
                }
            }
        });
    }
    runtime.start(Protector { objects, resource, finalizer, users, client }, limits::WORKERS);
    Ok(())
}

impl Reconcile for Protector {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(record) = self.objects.store().get(key) else { return Ok(Requeue::Never) };
        let mut object = record.object();
        let protected = object.finalizers().any(|one| one == self.finalizer);
        let state = State { deleting: record.deletion.is_pending(), protected, used: self.is_known_used(&record)? };
        let Some(action) = plan(state) else { return Ok(Requeue::Never) };
        let mut finalizers: Vec<Value> = object.finalizers().map(Value::from).collect();
        match action {
            Action::Add => finalizers.push(self.finalizer.into()),
            Action::Release if self.is_used(&record).await? => return Ok(Requeue::Never),
            Action::Release => finalizers.retain(|one| *one != self.finalizer),
        }
        object.set_meta("finalizers", finalizers);
        let namespace = Some(&*key.namespace).filter(|namespace| !namespace.is_empty());
        match self.client.dynamic(&self.resource, namespace).update(&key.name, &object).await {
            Err(error) if !error.is_not_found() => {
                Err(Error::of(format!("finalizer of {} {key}", self.resource))(error))
            }
            _ => Ok(Requeue::Never),
        }
    }
}

fn typed<T: serde::de::DeserializeOwned + Send + Sync + 'static>(record: &Record) -> Result<std::sync::Arc<T>, Error> {
    record.typed::<T>().map_err(|error| Error::Invalid(format!("{}: {error}", record.key)))
}

impl Protector {
    /// Whether somebody uses it, by the local copies.
    fn is_known_used(&self, record: &Record) -> Result<bool, Error> {
        if !record.deletion.is_pending() {
            return Ok(false);
        }
        Ok(match &self.users {
            Users::Claim => record.object().get_str(&["status", "phase"]) == Some("Bound"),
            Users::ClaimsAndVolumes(users) => {
                users.iter().any(|users| !users.store().by_index(BY_CLASS, &record.key.name).is_empty())
            }
            Users::Pods(pods) => {
                let claim = typed(record)?;
                let found = pods.store().by_index(BY_CLAIM, &record.key.name);
                let own = found.iter().filter(|pod| pod.key.namespace == record.key.namespace);
                own.map(|pod| typed::<Pod>(pod)).collect::<Result<Vec<_>, _>>()?.iter().any(|pod| uses(pod, &claim))
            }
        })
    }

    /// Whether somebody uses it, by the server: a pod may be there that has not been heard of.
    async fn is_used(&self, record: &Record) -> Result<bool, Error> {
        let Users::Pods(_) = &self.users else { return Ok(false) };
        let claim = typed(record)?;
        let pods = self.client.namespaced::<Pod>(&record.key.namespace);
        let all = pods.list_all_records(&ListParams::default()).await?.items;
        Ok(all.iter().map(|pod| typed::<Pod>(pod)).collect::<Result<Vec<_>, _>>()?.iter().any(|pod| uses(pod, &claim)))
    }
}
