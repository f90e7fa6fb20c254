//! Fills Secrets of the type `kubernetes.io/service-account-token` with a token, the CA and the namespace, and deletes
//! those whose account is gone (pkg/controller/serviceaccount/tokens_controller.go).

use crate::{Context, Error, SecretToken, limits, owner};
use parking_lot::Mutex;
use sampan_api::k8s::ByteString;
use sampan_api::k8s::api::core::v1::{ObjectReference, Secret, ServiceAccount};
use sampan_api::{RecordKey, UserInfo};
use sampan_client::{Client, DeleteParams, InformerSpec, Lister};
use sampan_reconcile::{Reconcile, Requeue, Runtime};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The type of Secrets that hold a token.
pub const TYPE: &str = "kubernetes.io/service-account-token";
/// The annotation of such a Secret that names its account.
pub const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
/// The annotation with the account's UID.
pub const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const BY_ACCOUNT: &str = "account";
const TOKEN: &str = "token";
const CA: &str = "ca.crt";
const NAMESPACE: &str = "namespace";

pub(crate) fn start(context: &Context) -> Result<(), Error> {
    let (env, tasks) = (&context.config.env, &context.config.tasks);
    let accounts = context.informers.of::<ServiceAccount>()?;
    let secrets = context.informers.select(InformerSpec::of::<Secret>().fields(format!("type={TYPE}")))?;
    secrets.add_index(BY_ACCOUNT, |record| {
        let account = record.object().annotation(ACCOUNT_NAME).map(|name| format!("{}/{name}", record.key.namespace));
        account.into_iter().collect()
    });
    let mut runtime: Runtime = Runtime::new("serviceaccount-token", env, tasks);
    runtime.watch(&secrets);
    let gone = Arc::new(Gone::default());
    let (note, queue) = (gone.clone(), runtime.queue().clone());
    runtime.watch_with(&secrets, move |secret, last| {
        let object = secret.object();
        if let Some(name) = object.annotation(ACCOUNT_NAME).filter(|_| last) {
            let uid = object.annotation(ACCOUNT_UID).unwrap_or_default();
            note.lock().insert(secret.key.clone(), Named { name: name.to_owned(), uid: uid.to_owned() });
            queue.add(secret.key.clone());
        }
    });
    let (queue, of_account) = (runtime.queue().clone(), secrets.store().clone());
    runtime.watch_with(&accounts, move |account, _| {
        let account = format!("{}/{}", account.key.namespace, account.key.name);
        for secret in of_account.by_index(BY_ACCOUNT, &account) {
            queue.add(secret.key.clone());
        }
    });
    let reconciler = TokenSecrets {
        accounts: accounts.lister(),
        secrets: secrets.lister(),
        gone,
        // As in Kubernetes, the controllers' own identity: it alone may write the accounts that all others are.
        client: context
            .client(UserInfo::new("system:kube-controller-manager", Vec::<String>::new()), "tokens-controller")?,
        ca_pem: context.config.root_ca_pem.clone(),
        token: context.config.secret_token.clone(),
    };
    runtime.start(reconciler, limits::WORKERS);
    Ok(())
}

/// What is to be done about a Secret.
#[derive(Debug, PartialEq)]
pub enum Action {
    Nothing,
    /// Its account is gone: the Secret of this UID goes too.
    Delete(String),
    Update(Box<Secret>),
}

/// `token`: makes the token where there is none.
///
/// # Errors
/// Those of `token`.
pub fn plan(
    secret: &Secret,
    account: Option<&ServiceAccount>,
    ca_pem: &str,
    token: impl FnOnce(&str) -> Result<String, String>,
) -> Result<Action, String> {
    let annotation = |name: &str| secret.metadata.annotations.as_ref().and_then(|all| all.get(name));
    let meant = |uid: &str| annotation(ACCOUNT_UID).is_none_or(|own| own.is_empty() || own == uid);
    let Some(account) = account.filter(|account| meant(owner::uid(&account.metadata))) else {
        return Ok(Action::Delete(owner::uid(&secret.metadata).to_owned()));
    };
    let held = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let has_ca = held(CA) == Some(ca_pem.as_bytes());
    let has = |key: &str| held(key).is_some_and(|bytes| !bytes.is_empty());
    if has_ca && has(NAMESPACE) && has(TOKEN) {
        return Ok(Action::Nothing);
    }
    let (has_namespace, has_token) = (has(NAMESPACE), has(TOKEN));
    let mut filled = secret.clone();
    let data = filled.data.get_or_insert_default();
    data.insert(CA.into(), ByteString(ca_pem.into()));
    if !has_namespace {
        data.insert(NAMESPACE.into(), ByteString(owner::namespace(&secret.metadata).into()));
    }
    let uid = owner::uid(&account.metadata);
    if !has_token {
        data.insert(TOKEN.into(), ByteString(token(uid)?.into()));
    }
    let annotations = filled.metadata.annotations.get_or_insert_default();
    annotations.insert(ACCOUNT_NAME.into(), owner::name(&account.metadata).into());
    annotations.insert(ACCOUNT_UID.into(), uid.into());
    Ok(Action::Update(Box::new(filled)))
}

/// An account as a Secret names it.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    /// May be empty.
    uid: String,
}

/// Secrets that are gone, until their accounts name them no more: as many as there are keys in the queue.
type Gone = Mutex<BTreeMap<RecordKey, Named>>;

/// The account without a Secret among those that it names; `None`: it is another one, or does not name it.
fn without(account: &ServiceAccount, of: &Named, secret: &str) -> Option<ServiceAccount> {
    if !of.uid.is_empty() && of.uid != owner::uid(&account.metadata) {
        return None;
    }
    let names = |one: &ObjectReference| one.name.as_deref() == Some(secret);
    let mut left = account.clone();
    let secrets = left.secrets.as_mut().filter(|secrets| secrets.iter().any(names))?;
    secrets.retain(|one| !names(one));
    Some(left)
}

struct TokenSecrets {
    accounts: Lister<ServiceAccount>,
    secrets: Lister<Secret>,
    gone: Arc<Gone>,
    client: Client,
    ca_pem: String,
    token: SecretToken,
}

impl TokenSecrets {
    /// Takes a Secret that is gone out of the list of its account.
    async fn forget(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(of) = self.gone.lock().get(key).cloned() else { return Ok(Requeue::Never) };
        let api = self.client.namespaced::<ServiceAccount>(&key.namespace);
        let account = api.get_opt(&of.name).await?;
        if let Some(left) = account.and_then(|account| without(&account, &of, &key.name)) {
            match api.update(&of.name, &left).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        self.gone.lock().remove(key);
        Ok(Requeue::Never)
    }
}

impl Reconcile for TokenSecrets {
    async fn reconcile(&self, key: &RecordKey) -> Result<Requeue, Error> {
        let Some(secret) = self.secrets.get(&key.namespace, &key.name) else { return self.forget(key).await };
        // One of the same name is there again, and what names the one means the other.
        self.gone.lock().remove(key);
        let account = secret.metadata.annotations.as_ref().and_then(|all| all.get(ACCOUNT_NAME));
        let Some(name) = account.filter(|name| !name.is_empty()) else { return Ok(Requeue::Never) };
        // Before a Secret is deleted, the server itself is asked: the copy may not have heard of the account yet.
        let account = match self.accounts.get(&key.namespace, name) {
            Some(account) => Some(account),
            None => self.client.namespaced(&key.namespace).get_opt(name).await?.map(Arc::new),
        };
        let token = |uid: &str| (self.token)(&key.namespace, name, uid, &key.name);
        let action = plan(&secret, account.as_deref(), &self.ca_pem, token);
        let api = self.client.namespaced::<Secret>(&key.namespace);
        let outcome = match action.map_err(|error| sampan_client::Error::Config(format!("no token: {error}")))? {
            Action::Nothing => return Ok(Requeue::Never),
            Action::Delete(uid) => api.delete(&key.name, &DeleteParams::uid(uid)).await.map(drop),
            Action::Update(filled) => api.update(&key.name, &filled).await.map(drop),
        };
        match outcome {
            // Somebody else was first: its change is a key of its own.
            Err(error) if !(error.is_conflict() || error.is_not_found()) => Err(error.into()),
            _ => Ok(Requeue::Never),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_account_names_no_secret_that_is_gone() {
        let account: ServiceAccount = serde_json::from_value(json!({
            "metadata": {"name": "bot", "uid": "1"}, "secrets": [{"name": "a"}, {"name": "b"}]}))
        .expect("an account");
        let check = |uid: &str, secret: &str, left: Option<&[&str]>| {
            let found = without(&account, &Named { name: "bot".into(), uid: uid.into() }, secret);
            let found = found.map(|account| account.secrets.unwrap_or_default());
            let names = found.as_ref().map(|all| all.iter().filter_map(|one| one.name.as_deref()).collect::<Vec<_>>());
            assert_eq!(names.as_deref(), left, "{uid} {secret}");
        };
        check("1", "a", Some(&["b"]));
        check("", "b", Some(&["a"]));
        check("2", "a", None);
        check("1", "c", None);
    }

    #[test]
    fn a_secret_is_filled_once_and_goes_with_its_account() {
        let account = |uid: &str| -> ServiceAccount {
            serde_json::from_value(json!({"metadata": {"name": "bot", "uid": uid}})).expect("an account")
        };
        let secret = |uid: Value, data: Value| -> Secret {
            let annotations = match uid {
                Value::Null => json!({ACCOUNT_NAME: "bot"}),
                uid => json!({ACCOUNT_NAME: "bot", ACCOUNT_UID: uid}),
            };
            let metadata = json!({"name": "s", "namespace": "n", "uid": "of-s", "annotations": annotations});
            serde_json::from_value(json!({"metadata": metadata, "type": TYPE, "data": data})).expect("a Secret")
        };
        let planned = |secret: &Secret, account: Option<&ServiceAccount>| {
            plan(secret, account, "pem", |uid| Ok(format!("token of {uid}"))).expect("a token")
        };
        let bot = account("1");
        let Action::Update(filled) = planned(&secret(Value::Null, json!({"mine": ""})), Some(&bot)) else {
            panic!("it is filled")
        };
        let data = filled.data.clone().expect("data");
        let expected = [("ca.crt", "pem"), ("mine", ""), ("namespace", "n"), ("token", "token of 1")];
        let found: Vec<_> = data.iter().map(|(key, bytes)| (key.as_str(), bytes.0.as_slice())).collect();
        assert_eq!(found, expected.map(|(key, text)| (key, text.as_bytes())));
        assert_eq!(filled.metadata.annotations.as_ref().expect("annotated")[ACCOUNT_UID], "1");
        assert_eq!(planned(&filled, Some(&bot)), Action::Nothing);
        assert_eq!(planned(&filled, Some(&account("2"))), Action::Delete("of-s".into()));
        assert_eq!(planned(&filled, None), Action::Delete("of-s".into()));
        let Ok(Action::Update(other)) = plan(&filled, Some(&bot), "new pem", |_| Err("not asked".into())) else {
            panic!("another CA")
        };
        assert_eq!(other.data.expect("data")["ca.crt"].0, b"new pem");
    }
}
