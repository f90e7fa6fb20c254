//! Gives each pod a service account, and a volume with the account's token, the API's CA and the namespace
//! (plugin/pkg/admission/serviceaccount, v1.35).

use crate::chain::Plugin;
use async_trait::async_trait;
use sampan_api::admission::{Attributes, Mutated, Operation};
use sampan_api::field::go_quote;
use sampan_api::k8s::api::core::v1::ServiceAccount;
use sampan_api::{Object, Status};
use sampan_auth::node::{MIRROR_POD, Referred, references};
use sampan_client::{Client, Informer};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The account of pods that name none.
const DEFAULT: &str = "default";
/// Where the volume stands in each container.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME: &str = "kube-api-access-";
/// Length of the random end of the volume's name.
const SUFFIX: usize = 5;
/// How long the account `default` of a new namespace is waited for: ten times 150 ms there.
const DEFAULT_WAIT: Duration = Duration::from_millis(1_500);
/// When it is looked for first.
const DEFAULT_LOOK: Duration = Duration::from_millis(5);
const ENFORCE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

/// Kubernetes' ServiceAccount plugin.
pub struct ServiceAccounts {
    accounts: Informer,
    client: Client,
}

impl ServiceAccounts {
    /// `accounts` answers nearly always; `client` is asked where it has not heard of one yet.
    pub fn new(accounts: Informer, client: Client) -> Self {
        Self { accounts, client }
    }

    /// The account that the pod names. Error: there is none.
    async fn account(&self, attributes: &Attributes<'_>, name: &str) -> Result<Arc<ServiceAccount>, Status> {
        let namespace = attributes.namespace;
        let known = || self.accounts.lister::<ServiceAccount>().get(namespace, name);
        if let Some(account) = known() {
            return Ok(account);
        }
        let refused =
            |why: String| attributes.forbidden(&format!("error looking up service account {namespace}/{name}: {why}"));
        match self.client.namespaced::<ServiceAccount>(namespace).get_opt(name).await {
            Ok(Some(account)) => return Ok(Arc::new(account)),
            Ok(None) => {}
            Err(error) => return Err(refused(error.to_string())),
        }
        if name == DEFAULT {
            // A namespace that has just been made gets its account in a moment. Each pause is as long as all before it:
            // however many wait, each looks a few times.
            let (env, mut waited) = (self.client.env(), DEFAULT_LOOK);
            env.sleep(waited).await;
            loop {
                if let Some(account) = known() {
                    return Ok(account);
                }
                let pause = waited.min(DEFAULT_WAIT.saturating_sub(waited));
                if pause.is_zero() {
                    break;
                }
                env.sleep(pause).await;
                waited += pause;
            }
        }
        Err(refused(format!("serviceaccount {} not found", go_quote(name))))
    }

    async fn check(&self, attributes: &Attributes<'_>, pod: &Object) -> Result<(), Status> {
        if pod.annotation(MIRROR_POD).is_some() {
            return mirror_pod(pod).map_err(|why| attributes.forbidden(why));
        }
        let name = named(pod);
        if name.is_empty() {
            let text = format!("no service account specified for pod {}/{}", attributes.namespace, attributes.name);
            return Err(attributes.forbidden(&text));
        }
        let account = self.account(attributes, name).await?;
        let ephemeral = attributes.subresource == EPHEMERAL;
        match enforces_secrets(&account).then(|| secrets_problem(&account, pod, ephemeral)).flatten() {
            Some(problem) => Err(attributes.forbidden(&problem)),
            None => Ok(()),
        }
    }
}

const EPHEMERAL: &str = "ephemeralcontainers";

fn named(pod: &Object) -> &str {
    pod.get_str(&["spec", "serviceAccountName"]).unwrap_or_default()
}

/// A pod that a node made of a file has no account, and nothing that is given by one.
fn mirror_pod(pod: &Object) -> Result<(), &'static str> {
    if !named(pod).is_empty() {
        return Err("a mirror pod may not reference service accounts");
    }
    let value = pod.to_value();
    if !references(&value, Referred::Secret).is_empty() {
        return Err("a mirror pod may not reference secrets");
    }
    let sources = list(&value["spec"]["volumes"]).flat_map(|volume| list(&volume["projected"]["sources"]));
    if sources.into_iter().any(|source| source["serviceAccountToken"].is_object()) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn enforces_secrets(account: &ServiceAccount) -> bool {
    // strconv.ParseBool's words for true.
    let yes = |text: &String| matches!(text.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True");
    account.metadata.annotations.as_ref().and_then(|all| all.get(ENFORCE_SECRETS)).is_some_and(yes)
}

/// The first Secret that the pod refers to and its account does not, of an account that allows its own alone.
fn secrets_problem(account: &ServiceAccount, pod: &Object, ephemeral: bool) -> Option<String> {
    let own = account.metadata.name.as_deref().unwrap_or_default();
    let listed: BTreeSet<&str> = account.secrets.iter().flatten().filter_map(|secret| secret.name.as_deref()).collect();
    let spec = &pod.to_value()["spec"];
    let tail = format!("is not allowed because service account {own} does not reference that secret");
    let foreign = |name: &str| !listed.contains(name);
    let kinds: &[(&str, &str)] = match ephemeral {
        true => &[("ephemeralContainers", "ephemeral container")],
        false => &[("initContainers", "init container"), ("containers", "container")],
    };
    if !ephemeral {
        let of_volumes = list(&spec["volumes"]).filter(|volume| volume["secret"].is_object());
        for name in of_volumes.map(|volume| text(&volume["secret"]["secretName"])) {
            if foreign(name) {
                return Some(format!("volume with secret.secretName=\"{name}\" {tail}"));
            }
        }
    }
    for (field, kind) in kinds {
        for container in list(&spec[field]) {
            let who = format!("{kind} {}", text(&container["name"]));
            for variable in list(&container["env"]) {
                let of = &variable["valueFrom"]["secretKeyRef"];
                if of.is_object() && foreign(text(&of["name"])) {
                    let (variable, name) = (text(&variable["name"]), text(&of["name"]));
                    return Some(format!(
                        "{who} with envVar {variable} referencing secret.secretName=\"{name}\" {tail}"
                    ));
                }
            }
            for of in list(&container["envFrom"]).map(|from| &from["secretRef"]) {
                if of.is_object() && foreign(text(&of["name"])) {
                    let name = text(&of["name"]);
                    return Some(format!("{who} with envFrom referencing secret.secretName=\"{name}\" {tail}"));
                }
            }
        }
    }
    let pulls: BTreeSet<&str> =
        account.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str()).collect();
    let mut asked = list(&spec["imagePullSecrets"]).map(|one| text(&one["name"])).enumerate();
    let (i, name) = asked.find(|(_, name)| !ephemeral && !pulls.contains(name))?;
    Some(format!(
        "imagePullSecrets[{i}].name=\"{name}\" is not allowed because service account {own} does not reference that \
         imagePullSecret"
    ))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Mounts the volume in each container that has nothing at its place. `suffix`: makes the end of the volume's name.
fn mount_token(pod: &mut Object, suffix: impl FnOnce() -> String) {
    let volumes = pod.get(&["spec", "volumes"]).and_then(Value::as_array);
    let of_old =
        volumes.into_iter().flatten().map(|volume| text(&volume["name"])).find(|name| name.starts_with(VOLUME));
    let of_old = of_old.map(str::to_owned);
    let name = of_old.clone().unwrap_or_else(|| format!("{VOLUME}{}", suffix()));
    let mut needed = false;
    for field in ["initContainers", "containers"] {
        let Some(containers) = pod.get_mut(&["spec", field]).and_then(Value::as_array_mut) else { continue };
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            let mounts = container.entry("volumeMounts").or_insert(Value::Null);
            if list(mounts).any(|mount| text(&mount["mountPath"]) == MOUNT_PATH) {
                continue;
            }
            let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
            match mounts {
                Value::Array(mounts) => mounts.push(mount),
                other => *other = json!([mount]),
            }
            needed = true;
        }
    }
    if needed && of_old.is_none() {
        let volume = json!({"name": name, "projected": token_volume()});
        match pod.get_mut(&["spec", "volumes"]) {
            Some(Value::Array(volumes)) => volumes.push(volume),
            _ => pod.set(&["spec", "volumes"], json!([volume])),
        }
    }
}

/// The sources of the volume. Whose token holds for 3,607 s gets one that holds for a year, and is told apart by that.
fn token_volume() -> Value {
    json!({
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{
                "path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
            }]}},
        ],
        "defaultMode": 420,
    })
}

fn is_about_pods(attributes: &Attributes<'_>) -> bool {
    let resource = attributes.resource;
    (resource.group.as_str(), resource.resource.as_str()) == ("", "pods")
}

#[async_trait]
impl Plugin for ServiceAccounts {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    async fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object) -> Result<Mutated, Status> {
        if !attributes.is("", "pods") || attributes.operation != Operation::Create {
            return Ok(Mutated::No);
        }
        if pod.annotation(MIRROR_POD).is_some() {
            self.check(attributes, pod).await?;
            return Ok(Mutated::No);
        }
        if named(pod).is_empty() {
            pod.set(&["spec", "serviceAccountName"], DEFAULT);
        }
        let account = self.account(attributes, named(pod)).await?;
        let of_pod = pod.get(&["spec", "automountServiceAccountToken"]).and_then(Value::as_bool);
        if of_pod.or(account.automount_service_account_token).unwrap_or(true) {
            mount_token(pod, || self.client.env().name_suffix(SUFFIX));
        }
        let pulls = account.image_pull_secrets.as_deref().unwrap_or_default();
        let own = pod.get(&["spec", "imagePullSecrets"]).and_then(Value::as_array);
        if own.is_none_or(Vec::is_empty) && !pulls.is_empty() {
            let names: Vec<Value> = pulls.iter().map(|secret| json!({"name": secret.name})).collect();
            pod.set(&["spec", "imagePullSecrets"], names);
        }
        self.check(attributes, pod).await?;
        Ok(Mutated::Yes)
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let created = attributes.operation == Operation::Create && attributes.subresource.is_empty();
        let extended = attributes.operation == Operation::Update && attributes.subresource == EPHEMERAL;
        match object {
            Some(pod) if is_about_pods(attributes) && (created || extended) => self.check(attributes, pod).await,
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: Value) -> Object {
        Object::from_value(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}))
            .expect("a pod")
    }

    #[test]
    fn each_container_without_one_gets_the_mount() {
        let check = |spec: Value, expected: Value| {
            let mut pod = pod(spec);
            mount_token(&mut pod, || "abcde".into());
            assert_eq!(pod.to_value()["spec"], expected);
        };
        let mount = |name: &str| json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
        let volume = json!({"name": "kube-api-access-abcde", "projected": token_volume()});
        let new = mount("kube-api-access-abcde");
        let other = json!({"name": "m", "mountPath": "/m"});
        check(
            json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [other]}], "initContainers": [{"name": "i"}],
                "volumes": [{"name": "m", "emptyDir": {}}]}),
            json!({
                "containers": [{"name": "a", "volumeMounts": [new]}, {"name": "b", "volumeMounts": [other, new]}],
                "initContainers": [{"name": "i", "volumeMounts": [new]}],
                "volumes": [{"name": "m", "emptyDir": {}}, volume],
            }),
        );
        let own = json!({"containers": [{"name": "a", "volumeMounts": [{"name": "m", "mountPath": MOUNT_PATH}]}]});
        check(own.clone(), own);
        let old = json!([{"name": "kube-api-access-old", "emptyDir": {}}]);
        check(
            json!({"containers": [{"name": "a"}], "volumes": old}),
            json!({"containers": [{"name": "a", "volumeMounts": [mount("kube-api-access-old")]}], "volumes": old}),
        );
    }

    #[test]
    fn an_account_may_allow_its_own_secrets_alone() {
        let account: ServiceAccount = serde_json::from_value(json!({
            "metadata": {"name": "x", "annotations": {ENFORCE_SECRETS: "true"}},
            "secrets": [{"name": "own"}], "imagePullSecrets": [{"name": "pull"}],
        }))
        .expect("an account");
        assert!(enforces_secrets(&account) && !enforces_secrets(&ServiceAccount::default()));
        let check = |spec: Value, ephemeral: bool, expected: Option<&str>| {
            let found = secrets_problem(&account, &pod(spec), ephemeral);
            let end = "is not allowed because service account x does not reference that";
            assert_eq!(found, expected.map(|text| text.replace("ALLOWED", end)));
        };
        let env = |name: &str| json!([{"name": "E", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]);
        check(
            json!({"volumes": [{"secret": {"secretName": "own"}}], "containers": [{"env": env("own")}]}),
            false,
            None,
        );
        check(
            json!({"volumes": [{"secret": {"secretName": "s"}}]}),
            false,
            Some("volume with secret.secretName=\"s\" ALLOWED secret"),
        );
        check(
            json!({"initContainers": [{"name": "i", "env": env("s")}]}),
            false,
            Some("init container i with envVar E referencing secret.secretName=\"s\" ALLOWED secret"),
        );
        check(
            json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "s"}}]}]}),
            false,
            Some("container c with envFrom referencing secret.secretName=\"s\" ALLOWED secret"),
        );
        check(
            json!({"imagePullSecrets": [{"name": "pull"}, {"name": "s"}]}),
            false,
            Some("imagePullSecrets[1].name=\"s\" ALLOWED imagePullSecret"),
        );
        let later = json!({"ephemeralContainers": [{"name": "e", "env": env("s")}], "containers": [{"env": env("s")}]});
        check(
            later,
            true,
            Some("ephemeral container e with envVar E referencing secret.secretName=\"s\" ALLOWED secret"),
        );
    }

    #[test]
    fn a_mirror_pod_has_no_account() {
        let check = |spec: Value, expected: Result<(), &str>| assert_eq!(mirror_pod(&pod(spec)), expected);
        check(json!({"containers": [{"name": "c"}]}), Ok(()));
        check(json!({"serviceAccountName": "x"}), Err("a mirror pod may not reference service accounts"));
        check(json!({"imagePullSecrets": [{"name": "s"}]}), Err("a mirror pod may not reference secrets"));
        check(
            json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
            Err("a mirror pod may not use ServiceAccountToken volume projections"),
        );
    }
}
