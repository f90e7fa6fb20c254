//! An API server alone, on a store in memory, over plain HTTP: `serve PORT TOKEN`. The token is of `system:masters`.
//! It is what the replay of golden exchanges and load generators are pointed at while they look at this room.

use futures::future::BoxFuture;
use sampan_api::user::{Attributes, Authorizer, Decision, GROUP_AUTHENTICATED, GROUP_MASTERS, UserInfo};
use sampan_api::{Object, Status};
use sampan_apiserver::limits::CONNECTIONS_MAX;
use sampan_apiserver::{Anonymous, ApiServer, Config, NoNodes};
use sampan_auth::authenticator::{Authenticator, Credentials, Refused};
use sampan_env::{Env, Tasks};
use sampan_registry::options::{Caller, Warnings};
use sampan_registry::{AdmitAll, Registry, ResourceTable, SchemaShapes};
use sampan_store::memory::MemoryStore;
use serde_json::json;
use std::sync::Arc;

struct OneToken {
    token: String,
    admin: Arc<UserInfo>,
}

impl Authenticator for OneToken {
    fn authenticate<'a>(&'a self, shown: Credentials<'a>) -> BoxFuture<'a, Result<Option<Arc<UserInfo>>, Refused>> {
        let found = match shown.bearer_token() {
            None => Ok(None),
            Some(token) if token == self.token => Ok(Some(self.admin.clone())),
            Some(_) => Err(Refused("another token".to_owned())),
        };
        Box::pin(std::future::ready(found))
    }
}

/// Masters may do all, everybody may look at what is no resource, nobody else may do anything.
struct Masters;

impl Authorizer for Masters {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        const OPEN: [&str; 6] = ["/healthz", "/livez", "/readyz", "/version", "/api", "/openapi"];
        let looks = !attributes.resource_request
            && attributes.verb == "get"
            && attributes.user.in_group(GROUP_AUTHENTICATED)
            && OPEN.iter().any(|prefix| attributes.path.starts_with(prefix));
        let decision = if looks || attributes.user.in_group(GROUP_MASTERS) {
            Decision::allow("")
        } else {
            Decision::no_opinion("")
        };
        Box::pin(std::future::ready(decision))
    }
}

async fn first_objects(registry: &Registry) -> Result<(), Status> {
    let warnings = Warnings::default();
    let user = UserInfo::apiserver();
    let caller = Caller {
        user: &user,
        verb: "create",
        user_agent: "serve",
        request_id: "",
        field_manager: "kube-apiserver",
        dry_run: false,
        options: &serde_json::Value::Null,
        admission: &AdmitAll,
        warnings: &warnings,
    };
    let table = registry.table();
    let row = table.lookup("", "v1", "namespaces").ok_or_else(|| Status::internal("no namespaces in the table"))?;
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let object = Object::from_value(value).unwrap_or_default();
        registry.create(&caller, row, "", object).await.map_err(Status::from)?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap_or_default().parse()?;
    let token = arguments.next().unwrap_or_default();
    let (env, tasks) = (Env::system(), Tasks::new("serve"));
    let store = Arc::new(MemoryStore::new(env.clone(), &tasks));
    let table = Arc::new(ResourceTable::builtin()?);
    let config = sampan_registry::Config::new(store, env.clone(), table, Arc::new(SchemaShapes));
    let registry = Registry::open(config).await?;
    first_objects(&registry).await?;
    let server = ApiServer::new(Config {
        env,
        tasks: tasks.clone(),
        registry,
        authenticator: Arc::new(OneToken { token, admin: Arc::new(UserInfo::new("admin", [GROUP_MASTERS])) }),
        authorizer: Arc::new(Masters),
        admission: Arc::new(AdmitAll),
        nodes: Arc::new(NoNodes),
        actions: Vec::new(),
        rules: None,
        routes: Vec::new(),
        checks: Vec::new(),
        anonymous: Anonymous::All,
        version: "v1.35.0+sampan".to_owned(),
    })?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    sampan_apiserver::serve::serve(listener, None, server.service(), CONNECTIONS_MAX, &tasks).await;
    Ok(())
}
