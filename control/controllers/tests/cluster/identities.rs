//! Tokens, certificates and roles.

use crate::world::{PATIENCE, of, world};
use sampan_api::Object;
use sampan_api::k8s::api::certificates::v1::CertificateSigningRequest;
use sampan_api::k8s::api::core::v1::{Secret, ServiceAccount};
use sampan_api::k8s::api::rbac::v1::ClusterRole;
use sampan_api::user::UserInfo;
use sampan_client::{Client, DeleteParams, Patch};
use sampan_env::Env;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_tokens_is_filled_and_goes_with_its_account() {
    let world = world().await;
    let accounts = world.admin.namespaced::<ServiceAccount>("default");
    let secrets = world.admin.namespaced::<Secret>("default");
    let secret = |name: &str, account: &str| -> Secret {
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}},
            "type": "kubernetes.io/service-account-token",
        }))
        .expect("a Secret")
    };
    let bot: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "bot"}})).expect("an account");
    let uid = accounts.create(&bot).await.expect("made").metadata.uid;
    secrets.create(&secret("s", "bot")).await.expect("made");
    secrets.create(&secret("of-nobody", "nobody")).await.expect("made");
    world.becomes(true, async || secrets.get("of-nobody").await.is_err()).await;
    world.becomes(true, async || secrets.get("s").await.is_ok_and(|secret| secret.data.is_some())).await;
    let filled = secrets.get("s").await.expect("there");
    let data = filled.data.expect("filled");
    let text = |key: &str| String::from_utf8(data[key].0.clone()).expect("text");
    assert_eq!(
        (text("token"), text("namespace"), text("ca.crt")),
        ("default.bot.s".into(), "default".into(), "pem".into())
    );
    assert_eq!(filled.metadata.annotations.expect("annotated").get("kubernetes.io/service-account.uid").cloned(), uid);
    accounts.delete("bot", &DeleteParams::default()).await.expect("deleted");
    world.becomes(true, async || secrets.get("s").await.is_err()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubelets_certificate_is_approved_and_signed() {
    let world = world().await;
    let bindings = sampan_api::GroupVersionResource::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
    let roles = ["system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"];
    for (i, role) in roles.into_iter().enumerate() {
        let bind = Object::from_value(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("join-{i}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "Group", "name": "system:bootstrappers", "apiGroup": "rbac.authorization.k8s.io"}],
        }));
        world.admin.dynamic(&bindings, None).create(&bind.expect("an object")).await.expect("bound");
    }
    let request = |name: &str, group: &str| -> CertificateSigningRequest {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, group);
        params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:n1");
        let key = rcgen::KeyPair::generate().expect("a key");
        let pem = params.serialize_request(&key).expect("a request").pem().expect("PEM");
        let spec = json!({
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "usages": ["digital signature", "client auth"],
            "request": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem),
        });
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a request")
    };
    let joining = UserInfo::new("system:bootstrap:abcdef", ["system:bootstrappers"]);
    let env = Env::system();
    let client = Client::in_process(world.service.clone(), joining, "test", &env);
    let requests = world.admin.all::<CertificateSigningRequest>();
    // Once the authorizer has seen the bindings.
    let bound = async {
        while client.all::<CertificateSigningRequest>().create(&request("good", "system:nodes")).await.is_err() {
            env.sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, bound).await.expect("the roles come into force");
    client.all::<CertificateSigningRequest>().create(&request("bad", "dev")).await.expect("asked");
    let state = async |name: &str| {
        let status = requests.get(name).await.expect("there").status.unwrap_or_default();
        let conditions: Vec<String> = status.conditions.into_iter().flatten().map(|one| one.type_).collect();
        (conditions.join(","), status.certificate.is_some())
    };
    world.becomes(("Approved".to_owned(), true), async || state("good").await).await;
    assert_eq!(state("bad").await, (String::new(), false), "no kubelet: a person decides");
    let mut approved = requests.get("bad").await.expect("there");
    approved.status = serde_json::from_value(json!({"conditions": [{"type": "Approved", "status": "True"}]})).ok();
    let approved: sampan_client::Result<CertificateSigningRequest> =
        requests.update_subresource("bad", "approval", &approved).await;
    approved.expect("approved");
    world.becomes(("Approved,Failed".to_owned(), false), async || state("bad").await).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregated_role_gets_the_rules_that_it_selects() {
    let world = world().await;
    let roles = world.admin.all::<ClusterRole>();
    let verbs = async |name: &str| {
        let rules = roles.get(name).await.expect("there").rules.unwrap_or_default();
        rules.iter().flat_map(|rule| rule.verbs.clone()).collect::<Vec<_>>()
    };
    let role = |name: &str, labels: Value, verb: &str| -> ClusterRole {
        let rules = json!([{"apiGroups": ["x.io"], "resources": ["things"], "verbs": [verb]}]);
        of(json!({"metadata": {"name": name, "labels": labels}, "rules": rules}))
    };
    let selector = json!({"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]});
    roles.create(&of(json!({"metadata": {"name": "all"}, "aggregationRule": selector}))).await.expect("made");
    roles.create(&role("one", json!({"to": "all"}), "get")).await.expect("made");
    roles.create(&role("two", json!({"to": "all"}), "list")).await.expect("made");
    world.becomes(vec!["get".to_owned(), "list".to_owned()], async || verbs("all").await).await;
    // The controller owns them as it does in Kubernetes, until there are none.
    let owners = async |name: &str| {
        let managed = roles.get(name).await.expect("there").metadata.managed_fields.unwrap_or_default();
        let named =
            managed.into_iter().filter(|one| one.manager.as_deref() == Some("clusterrole-aggregation-controller"));
        named.map(|one| one.operation.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(owners("all").await, ["Apply"]);
    roles.delete("one", &DeleteParams::default()).await.expect("deleted");
    world.becomes(vec!["list".to_owned()], async || verbs("all").await).await;
    roles.delete("two", &DeleteParams::default()).await.expect("deleted");
    world.becomes(Vec::<String>::new(), async || verbs("all").await).await;
    assert_eq!(owners("all").await, Vec::<String>::new());
    // What somebody else set goes too.
    let own = Patch::Merge(json!({"rules": [{"apiGroups": ["x.io"], "resources": ["things"], "verbs": ["own"]}]}));
    roles.patch("all", &own).await.expect("patched");
    world.becomes(Vec::<String>::new(), async || verbs("all").await).await;
    world.end().await;
}
