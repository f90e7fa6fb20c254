//! An API server in this process with every controller, and a kubelet that makes each pod ready at once.

use sampan_api::Authorizer;
use sampan_api::k8s::api::apps::v1::{Deployment, ReplicaSet};
use sampan_api::k8s::api::certificates::v1::CertificateSigningRequest;
use sampan_api::k8s::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota,
    Secret, ServiceAccount,
};
use sampan_api::k8s::api::discovery::v1::EndpointSlice;
use sampan_api::k8s::api::networking::v1::IPAddress;
use sampan_api::k8s::api::policy::v1::PodDisruptionBudget;
use sampan_api::k8s::api::rbac::v1::ClusterRole;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_auth::Pki;
use sampan_auth::rbac::RbacAuthorizer;
use sampan_client::{Change, Client, Informers, ListParams, Patch};
use sampan_controllers::Settings;
use sampan_env::{Env, Tasks};
use sampan_testing::server::{Later, Parts, first_roles};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub struct World {
    pub admin: Client,
    pub service: sampan_client::ApiService,
    changes: watch::Receiver<u64>,
    tasks: Tasks,
}

pub async fn world() -> World {
    let (env, tasks) = (Env::system(), Tasks::new("test"));
    let guard = Later::<Arc<dyn Authorizer>>::default();
    let parts = Parts {
        tasks: tasks.clone(),
        authorizer: Arc::new(guard.clone()),
        namespaces: ["default", "kube-system", "kube-node-lease"].map(str::to_owned).into(),
        ..Parts::new(env.clone())
    };
    let server = parts.start().await;
    let service = server.service.clone();
    let own = Client::in_process(service.clone(), UserInfo::apiserver(), "test", &env);
    first_roles(&own).await;
    let informers = Informers::new(own, &env, &tasks);
    let rbac = RbacAuthorizer::start(&informers, &tasks).expect("an authorizer");
    rbac.wait_synced().await.expect("roles are read");
    guard.set(rbac);

    let client_of = {
        let (service, env) = (service.clone(), env.clone());
        move |user: UserInfo| Ok(Client::in_process(service.clone(), user, "test", &env))
    };
    let pki = tempfile::tempdir().expect("a folder");
    let authority = Arc::new(Pki::open(pki.path(), &env).expect("certificates"));
    sampan_controllers::start(sampan_controllers::Config {
        client_of: Arc::new(client_of),
        env: env.clone(),
        tasks: tasks.clone(),
        root_ca_pem: "pem".into(),
        authority: authority.clone(),
        secret_token: Arc::new(|namespace, account, _, secret| Ok(format!("{namespace}.{account}.{secret}"))),
        settings: Settings { node_grace: Duration::from_secs(1), ..Settings::default() },
    })
    .expect("controllers");
    let admin = Client::in_process(service.clone(), UserInfo::new("admin", [GROUP_MASTERS]), "test", &env);
    kubelet(&admin, &env, &tasks);
    let changes = changes(&admin, &env, &tasks);
    World { admin, service, changes, tasks }
}

/// Makes each pod ready, but for those of the image `broken`.
fn kubelet(admin: &Client, env: &Env, tasks: &Tasks) {
    let informers = Informers::new(admin.clone(), env, tasks);
    let mut pods = informers.of::<Pod>().expect("an informer").subscribe();
    let admin = admin.clone();
    tasks.spawn_until_cancelled(async move {
        loop {
            let Change::Applied { old: None, new } = pods.next().await else { continue };
            let pod = new.typed::<Pod>().expect("decodes");
            let image = pod.spec.as_ref().and_then(|spec| spec.containers[0].image.clone());
            if image.as_deref() == Some("broken") {
                continue;
            }
            let ip = format!("10.1.2.{}", new.mod_revision % 250 + 1);
            let ready = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
            let api = admin.namespaced::<Pod>(&new.key.namespace);
            // The pod may be gone already.
            api.patch_status(&new.key.name, &Patch::Strategic(ready)).await.ok();
        }
    });
}

pub fn of<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("an object of the kind")
}

pub fn deployment(name: &str, replicas: i32, image: &str) -> Deployment {
    of(json!({
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}},
    }))
}

/// Longest anything takes to become what it should.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Counts changes of everything that tests ask about.
fn changes(admin: &Client, env: &Env, tasks: &Tasks) -> watch::Receiver<u64> {
    let (sender, receiver) = watch::channel(0);
    let (sender, informers) = (Arc::new(sender), Informers::new(admin.clone(), env, tasks));
    let all = [
        informers.of::<CertificateSigningRequest>(),
        informers.of::<ClusterRole>(),
        informers.of::<ConfigMap>(),
        informers.of::<Deployment>(),
        informers.of::<EndpointSlice>(),
        informers.of::<Endpoints>(),
        informers.of::<Event>(),
        informers.of::<IPAddress>(),
        informers.of::<Namespace>(),
        informers.of::<Node>(),
        informers.of::<PersistentVolumeClaim>(),
        informers.of::<Pod>(),
        informers.of::<PodDisruptionBudget>(),
        informers.of::<ReplicationController>(),
        informers.of::<ReplicaSet>(),
        informers.of::<ResourceQuota>(),
        informers.of::<Secret>(),
        informers.of::<ServiceAccount>(),
    ];
    for informer in all {
        let sender = sender.clone();
        informer.expect("an informer").add_handler(move |_| sender.send_modify(|count| *count += 1));
    }
    receiver
}

impl World {
    /// Asks after each change until the answer is `expected`; tells what it was when it never is.
    pub async fn becomes<T: PartialEq + std::fmt::Debug>(&self, expected: T, mut ask: impl AsyncFnMut() -> T) {
        let mut changes = self.changes.clone();
        let mut last = None;
        let wait = async {
            loop {
                changes.mark_unchanged();
                let answer = ask().await;
                if answer == expected {
                    return;
                }
                last = Some(answer);
                changes.changed().await.expect("the informers live");
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("expected {expected:?}, was {last:?}");
        }
    }

    /// `image=pods` of each ReplicaSet with pods, by name of the image.
    pub async fn running(&self, namespace: &str) -> Vec<String> {
        let pods = self.admin.namespaced::<Pod>(namespace).list(&ListParams::default()).await.expect("pods").items;
        let mut counts = std::collections::BTreeMap::new();
        for pod in pods {
            let image = pod.spec.and_then(|spec| spec.containers[0].image.clone()).unwrap_or_default();
            *counts.entry(image).or_insert(0) += 1;
        }
        counts.iter().map(|(image, count)| format!("{image}={count}")).collect()
    }

    /// Waits for what the kubelet of this test writes once: a status that is written before it would be overwritten.
    pub async fn is_running(&self, name: &str) {
        let pods = self.admin.namespaced::<Pod>("default");
        let phase = async || pods.get(name).await.expect("there").status.and_then(|status| status.phase);
        self.becomes(Some("Running".to_owned()), phase).await;
    }

    pub async fn condition(&self, name: &str, kind: &str) -> String {
        let one: Deployment = self.admin.namespaced("default").get(name).await.expect("there");
        let generation = one.metadata.generation;
        let status = one.status.unwrap_or_default();
        if status.observed_generation != generation {
            return "not observed".into();
        }
        let conditions = status.conditions.unwrap_or_default();
        let one = conditions.iter().find(|condition| condition.type_ == kind);
        one.map_or(String::new(), |one| format!("{} {}", one.status, one.reason.as_deref().unwrap_or_default()))
    }

    pub async fn done(&self, name: &str) {
        self.becomes("True NewReplicaSetAvailable".to_owned(), async || self.condition(name, "Progressing").await)
            .await;
    }

    pub async fn end(self) {
        self.tasks.drain(Duration::from_secs(5)).await.expect("everything ends");
    }
}
