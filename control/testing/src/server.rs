//! An API server in this process, on a store in memory.

use async_trait::async_trait;
use futures::future::BoxFuture;
use sampan_admission::{Chain, Configurations, Selection};
use sampan_api::admission::{self, Admission, AdmitAll, Charges, Mutated, Warnings};
use sampan_api::k8s::api::core::v1::{Namespace, ServiceAccount};
use sampan_api::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_api::user::{
    Attributes, Authorizer, Decision, GROUP_AUTHENTICATED, GROUP_MASTERS, USER_APISERVER, UserInfo,
};
use sampan_api::{GroupVersionKind, Object, Status};
use sampan_apiserver::flow::seats::Seats;
use sampan_apiserver::line::Ledgers;
use sampan_apiserver::{
    Action, Anonymous, ApiServer, ApiService, Backends, Build, Config, NoBackends, NoNodes, RuleResolver,
};
use sampan_auth::authenticator::{Authenticator, Credentials, Refused};
use sampan_auth::node::NodeAuthorizer;
use sampan_auth::rbac::RbacAuthorizer;
use sampan_auth::union::Authorizers;
use sampan_client::{Client, Informers, ListParams};
use sampan_env::{CancellationToken, Env, Tasks};
use sampan_registry::options::Caller;
use sampan_registry::{Registry, ResourceTable};
use sampan_schema::gates::Gates;
use sampan_store::Store;
use sampan_store::memory::MemoryStore;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The parts of such a server.
pub struct Parts {
    /// Its clock and randomness.
    pub env: Env,
    /// Own what the server spawns.
    pub tasks: Tasks,
    /// Tells users by their credentials.
    pub authenticator: Arc<dyn Authenticator>,
    /// Decides on rights.
    pub authorizer: Arc<dyn Authorizer>,
    /// Decides on writes.
    pub admission: Arc<dyn Admission>,
    /// Paths that are open without credentials.
    pub anonymous: Anonymous,
    /// Reaches the servers of group versions that others have.
    pub backends: Arc<dyn Backends>,
    /// Lists what a caller may do.
    pub rules: Option<Arc<dyn RuleResolver>>,
    /// Actions that are bound besides the API server's own.
    pub actions: Vec<(String, Arc<dyn Action>)>,
    /// The namespaces that are there from the start.
    pub namespaces: Vec<String>,
    /// The resources that are served.
    pub table: ResourceTable,
}

impl Parts {
    /// In that world: nobody shows credentials, everybody may do everything, everything is admitted, and there is the
    /// namespace `default`.
    pub fn new(env: Env) -> Self {
        Self {
            env,
            tasks: Tasks::new("test"),
            authenticator: Arc::new(Tokens::default()),
            authorizer: Arc::new(AllowAll),
            admission: Arc::new(AdmitAll),
            anonymous: Anonymous::Health,
            backends: Arc::new(NoBackends),
            rules: None,
            actions: Vec::new(),
            namespaces: vec!["default".to_owned()],
            table: ResourceTable::builtin().expect("the built-in table is sound"),
        }
    }

    /// Starts the server.
    ///
    /// # Panics
    /// When the built-in table or the wiring is unsound.
    pub async fn start(self) -> Server {
        let store = Arc::new(MemoryStore::new(self.env.clone(), &self.tasks));
        let config = sampan_registry::Config::new(store.clone(), self.env.clone(), Arc::new(self.table));
        let registry = Registry::open(config).await.expect("an empty store opens");
        for name in &self.namespaces {
            first_namespace(&registry, name).await.expect("a first namespace");
        }
        let server = ApiServer::new(Config {
            env: self.env.clone(),
            tasks: self.tasks.clone(),
            registry: registry.clone(),
            authenticator: self.authenticator,
            authorizer: self.authorizer,
            admission: self.admission,
            nodes: Arc::new(NoNodes),
            backends: self.backends,
            actions: self.actions,
            rules: self.rules,
            routes: Vec::new(),
            checks: Vec::new(),
            anonymous: self.anonymous,
            version: "v1.35.0+sampan".to_owned(),
            build: Build::default(),
        })
        .expect("every action is bound");
        Server {
            service: server.service(),
            store,
            registry,
            env: self.env,
            tasks: self.tasks,
            stopping: server.stopping(),
            seats: server.seats().clone(),
            ledgers: server.ledgers().clone(),
            api: server,
        }
    }
}

/// A running server.
pub struct Server {
    /// Takes requests as they would come over a socket.
    pub service: ApiService,
    /// The registry behind it, without its chain.
    pub registry: Registry,
    /// The world that it is in.
    pub env: Env,
    /// Own what the server spawned.
    pub tasks: Tasks,
    /// Ends its streams.
    pub stopping: CancellationToken,
    /// The seats of requests that are worked on.
    pub seats: Seats,
    /// The accounts of what it holds for its clients.
    pub ledgers: Ledgers,
    /// What it stores in.
    pub store: Arc<MemoryStore>,
    /// The server itself.
    pub api: ApiServer,
}

impl Server {
    /// A client that calls as `user`, in this process.
    pub fn client(&self, user: UserInfo) -> Client {
        Client::in_process(self.service.clone(), user, "test", &self.env)
    }

    /// Drops all history of the keys that begin with `prefix`: what is left of them is what is there now.
    ///
    /// # Panics
    /// When the store does not.
    pub async fn compact(&self, prefix: &str) {
        let now = self.store.current_revision().await.expect("a revision");
        self.store.compact(prefix, now).await.expect("compacted");
    }
}

/// A server that is guarded as a cluster's is: the node authorizer and RBAC over the roles of a first start, and all
/// admission plugins.
///
/// # Panics
/// When one of these cannot be had.
pub async fn guarded(env: Env) -> Server {
    guarded_through(env, |authorizer| authorizer).await
}

/// The admission plugins that act, and what they are told.
#[derive(Default)]
pub struct Choice {
    /// Which ones.
    pub selection: Selection,
    /// What they are told.
    pub configurations: Configurations,
    /// The features that are on.
    pub gates: Gates,
    /// The resources that are served; those that the configuration turns on by saying nothing where it is not set.
    pub table: Option<ResourceTable>,
    /// Who shows a token; nobody else is known.
    pub users: Tokens,
}

/// As [`guarded`], with these admission plugins.
///
/// # Panics
/// When one of these cannot be had.
pub async fn guarded_by(env: Env, choice: Choice) -> Server {
    start_guarded(env, choice, |authorizer| authorizer).await
}

/// As [`guarded`], with what `around` makes of the authorizer.
///
/// # Panics
/// When one of these cannot be had.
pub async fn guarded_through(env: Env, around: impl FnOnce(Arc<dyn Authorizer>) -> Arc<dyn Authorizer>) -> Server {
    start_guarded(env, Choice::default(), around).await
}

async fn start_guarded(
    env: Env,
    choice: Choice,
    around: impl FnOnce(Arc<dyn Authorizer>) -> Arc<dyn Authorizer>,
) -> Server {
    let (authorizer, admission) = (Later::<Arc<dyn Authorizer>>::default(), Later::<Chain>::default());
    let parts = Parts::new(env);
    let server = Parts {
        table: choice.table.unwrap_or(parts.table),
        authenticator: Arc::new(choice.users),
        authorizer: Arc::new(authorizer.clone()),
        admission: Arc::new(admission.clone()),
        namespaces: ["default", "kube-system", "kube-public", "kube-node-lease"].map(str::to_owned).into(),
        ..parts
    };
    let server = server.start().await;
    let own = server.client(UserInfo::apiserver());
    first_roles(&own).await;
    first_accounts(&own).await;
    let informers = Informers::new(own.clone(), &server.env, &server.tasks);
    let rbac = RbacAuthorizer::start(&informers, &server.tasks).expect("an authorizer");
    let nodes = NodeAuthorizer::new(own.clone(), &informers).expect("an authorizer of nodes");
    let both: Arc<dyn Authorizer> = Arc::new(Authorizers(vec![Arc::new(nodes), rbac.clone()]));
    let webhooks = Arc::new(sampan_client::WebhookClient::new(own.clone(), &server.tasks));
    server.api.call_webhooks_by(webhooks.clone());
    let parts = sampan_admission::Parts {
        client: own,
        informers,
        authorizer: both.clone(),
        rbac: rbac.clone(),
        webhooks,
        configurations: choice.configurations,
        tasks: server.tasks.clone(),
        gates: choice.gates,
        served: server.registry.table().iter().map(|row| row.gvr()).collect(),
    };
    let chain = sampan_admission::chain(&parts, &choice.selection).expect("admission plugins");
    rbac.wait_synced().await.expect("roles are read");
    parts.informers.wait_synced().await.expect("what admission looks at is read");
    authorizer.set(around(both));
    admission.set(chain);
    server
}

/// Makes the account that pods have which name none, in each namespace: no controller does.
///
/// # Panics
/// When one is refused.
pub async fn first_accounts(own: &Client) {
    let namespaces = own.all::<Namespace>().list_all(&ListParams::default()).await.expect("namespaces");
    for namespace in namespaces.items {
        let metadata = ObjectMeta { name: Some("default".into()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let api = own.namespaced::<ServiceAccount>(namespace.metadata.name.as_deref().unwrap_or_default());
        api.create(&account).await.expect("an account");
    }
}

/// Makes the roles and bindings of a first start, but for those of namespaces that are not there.
///
/// # Panics
/// When one is refused.
pub async fn first_roles(own: &Client) {
    let served = own.discover().await.expect("discovery");
    for object in sampan_auth::bootstrap::rbac_objects(|_| false) {
        let gvk: GroupVersionKind = object.gvk().expect("a kind");
        let resource = served.by_kind(&gvk).expect("served").resource.clone();
        let namespace = (!object.namespace().is_empty()).then(|| object.namespace().to_owned());
        match own.dynamic(&resource, namespace.as_deref()).create(&object).await {
            Err(error) if error.is_not_found() => {}
            other => drop(other.expect("a role")),
        }
    }
}

/// A guard that is set once the server that it guards can be read. Until then only the control plane itself passes.
pub struct Later<T>(Arc<OnceLock<T>>);

impl<T> Default for Later<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Later<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Later<T> {
    /// Puts the guard in force; a second one is ignored.
    pub fn set(&self, guard: T) {
        self.0.get_or_init(|| guard);
    }
}

impl Authorizer for Later<Arc<dyn Authorizer>> {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        match self.0.get() {
            _ if attributes.user.name == USER_APISERVER => Box::pin(std::future::ready(Decision::allow("itself"))),
            Some(authorizer) => authorizer.authorize(attributes),
            None => Box::pin(std::future::ready(Decision::no_opinion("no roles yet"))),
        }
    }
}

#[async_trait]
impl Admission for Later<Chain> {
    async fn mutate(
        &self,
        attributes: &admission::Attributes<'_>,
        object: Option<&mut Object>,
    ) -> Result<Mutated, Status> {
        match self.0.get() {
            Some(chain) => chain.mutate(attributes, object).await,
            None => Ok(Mutated::No),
        }
    }

    async fn validate(&self, attributes: &admission::Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        match self.0.get() {
            Some(chain) => chain.validate(attributes, object).await,
            None => Ok(()),
        }
    }

    async fn charge(&self, attributes: &admission::Attributes<'_>, object: &Object) -> Result<Charges, Status> {
        match self.0.get() {
            Some(chain) => chain.charge(attributes, object).await,
            None => Ok(Charges::default()),
        }
    }
}

async fn first_namespace(registry: &Registry, name: &str) -> Result<(), Status> {
    let (user, warnings) = (UserInfo::apiserver(), Warnings::default());
    let caller = Caller {
        user: &user,
        verb: "create",
        user_agent: "test",
        request_id: "",
        field_manager: "kube-apiserver",
        dry_run: false,
        options: &Value::Null,
        admission: &AdmitAll,
        warnings: &warnings,
    };
    let table = registry.table();
    let row = table.lookup("", "v1", "namespaces").expect("a built-in row");
    let object = Object::from_value(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    registry.create(&caller, row, "", object.expect("an object")).await?;
    Ok(())
}

/// Bearer tokens and who they are of. No token is nobody; a wrong one is refused.
#[derive(Default)]
pub struct Tokens(pub BTreeMap<String, Arc<UserInfo>>);

impl Tokens {
    /// Tokens and their users.
    pub fn new<'a>(users: impl IntoIterator<Item = (&'a str, UserInfo)>) -> Self {
        Self(users.into_iter().map(|(token, user)| (token.to_owned(), Arc::new(user))).collect())
    }
}

impl Authenticator for Tokens {
    fn authenticate<'a>(&'a self, shown: Credentials<'a>) -> BoxFuture<'a, Result<Option<Arc<UserInfo>>, Refused>> {
        let found = match shown.bearer_token() {
            None => Ok(None),
            Some(token) => self.0.get(token).cloned().map(Some).ok_or_else(|| Refused("unknown".to_owned())),
        };
        Box::pin(std::future::ready(found))
    }
}

/// Everybody may do everything.
#[derive(Clone, Copy, Debug)]
pub struct AllowAll;

impl Authorizer for AllowAll {
    fn authorize<'a>(&'a self, _: &'a Attributes) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(Decision::allow("a test")))
    }
}

/// `system:masters` may do everything, who is authenticated may look at what is no resource, everybody may ask for
/// `/healthz`.
#[derive(Clone, Copy, Debug)]
pub struct Masters;

impl Authorizer for Masters {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        const OPEN: [&str; 5] = ["/livez", "/readyz", "/version", "/api", "/openapi"];
        let looks = !attributes.resource_request
            && attributes.verb == "get"
            && attributes.user.in_group(GROUP_AUTHENTICATED)
            && OPEN.iter().any(|prefix| attributes.path.starts_with(prefix));
        let allowed = looks || attributes.user.in_group(GROUP_MASTERS) || attributes.path == "/healthz";
        Box::pin(std::future::ready(if allowed { Decision::allow("") } else { Decision::no_opinion("") }))
    }
}
