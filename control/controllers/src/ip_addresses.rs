//! Shows the addresses that Services have as IPAddress objects (pkg/registry/core/service/ipallocator). The registry allots them
//! with the Service, in one write; the objects follow.

use crate::{Context, Error, limits, owner, service};
use sampan_api::k8s::api::core::v1::Service;
use sampan_api::k8s::api::networking::v1::{IPAddress, IPAddressSpec, ParentReference};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_api::{Record, RecordKey, UserInfo};
use sampan_client::{Client, DeleteParams, Lister};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use std::net::IpAddr;
use std::sync::Arc;

const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGER: &str = "ipallocator.k8s.io";
/// Index of an informer: Services by their addresses.
const BY_ADDRESS: &str = "cluster address";

/// The write that makes an address' object what it should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// There is none.
    Create(Box<IPAddress>),
    /// It names another Service: what it names cannot be changed, so that it is made anew.
    Replace(Box<IPAddress>),
    /// No Service has the address.
    Delete,
}

/// The write for the address `ip`, if one is needed. An object that the allocator has not made is its owner's.
pub fn plan(ip: &str, service: Option<&Service>, there: Option<&IPAddress>) -> Option<Action> {
    let is_mine = |one: &IPAddress| {
        one.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
    };
    match (service, there) {
        (None, Some(there)) if is_mine(there) => Some(Action::Delete),
        (None, _) => None,
        (Some(service), None) => Some(Action::Create(Box::new(address(ip, service)))),
        (Some(service), Some(there)) => {
            let wanted = address(ip, service);
            (is_mine(there) && there.spec != wanted.spec).then(|| Action::Replace(Box::new(wanted)))
        }
    }
}

fn address(ip: &str, of: &Service) -> IPAddress {
    let labels = [(FAMILY, service::family(ip).unwrap_or("IPv4")), (MANAGED_BY, MANAGER)];
    IPAddress {
        metadata: ObjectMeta {
            name: Some(ip.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        spec: Some(IPAddressSpec {
            parent_ref: ParentReference {
                group: None,
                name: owner::name(&of.metadata).to_owned(),
                namespace: of.metadata.namespace.clone(),
                resource: "services".into(),
            },
        }),
    }
}

/// The addresses that a Service has, in the form that names of IPAddresses have.
fn addresses(service: &Service) -> Vec<String> {
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() != Some("ExternalName"));
    let ips = spec.and_then(|spec| spec.cluster_ips.as_deref()).unwrap_or_default();
    ips.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()).map(|ip| ip.to_string()).collect()
}

fn addresses_of(record: &Record) -> Vec<String> {
    record.typed::<Service>().map(|service| addresses(&service)).unwrap_or_default()
}

struct Addresses {
    services: Lister<Service>,
    addresses: Lister<IPAddress>,
    client: Client,
}

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    // In Kubernetes it is the API server that writes them.
    let client = context.client(UserInfo::apiserver(), "ipallocator")?;
    let (services, addresses) = (context.informers.of::<Service>()?, context.informers.of::<IPAddress>()?);
    services.add_index(BY_ADDRESS, addresses_of);
    let mut runtime: Runtime = Runtime::new("ipallocator", &context.config.env, &context.config.tasks);
    let queue = runtime.queue().clone();
    runtime.watch_with(&services, move |record, _| {
        addresses_of(record).into_iter().for_each(|ip| queue.add(RecordKey::new("", ip)));
    });
    runtime.watch(&addresses);
    let reconciler = Addresses { services: services.lister(), addresses: addresses.lister(), client };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

impl Reconcile for Addresses {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let service: Option<Arc<Service>> = self.services.by_index(BY_ADDRESS, &key.name).into_iter().next();
        let there = self.addresses.get("", &key.name);
        let Some(action) = plan(&key.name, service.as_deref(), there.as_deref()) else { return Ok(Requeue::Never) };
        let api = self.client.all::<IPAddress>();
        let uid = there.map(|there| owner::uid(&there.metadata).to_owned()).unwrap_or_default();
        let delete = async || api.delete(&key.name, &DeleteParams::uid(&*uid)).await.map(drop);
        let outcome = match action {
            Action::Create(wanted) => api.create(&wanted).await.map(drop),
            Action::Delete => delete().await,
            Action::Replace(wanted) => match delete().await {
                Err(error) if !error.is_not_found() => Err(error),
                _ => api.create(&wanted).await.map(drop),
            },
        };
        match outcome {
            // The copy is late: what it shows next is looked at again.
            Err(error) if !(error.is_not_found() || error.is_already_exists() || error.is_conflict()) => {
                Err(Error::of(format!("IPAddress {}", key.name))(error))
            }
            _ => Ok(Requeue::Never),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn service(name: &str, kind: &str, ips: &[&str]) -> Service {
        let spec = json!({"type": kind, "clusterIP": ips[0], "clusterIPs": ips});
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}))
            .expect("a Service")
    }

    #[test]
    fn an_address_has_an_object_as_long_as_a_service_has_it() {
        let (one, other) = (service("web", "ClusterIP", &["127.96.0.9"]), service("db", "ClusterIP", &["127.96.0.9"]));
        let own = address("127.96.0.9", &one);
        let mut users = own.clone();
        users.metadata.labels = Some(BTreeMap::new());
        let check = |service: Option<&Service>, there: Option<&IPAddress>, expected: Option<&str>| {
            let got = plan("127.96.0.9", service, there).map(|action| match action {
                Action::Create(made) => format!("create for {}", made.spec.expect("a spec").parent_ref.name),
                Action::Replace(made) => format!("replace for {}", made.spec.expect("a spec").parent_ref.name),
                Action::Delete => "delete".to_owned(),
            });
            assert_eq!(got.as_deref(), expected);
        };
        check(Some(&one), None, Some("create for web"));
        check(Some(&one), Some(&own), None);
        check(Some(&other), Some(&own), Some("replace for db"));
        check(None, Some(&own), Some("delete"));
        check(None, Some(&users), None);
        check(Some(&other), Some(&users), None);
        check(None, None, None);
        let labels = own.metadata.labels.expect("labels");
        assert_eq!((labels[FAMILY].as_str(), labels[MANAGED_BY].as_str()), ("IPv4", "ipallocator.k8s.io"));
    }

    #[test]
    fn which_addresses_a_service_has() {
        let check = |kind: &str, ips: &[&str], expected: &[&str]| {
            assert_eq!(addresses(&service("web", kind, ips)), expected, "{kind} {ips:?}");
        };
        check("ClusterIP", &["127.96.0.9"], &["127.96.0.9"]);
        check("ClusterIP", &["127.96.0.9", "FD00::1"], &["127.96.0.9", "fd00::1"]);
        check("ClusterIP", &["None"], &[]);
        check("ExternalName", &["127.96.0.9"], &[]);
    }
}
