//! Objects that every namespace has: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`.

use crate::{Context, Error, limits, owner};
use sampan_api::k8s::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{Client, Lister};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use std::collections::BTreeMap;

/// The ServiceAccount that pods have which name none.
pub const ACCOUNT: &str = "default";
/// The ConfigMap with the API server's CA (`RootCACertConfigMapName`).
pub const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_KEY: &str = "ca.crt";
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
     internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes \
     clusters.",
);

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let (env, tasks) = (&context.config.env, &context.config.tasks);
    let namespaces = context.informers.of::<Namespace>()?;

    let accounts = context.informers.of::<ServiceAccount>()?;
    let mut runtime: Runtime = Runtime::new("service-account", env, tasks);
    runtime.watch(&namespaces);
    let queue = runtime.queue().clone();
    runtime.watch_with(&accounts, move |record, _| {
        if &*record.key.name == ACCOUNT {
            queue.add(RecordKey::new("", record.key.namespace.clone()));
        }
    });
    let reconciler = Accounts {
        namespaces: namespaces.lister(),
        accounts: accounts.lister(),
        client: context.client(UserInfo::controller("service-account"), "service-account-controller")?,
    };
    runtime.start(reconciler, limits::WORKERS);

    let maps = context
        .informers
        .select(sampan_client::InformerSpec::of::<ConfigMap>().fields(format!("metadata.name={ROOT_CA}")))?;
    let mut runtime: Runtime = Runtime::new("root-ca-cert-publisher", env, tasks);
    runtime.watch(&namespaces);
    let queue = runtime.queue().clone();
    runtime.watch_with(&maps, move |record, _| queue.add(RecordKey::new("", record.key.namespace.clone())));
    let publisher = UserInfo::service_account("kube-system", "root-ca-cert-publisher");
    let reconciler = RootCa {
        namespaces: namespaces.lister(),
        maps: maps.lister(),
        client: context.client(publisher, "root-ca-cert-publisher")?,
        pem: context.config.root_ca_pem.clone(),
    };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

struct Accounts {
    namespaces: Lister<Namespace>,
    accounts: Lister<ServiceAccount>,
    client: Client,
}

impl Reconcile for Accounts {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        if !is_active(&self.namespaces, key) || self.accounts.get(&key.name, ACCOUNT).is_some() {
            return Ok(Requeue::Never);
        }
        let metadata = ObjectMeta { name: Some(ACCOUNT.into()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        settled(self.client.namespaced::<ServiceAccount>(&key.name).create(&account).await)
    }
}

struct RootCa {
    namespaces: Lister<Namespace>,
    maps: Lister<ConfigMap>,
    client: Client,
    pem: String,
}

/// The ConfigMap to write; `None`: it is so already.
fn wanted(present: Option<&ConfigMap>, pem: &str) -> Option<ConfigMap> {
    let data = BTreeMap::from([(ROOT_CA_KEY.to_owned(), pem.to_owned())]);
    let mut map = present.cloned().unwrap_or_else(|| ConfigMap {
        metadata: ObjectMeta { name: Some(ROOT_CA.into()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    });
    let annotations = map.metadata.annotations.get_or_insert_default();
    let described = annotations.get(DESCRIPTION.0).is_some_and(|text| text == DESCRIPTION.1);
    if present.is_some() && map.data.as_ref() == Some(&data) && described {
        return None;
    }
    annotations.insert(DESCRIPTION.0.into(), DESCRIPTION.1.into());
    map.data = Some(data);
    Some(map)
}

impl Reconcile for RootCa {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        if !is_active(&self.namespaces, key) {
            return Ok(Requeue::Never);
        }
        let present = self.maps.get(&key.name, ROOT_CA);
        let Some(map) = wanted(present.as_deref(), &self.pem) else { return Ok(Requeue::Never) };
        let api = self.client.namespaced::<ConfigMap>(&key.name);
        settled(if present.is_some() { api.update(ROOT_CA, &map).await } else { api.create(&map).await })
    }
}

fn is_active(namespaces: &Lister<Namespace>, key: &RecordKey) -> bool {
    namespaces.get("", &key.name).is_some_and(|namespace| !owner::is_being_deleted(&namespace.metadata))
}

/// Someone else was first, or the namespace is going: nothing is left to do.
fn settled<T>(outcome: sampan_client::Result<T>) -> Result<Requeue, Error> {
    match outcome {
        Err(error) if !(error.is_already_exists() || error.is_namespace_terminating() || error.is_not_found()) => {
            Err(error.into())
        }
        _ => Ok(Requeue::Never),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_mended_and_then_left_alone() {
        let first = wanted(None, "pem").expect("made");
        assert_eq!(first.data.as_ref().expect("data")["ca.crt"], "pem");
        assert!(wanted(Some(&first), "pem").is_none());
        let mended = wanted(Some(&first), "new").expect("another certificate");
        assert_eq!(mended.data.expect("data")["ca.crt"], "new");
    }
}
