//! The objects of a cluster's first start, written before the server listens. At every start, what is missing of it is
//! made again, roles and bindings get what a newer version grants, and the API's own Service and its addresses follow where
//! the API listens. The API server's own are made again also while it runs.

use crate::addresses::ClusterAddresses;
use anyhow::{Context, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use sampan_api::time::rfc3339;
use sampan_api::{GroupVersionKind, Object};
use sampan_apiserver::flow::objects::{API_VERSION as FLOW_CONTROL, revise};
use sampan_auth::bootstrap::{Reconciled, reconcile};
use sampan_auth::pki::FRONT_PROXY_NAME;
use sampan_client::{Api, Client, DeleteParams, InformerSpec, Informers, Patch, WriteParams};
use sampan_env::{Env, Tasks};
use sampan_registry::ResourceTable;
use sampan_schema::gates::Gates;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const DATA: &str = include_str!("../data/first-start.yaml");
/// Writes under way at once: they share commits.
const AT_ONCE: usize = 64;

/// The name of the API server's own Service, of its addresses, and of the default range of Services.
const OWN: &str = "kubernetes";
/// The name of what aggregated servers read of who they believe.
const AUTHENTICATION: &str = "extension-apiserver-authentication";
/// The name of the ConfigMap that says since when the use of legacy tokens is noted
/// (pkg/controlplane/controller/legacytokentracking).
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
/// Its one value, a date.
const SINCE: &str = "since";
/// Wait after a change of what is kept, before all of it is looked at.
const SETTLE: Duration = Duration::from_secs(1);
/// The manager of levels and schemas; of everything else it is the API server (pkg/registry/flowcontrol/ensurer).
const FLOW_CONTROL_MANAGER: &str = "api-priority-and-fairness-config-producer-v1";
/// The manager of what the default range of Services' status says (pkg/controlplane/controller/defaultservicecidr).
const RANGE_MANAGER: &str = "kubernetes-service-cidr-controller";
/// Attempts at an object that somebody else keeps writing.
const TRIES: usize = 5;

/// What the objects say of this cluster.
#[derive(Clone, Debug)]
pub struct OwnThings {
    /// The address of the API's own Service.
    pub service_ip: Ipv4Addr,
    /// The range of Services' addresses.
    pub service_cidr: String,
    /// Where the API is reached, as it is bound.
    pub api: SocketAddr,
    /// What aggregated servers are to believe.
    pub authentication: Authentication,
    /// The features that are on.
    pub gates: Gates,
    /// Where nothing says since when the use of legacy tokens is noted: since this day.
    pub today: String,
}

/// The authorities that aggregated servers believe, PEM.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    /// Of clients' certificates.
    pub client_ca_pem: String,
    /// Of the front proxy's certificate.
    pub front_proxy_ca_pem: String,
}

impl Authentication {
    /// The ConfigMap that aggregated servers read (pkg/controlplane/controller/clusterauthenticationtrust).
    fn object(&self) -> Option<Object> {
        let list = |one: &str| json!([one]).to_string();
        Object::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": AUTHENTICATION, "namespace": "kube-system"},
            "data": {
                "client-ca-file": self.client_ca_pem,
                "requestheader-allowed-names": list(FRONT_PROXY_NAME),
                "requestheader-client-ca-file": self.front_proxy_ca_pem,
                "requestheader-extra-headers-prefix": list("X-Remote-Extra-"),
                "requestheader-group-headers": list("X-Remote-Group"),
                "requestheader-uid-headers": list("X-Remote-Uid"),
                "requestheader-username-headers": list("X-Remote-User"),
            },
        }))
    }
}

impl OwnThings {
    /// Of a server that is reached at `api`, with these features.
    pub fn of(
        gates: &Gates,
        api: SocketAddr,
        addresses: &ClusterAddresses,
        authentication: Authentication,
        env: &Env,
    ) -> Self {
        let (service_ip, service_cidr) = (addresses.first_service_ip(), addresses.services().to_string());
        let today = rfc3339(env.now()).chars().take("2006-01-02".len()).collect();
        Self { service_ip, service_cidr, api, authentication, gates: gates.clone(), today }
    }

    /// See [`TRACKING`].
    fn tracking(&self) -> Option<Object> {
        Object::from_value(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": TRACKING, "namespace": "kube-system"},
            "data": {SINCE: self.today},
        }))
    }

    fn objects(&self) -> anyhow::Result<Vec<Object>> {
        let family = if self.api.is_ipv4() { "IPv4" } else { "IPv6" };
        let text = DATA
            .replace("SERVICE_IP", &self.service_ip.to_string())
            .replace("SERVICE_CIDR", &self.service_cidr)
            .replace("API_IP", &self.api.ip().to_string())
            .replace("API_FAMILY", family)
            .replace("API_PORT", &self.api.port().to_string());
        let mut objects = sampan_cli::manifest::parse(&text).context("the built-in data")?;
        objects.extend(self.authentication.object());
        objects.extend(self.tracking());
        objects.extend(sampan_auth::bootstrap::rbac_objects(|gate| self.gates.enabled(gate)));
        objects.extend(sampan_apiserver::flow::objects::objects());
        Ok(objects)
    }
}

/// Makes and mends what is missing. `client` speaks as `system:apiserver`.
pub async fn ensure(client: &Client, table: &ResourceTable, own: &OwnThings) -> anyhow::Result<()> {
    let (namespaces, rest): (Vec<Object>, Vec<Object>) =
        own.objects()?.into_iter().partition(|object| object.kind() == "Namespace");
    for group in [namespaces, rest] {
        stream::iter(group)
            .map(|object| async move { make(client, table, &object).await })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
    }
    Ok(())
}

/// Whether Kubernetes' API server makes the object again, and mends it, as long as it runs: the API's own Service and
/// addresses, the range of Services, and the levels and schemas of priority and fairness.
fn is_kept(object: &Object) -> bool {
    object.api_version() == FLOW_CONTROL
        || [AUTHENTICATION, TRACKING].contains(&object.name())
        || (object.name() == OWN && object.kind() != "Namespace")
}

/// Makes again what is deleted or changed of the API server's own, for ever.
///
/// # Errors
/// The built-in data cannot be read, or the client can watch no more.
pub fn keep(
    client: Client,
    table: Arc<ResourceTable>,
    own: &OwnThings,
    env: &Env,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let kept: Vec<Object> = own.objects()?.into_iter().filter(is_kept).collect();
    let informers = Informers::new(client.clone(), env, tasks);
    let (changed, mut changes) = watch::channel(());
    let changed = Arc::new(changed);
    for object in &kept {
        let row = object.gvk().and_then(|gvk| table.of_kind(&gvk).cloned()).context("a kind that is served")?;
        let mut spec = InformerSpec::dynamic(row.gvr());
        if [OWN, AUTHENTICATION, TRACKING].contains(&object.name()) {
            spec = spec.fields(format!("metadata.name={}", object.name()));
        }
        if row.namespaced {
            spec = spec.namespace(object.namespace());
        }
        let changed = changed.clone();
        informers.select(spec)?.add_handler(move |_| {
            changed.send_replace(());
        });
    }
    let env = env.clone();
    tasks.spawn_until_cancelled(async move {
        while changes.changed().await.is_ok() {
            // What changes together is looked at once.
            env.sleep(SETTLE).await;
            changes.mark_unchanged();
            for object in &kept {
                if let Err(error) = make(&client, &table, object).await {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "an object of the API server's own is not as it should be"
                    );
                    changed.send_replace(());
                }
            }
        }
    });
    Ok(())
}

async fn make(client: &Client, table: &ResourceTable, object: &Object) -> anyhow::Result<()> {
    let gvk: GroupVersionKind = object.gvk().context("an apiVersion")?;
    let Some(row) = table.of_kind(&gvk) else { bail!("no resource of kind {gvk}") };
    let namespace = Some(object.namespace()).filter(|namespace| !namespace.is_empty());
    let api = client.dynamic(&row.gvr(), namespace);
    let manager = (object.api_version() == FLOW_CONTROL).then(|| FLOW_CONTROL_MANAGER.to_owned());
    let params = WriteParams { field_manager: manager, ..WriteParams::default() };
    let what = || format!("{} {:?}", gvk.kind, object.name());
    for _ in 0..TRIES {
        let outcome = match api.get_opt(object.name()).await? {
            None => {
                let created = api.create_with(object, &params).await;
                // Another server has made it meanwhile, and its address is refused before its name.
                let refused = created.as_ref().is_err_and(|error| error.is_invalid());
                if refused && api.get_opt(object.name()).await?.is_some() {
                    continue;
                }
                created.map(drop)
            }
            Some(live) => match mend(&live, object) {
                Reconciled::Kept => Ok(()),
                Reconciled::Update(mended) => api.update_with(object.name(), None, &mended, &params).await.map(drop),
                Reconciled::Recreate => {
                    api.delete(object.name(), &DeleteParams::uid(live.uid())).await.with_context(what)?;
                    continue;
                }
            },
        };
        let outcome = match outcome {
            Ok(()) => settle_status(&api, object).await,
            failed => failed,
        };
        match outcome {
            Err(error) if error.is_already_exists() || error.is_conflict() => continue,
            other => return other.with_context(what),
        }
    }
    bail!("{}: somebody else keeps writing it", what())
}

/// The default range of Services is Ready once it says what this server was told
/// (`pkg/controlplane/controller/defaultservicecidr`).
async fn settle_status(api: &Api<Object>, wanted: &Object) -> sampan_client::Result<()> {
    if wanted.kind() != "ServiceCIDR" {
        return Ok(());
    }
    let live = api.get(wanted.name()).await?;
    let now = sampan_api::time::rfc3339(api.client().env().now());
    let Some(condition) = ready_condition(&live, wanted, &now) else { return Ok(()) };
    let patch = Patch::Apply(json!({
        "apiVersion": wanted.api_version(),
        "kind": wanted.kind(),
        "metadata": {"name": wanted.name()},
        "status": {"conditions": [condition]},
    }));
    let params = WriteParams { field_manager: Some(RANGE_MANAGER.to_owned()), force: true, ..WriteParams::default() };
    api.patch_with(wanted.name(), Some("status"), &patch, &params).await.map(drop)
}

/// The condition to write; `None`: somebody has said whether it is ready, or it is another range.
fn ready_condition(live: &Object, wanted: &Object, now: &str) -> Option<Value> {
    let conditions = live.get(&["status", "conditions"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let told = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] != "Unknown");
    if told || live.deletion_timestamp().is_some() || live.get(&["spec", "cidrs"]) != wanted.get(&["spec", "cidrs"]) {
        return None;
    }
    Some(json!({"type": "Ready", "status": "True", "lastTransitionTime": now,
        "message": "Kubernetes default Service CIDR is ready"}))
}

/// The fields that follow this start, by kind; the rest of an object is its owner's once it is made.
const FOLLOWED: &[(&str, &[&[&str]])] = &[
    ("ConfigMap", &[&["data"]]),
    ("Service", &[&["spec", "ports"]]),
    ("Endpoints", &[&["subsets"], &["metadata", "labels"]]),
    ("EndpointSlice", &[&["endpoints"], &["ports"], &["metadata", "labels"]]),
];

/// The day since which the use of legacy tokens is noted stands, where it is one.
fn since(live: &Object, wanted: &Object) -> Reconciled {
    let path = ["data", SINCE];
    if live.get_str(&path).is_some_and(is_date) {
        return Reconciled::Kept;
    }
    let mut mended = live.clone();
    mended.set(&path, wanted.get(&path).cloned().unwrap_or_default());
    Reconciled::Update(mended)
}

/// Whether a text is a date as `2006-01-02`.
fn is_date(text: &str) -> bool {
    text.len() == "2006-01-02".len() && sampan_api::time::parse(&format!("{text}T00:00:00Z")).is_some()
}

/// The write that makes `live` as this start wants it.
fn mend(live: &Object, wanted: &Object) -> Reconciled {
    if wanted.api_version().starts_with("rbac.authorization.k8s.io/") {
        return reconcile(live, wanted);
    }
    if wanted.api_version() == FLOW_CONTROL {
        return revise(live, wanted).map_or(Reconciled::Kept, Reconciled::Update);
    }
    // An EndpointSlice of another family is another one.
    if live.get(&["addressType"]) != wanted.get(&["addressType"]) {
        return Reconciled::Recreate;
    }
    if wanted.name() == TRACKING {
        return since(live, wanted);
    }
    let followed = FOLLOWED.iter().find(|(kind, _)| *kind == wanted.kind()).map_or(&[][..], |(_, fields)| *fields);
    let mut mended = live.clone();
    for field in followed {
        match wanted.get(field) {
            Some(value) if live.get(field) != Some(value) => mended.set(field, value.clone()),
            _ => {}
        }
    }
    if mended == *live { Reconciled::Kept } else { Reconciled::Update(mended) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(api: &str) -> Vec<Object> {
        let things = OwnThings {
            gates: Gates::default(),
            service_ip: Ipv4Addr::new(127, 96, 0, 1),
            service_cidr: "127.96.0.0/18".into(),
            api: api.parse().expect("an address"),
            authentication: Authentication::default(),
            today: "2026-01-02".into(),
        };
        things.objects().expect("the built-in data")
    }

    #[test]
    fn the_apis_service_and_addresses_follow_it_and_other_things_are_their_owners() {
        let check = |kind: &str, live: &str, wanted: &str, expected: &str| {
            let find = |api: &str| {
                let mut all = own(api).into_iter();
                all.find(|one| one.kind() == kind && one.name() == OWN).expect(kind)
            };
            let mut live = find(live);
            live.set(&["metadata", "annotations"], json!({"mine": "kept"}));
            let got = match mend(&live, &find(wanted)) {
                Reconciled::Kept => "kept".to_owned(),
                Reconciled::Recreate => "made anew".to_owned(),
                Reconciled::Update(mended) => {
                    assert_eq!(mended.annotation("mine"), Some("kept"), "{kind}");
                    let text = mended.to_value().to_string();
                    assert!(text.contains(wanted.rsplit(':').next().expect("a port")), "{text}");
                    "mended".to_owned()
                }
            };
            assert_eq!(got, expected, "{kind} {wanted}");
        };
        for kind in ["Service", "Endpoints", "EndpointSlice", "ServiceCIDR"] {
            check(kind, "127.0.0.1:6443", "127.0.0.1:6443", "kept");
        }
        for kind in ["Service", "Endpoints", "EndpointSlice"] {
            check(kind, "127.0.0.1:6443", "127.0.0.1:7443", "mended");
        }
        check("ServiceCIDR", "127.0.0.1:6443", "127.0.0.1:7443", "kept");
        check("EndpointSlice", "127.0.0.1:6443", "[::1]:6443", "made anew");
    }

    #[test]
    fn what_the_api_server_keeps_is_its_own() {
        let kept: Vec<Object> = own("127.0.0.1:6443").into_iter().filter(is_kept).collect();
        let count = |kind: &str| kept.iter().filter(|one| one.kind() == kind).count();
        let kinds =
            ["Service", "Endpoints", "EndpointSlice", "ServiceCIDR", "FlowSchema", "PriorityLevelConfiguration"];
        assert_eq!(kinds.map(count), [1, 1, 1, 1, 11, 8]);
        // What aggregated servers believe, and since when the use of legacy tokens is noted.
        assert_eq!(count("ConfigMap"), 2);
        assert_eq!(kept.len(), 25);
    }

    #[test]
    fn the_day_since_which_legacy_tokens_are_noted_stands() {
        let wanted = own("127.0.0.1:6443").into_iter().find(|object| object.name() == TRACKING).expect("one");
        let check = |since: Value, mended: bool| {
            let mut live = wanted.clone();
            live.set(&["data"], json!({SINCE: since}));
            match mend(&live, &wanted) {
                Reconciled::Kept => assert!(!mended, "{since}"),
                Reconciled::Update(object) => assert!(mended && object == wanted, "{since}"),
                Reconciled::Recreate => panic!("{since}"),
            }
        };
        check(json!("2020-05-06"), false);
        check(json!("yesterday"), true);
        check(json!("2020-13-06"), true);
        check(Value::Null, true);
    }

    #[test]
    fn the_range_of_services_is_ready_unless_somebody_says_otherwise() {
        let wanted = own("127.0.0.1:6443").into_iter().find(|one| one.kind() == "ServiceCIDR").expect("it");
        let check = |cidr: &str, ready: Option<&str>, expected: bool| {
            let mut live = wanted.clone();
            live.set(&["spec", "cidrs"], json!([cidr]));
            let mut conditions = vec![json!({"type": "Other", "status": "True"})];
            conditions.extend(ready.map(|status| json!({"type": "Ready", "status": status})));
            live.set(&["status", "conditions"], conditions);
            let got = ready_condition(&live, &wanted, "now").is_some_and(|condition| condition["status"] == "True");
            assert_eq!(got, expected, "{cidr} {ready:?}");
        };
        check("127.96.0.0/18", None, true);
        check("127.96.0.0/18", Some("Unknown"), true);
        check("127.96.0.0/18", Some("True"), false);
        check("127.96.0.0/18", Some("False"), false);
        check("127.96.64.0/18", None, false);
    }
}
