//! What the type checker writes into the status of ValidatingAdmissionPolicies, on an API server in this process.

use sampan_api::Object;
use sampan_api::k8s::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use sampan_api::user::{GROUP_MASTERS, UserInfo};
use sampan_auth::Pki;
use sampan_client::{Change, Client, Informers};
use sampan_controllers::{Config, Settings};
use sampan_env::Env;
use sampan_testing::server::{Server, guarded};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Longest that a status takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the controllers on a server.
fn start(server: &Server) {
    let (service, env) = (server.service.clone(), server.env.clone());
    let client_of = move |user: UserInfo| Ok(Client::in_process(service.clone(), user, "test", &env));
    let pki = tempfile::tempdir().expect("a folder");
    let authority = Arc::new(Pki::open(pki.path(), &server.env).expect("certificates"));
    let config = Config {
        client_of: Arc::new(client_of),
        env: server.env.clone(),
        tasks: server.tasks.clone(),
        root_ca_pem: "pem".into(),
        authority,
        secret_token: Arc::new(|_, _, _, _| Err("none are asked for".to_owned())),
        settings: Settings::default(),
    };
    sampan_controllers::start(config).expect("controllers");
}

fn policy(name: &str, groups: &str, resource: &str, expression: &str) -> ValidatingAdmissionPolicy {
    let rule = json!({"apiGroups": [groups], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]});
    let spec = json!({"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a policy")
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_that_do_not_fit_their_kind_are_told() {
    let server = guarded(Env::system()).await;
    let admin = server.client(UserInfo::new("admin", [GROUP_MASTERS]));
    start(&server);
    let informers = Informers::new(admin.clone(), &server.env, &server.tasks);
    let mut changes = informers.of::<ValidatingAdmissionPolicy>().expect("an informer").subscribe();
    let mut status_of = async |policy: ValidatingAdmissionPolicy| -> Value {
        let name = policy.metadata.name.clone().expect("a name");
        admin.all::<ValidatingAdmissionPolicy>().create(&policy).await.expect("a policy");
        let checked = async {
            loop {
                let Change::Applied { new, .. } = changes.next().await else { continue };
                let object: Object = new.object();
                let status = object.get(&["status"]).cloned().unwrap_or_default();
                if object.name() == name && status["observedGeneration"] == 1 {
                    return status;
                }
            }
        };
        tokio::time::timeout(PATIENCE, checked).await.expect("it is checked in time")
    };
    let status = status_of(policy("fits", "apps", "deployments", "object.spec.replicas <= 5")).await;
    assert_eq!(status["typeChecking"], json!({}), "{status}");
    let status = status_of(policy("wrong", "apps", "deployments", "object.spec.replicas <= '5'")).await;
    let warning = &status["typeChecking"]["expressionWarnings"][0];
    assert_eq!(warning["fieldRef"], "spec.validations[0].expression", "{status}");
    assert_eq!(
        warning["warning"],
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_<=_' applied to '(int, string)'\n | object.spec.replicas <= '5'\n | .....................^\n"
    );
    let deep =
        "object.spec.containers.all(c, has(c.securityContext.runAsNonRoot) && c.ports.all(p, p.containerPort > 1024))";
    let status = status_of(policy("deep", "", "pods", deep)).await;
    assert_eq!(status["typeChecking"], json!({}), "{status}");
    let status = status_of(policy("lacks", "", "pods", "object.spec.replicas > 1")).await;
    let text = status["typeChecking"]["expressionWarnings"][0]["warning"].as_str().unwrap_or_default();
    assert!(text.starts_with("/v1, Kind=Pod: ERROR: <input>:1:12: undefined field 'replicas'"), "{text}");
}
