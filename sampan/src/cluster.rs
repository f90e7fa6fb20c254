//! The wiring: every part of a cluster started in its order, and ended in the reverse one.

use crate::addresses::ClusterAddresses;
use crate::authorizers;
use crate::backends::{self, OtherServers};
use crate::config::{Config, PORT_DEFAULT, TlsFiles, host_name};
use crate::data_dir::DataDir;
use crate::database;
use crate::deferred::{DeferredAdmission, DeferredAuthorizer};
use crate::first_start::{self, OwnThings};
use crate::followed;
use crate::health::{self, Ready, StoreCheck};
use crate::issuer;
use crate::metrics;
use crate::nodes::{self, OwnNode};
use crate::process;
use crate::registry;
use crate::rules::ClusterRules;
use crate::scheduling;
use anyhow::Context;
use sampan_api::UserInfo;
use sampan_apiserver::{
    Action, Anonymous, ApiServer, ApiService, Build, Check, Metrics, of_components, of_tokens, serve,
};
use sampan_auth::bootstrap_tokens::BootstrapTokens;
use sampan_auth::service_account::{Ref, ServiceAccountTokens};
use sampan_auth::tokens::StaticTokens;
use sampan_auth::union::{Authenticators, BearerTokens};
use sampan_auth::{Pki, TokenAuthenticator};
use sampan_client::{Client, Informers};
use sampan_env::{CancellationToken, Env, Tasks};
use sampan_node::address::Block;
use sampan_registry::{Registry, ResourceTable};
use sampan_store::Store;
use sampan_store::sqlite::SqliteStore;
use sampan_wasm_runtime::{Cidr, EgressRules, Runtime, RuntimeConfig};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The version in `/version` and in the Node.
pub const VERSION: &str = "v1.35.0+sampan";
/// The build, as its script was told (`sampan/build.rs`).
fn build() -> Build {
    let seconds = option_env!("SAMPAN_BUILD_SECONDS").and_then(|text| text.parse::<u64>().ok());
    let date = seconds.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    Build { commit: option_env!("SAMPAN_COMMIT").unwrap_or_default().to_owned(), date }
}

/// Time that each part has to end.
const DRAIN: Duration = Duration::from_secs(10);

/// A running cluster.
pub struct Cluster {
    /// The address that the API listens on.
    pub address: SocketAddr,
    /// Its certificates.
    pub pki: Arc<Pki>,
    tokens: Arc<ServiceAccountTokens>,
    /// The directory of its state.
    pub data_dir: DataDir,
    /// Its parts of the host's address ranges.
    pub addresses: ClusterAddresses,
    /// The API, for clients of this process.
    pub service: ApiService,
    stopping: CancellationToken,
    metrics: Arc<Metrics>,
    env: Env,
    node: Option<sampan_node::Agent>,
    runtime: Option<Runtime>,
    /// Listener, controllers, scheduler: ended before the API that they call.
    parts: Tasks,
    api: Tasks,
    store: Arc<SqliteStore>,
    store_tasks: Tasks,
}

/// Hears each step as it is done.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

impl Cluster {
    /// Starts everything that the configuration names and returns once `/readyz` says so.
    pub async fn start(config: &Config, env: &Env, progress: Progress<'_>) -> anyhow::Result<Self> {
        // The port first: it is what most often stands in the way, and nothing has been touched yet.
        let (listener, address) = bind(config.bind, config.port).map_err(|error| database::if_in_use(config, error))?;
        let data_dir = DataDir::open(&config.data_dir)?;
        let (parts, api, store_tasks) = (Tasks::new("parts"), Tasks::new("api"), Tasks::new("store"));
        let (store, opened) = database::open(&data_dir, env, &store_tasks).await?;
        progress("store opened");
        // Once the directory is ours alone: it says which addresses the cluster had.
        let addresses = ClusterAddresses::open(config, &data_dir)?;
        let (pki, tokens, others) = identity(config, &data_dir, env).await?;
        let guards = Guards::of(&tokens, env);
        let (bearers, certificates) = (bearers(config, &guards)?, pki.client_certificates(config.client_ca(), env)?);
        let table = Arc::new(config.runtime.table(&config.gates).context("the built-in resource table")?);
        let settings = registry::settings(config, reached(address), &addresses, (&store, opened, env), table.clone());
        let registry = Registry::open(settings).await?;
        sampan_registry::crd::follow(&registry, &api).await?;
        api.spawn_until_cancelled(registry.clone().compact_forever());
        let (node_connector, ready, explain) = (OwnNode::default(), Ready::default(), scheduling::Explain::default());
        let apiserver = ApiServer::new(sampan_apiserver::Config {
            env: env.clone(),
            tasks: api.clone(),
            registry: registry.clone(),
            authenticator: Arc::new(Authenticators(vec![Arc::new(certificates), bearers.clone()])),
            authorizer: Arc::new(guards.authorizer.clone()),
            admission: Arc::new(guards.admission.clone()),
            nodes: Arc::new(node_connector.clone()),
            backends: Arc::new(others.clone()),
            actions: actions(&tokens, &bearers, &explain, health::components(config, &store)),
            rules: Some(Arc::new(guards.rules.clone())),
            routes: issuer::routes(&tokens, &config.service_account_issuer, &server_url(address)),
            checks: vec![Arc::new(ready.clone()), Arc::new(StoreCheck { name: "etcd", store: store.clone() })],
            anonymous: if config.authentication.anonymous { Anonymous::All } else { Anonymous::Health },
            version: VERSION.into(),
            build: build(),
        })?;
        let metrics = apiserver.metrics().clone();
        metrics::of_the_store(&metrics, store.clone());
        let service = apiserver.service();
        let own = Client::in_process(service.clone(), UserInfo::apiserver(), "kube-apiserver", env);
        let things = OwnThings::of(&config.gates, reached(address), &addresses, others.authentication(&pki), env);
        first_start::ensure(&own, &table, &things).await.context("what a cluster has from its first start")?;
        guard(&own, env, &api, config, &guards, &apiserver, &table).await?;
        followed::follow(&own, &apiserver, registry, env, &api)?;
        first_start::keep(own.clone(), table.clone(), &things, env, &api)?;
        backends::start_own(&client_of(&service, env), own, &table, &others, env, &parts)?;

        let mut cluster = Self {
            address,
            pki,
            tokens,
            data_dir,
            addresses,
            service,
            stopping: apiserver.stopping(),
            metrics,
            env: env.clone(),
            node: None,
            runtime: None,
            parts,
            api,
            store,
            store_tasks,
        };
        cluster.listen(listener, config.tls.as_ref())?;
        ready.set();
        progress("API server ready");
        cluster.start_parts(config, &node_connector, &explain, progress).await?;
        Ok(cluster)
    }

    fn listen(&self, listener: std::net::TcpListener, given: Option<&TlsFiles>) -> anyhow::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (names, addresses) = subjects(self.address.ip(), &host_name(), self.addresses.first_service_ip());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let pair = given.and_then(|given| given.pair.as_ref());
        let client_ca = given.and_then(|given| given.client_ca.as_deref());
        let tls = serve::tls_config(self.pki.server_config_with(
            pair,
            &self.pki.client_authorities(client_ca)?,
            &names,
            &addresses,
        )?);
        let connections = serve::connections_max(process::files_max());
        let (service, env, tasks) = (self.service.clone(), self.env.clone(), self.parts.clone());
        self.parts.spawn(async move { serve::serve(listener, Some(tls), service, connections, &env, &tasks).await });
        Ok(())
    }

    /// A client in this process that speaks as `user`.
    pub fn client(&self, user: UserInfo, user_agent: &str) -> Client {
        Client::in_process(self.service.clone(), user, user_agent, &self.env)
    }

    async fn start_parts(
        &mut self,
        config: &Config,
        node_connector: &OwnNode,
        explain: &scheduling::Explain,
        progress: Progress<'_>,
    ) -> anyhow::Result<()> {
        let components = config.components;
        if components.controllers {
            self.start_controllers(config)?;
            progress("controllers started");
        }
        if !components.scheduler && !components.node {
            return Ok(());
        }
        let runtime = self.wasm_runtime()?;
        let seeds: Vec<sampan_images::Seed> = sampan_embed::COMPONENTS
            .iter()
            .map(|one| sampan_images::Seed { reference: one.reference, digest: one.digest(), bytes: one.bytes })
            .collect();
        let images = Arc::new(sampan_images::Images::open(&self.data_dir.blobs(), &seeds)?);
        if components.scheduler {
            let client = self.client(UserInfo::scheduler(), "kube-scheduler");
            let scheduler = scheduling::start(client, &runtime, images.clone(), &self.env, &self.parts)?;
            explain.set(scheduler.explainer);
            metrics::of_the_scheduler(&self.metrics, scheduler.metrics);
            progress("scheduler started");
        }
        if let Some(pod_blocks) = self.addresses.take_pods() {
            let blobs = images.clone();
            let (api, services, reached) = (self.address, self.addresses.services(), runtime.clone());
            pod_blocks.on_claim(move |pods| reached.set_egress(egress(api, services, pods)));
            let shared = sampan_node::SharedProcess::new(runtime, blobs, config.image_aliases.clone());
            let agent = sampan_node::Agent::start(
                sampan_node::AgentConfig {
                    node_name: config.node_name.clone(),
                    client: self.client(UserInfo::node(&config.node_name), "kubelet"),
                    runtime: Arc::new(shared),
                    ledger: self.data_dir.ledger(),
                    pod_blocks: Box::new(pod_blocks),
                    host_ip: Ipv4Addr::LOCALHOST.to_string(),
                    version: VERSION.into(),
                },
                &self.env,
                &self.parts,
            )
            .await?;
            node_connector.set(&config.node_name, agent.kubelet_api());
            if let Some(block) = self.addresses.pods() {
                // A node may not say which addresses are its own.
                let client = self.client(UserInfo::controller("node"), "node-controller");
                nodes::name_block(&client, &config.node_name, block).await?;
            }
            let capacity = agent.capacity();
            self.node = Some(agent);
            progress(&format!("node registered, with room for {} pods ({})", capacity.pods_max, capacity.bound_by));
        }
        Ok(())
    }

    fn start_controllers(&self, config: &Config) -> anyhow::Result<()> {
        let (service, env, tokens) = (self.service.clone(), self.env.clone(), self.tokens.clone());
        sampan_controllers::start(sampan_controllers::Config {
            client_of: Arc::new(move |user| Ok(Client::in_process(service.clone(), user, "sampan", &env))),
            env: self.env.clone(),
            tasks: self.parts.clone(),
            root_ca_pem: self.pki.ca_pem().to_owned(),
            authority: self.pki.clone(),
            secret_token: Arc::new(move |namespace, account, uid, secret| {
                let account = Ref { name: account.to_owned(), uid: uid.to_owned() };
                tokens.issue_for_secret(namespace, &account, secret).map_err(|error| error.to_string())
            }),
            settings: sampan_controllers::Settings {
                pod_certificate_requests: serves_pod_certificates(config)?,
                ..sampan_controllers::Settings::default()
            },
        })?;
        Ok(())
    }

    fn wasm_runtime(&mut self) -> anyhow::Result<Runtime> {
        let runtime = Runtime::new(RuntimeConfig::new(self.data_dir.cache()), self.env.clone())?;
        runtime.seed(&sampan_embed::seeds());
        metrics::of_the_runtime(&self.metrics, runtime.clone());
        self.runtime = Some(runtime.clone());
        Ok(runtime)
    }

    /// The URL by which clients of this host reach the API.
    pub fn server_url(&self) -> String {
        server_url(self.address)
    }

    /// Ends everything: guests, parts, the API, and at last the log.
    pub async fn drain(self) {
        // Load balancers are told first; and watches over connections, which would hold the listener to its deadline, end
        // while there is still somebody to end them.
        self.stopping.cancel();
        if let Some(node) = &self.node {
            node.drain().await;
        }
        if let Some(runtime) = &self.runtime {
            runtime.shutdown(DRAIN).await;
        }
        for tasks in [&self.parts, &self.api] {
            if let Err(error) = tasks.drain(DRAIN).await {
                tracing::warn!(%error, "a part did not end in time");
            }
        }
        self.store.close().await;
        if let Err(error) = self.store_tasks.drain(DRAIN).await {
            tracing::warn!(%error, "the store did not end in time");
        }
    }
}

/// The URL by which clients of this host reach the API that is bound to `address`.
fn server_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("https://{}", SocketAddr::new(ip, address.port()))
}

/// `port`: as [`Config::port`] has it.
fn bind(ip: IpAddr, port: Option<u16>) -> anyhow::Result<(std::net::TcpListener, SocketAddr)> {
    let wanted = SocketAddr::new(ip, port.unwrap_or(PORT_DEFAULT));
    let bound = match std::net::TcpListener::bind(wanted) {
        Err(error) if port.is_none() && error.kind() == std::io::ErrorKind::AddrInUse => {
            std::net::TcpListener::bind(SocketAddr::new(ip, 0))
        }
        other => other,
    };
    let listener = bound
        .with_context(|| format!("cannot listen on {wanted}: choose another port with --port, or 0 for a free one"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The part of this host that the cluster's pods may reach: each other and the cluster's Services. Other clusters of the host have
/// their pods out of the same range: those are theirs, as is the API server, which is one of the host's addresses whatever
/// the ranges say.
fn egress(api: SocketAddr, services: Block, pods: &[Block]) -> EgressRules {
    let own = pods.iter().chain([&services]);
    let cluster = own.map(|block| Cidr::new(block.network(), block.prefix())).collect();
    EgressRules { cluster, denied: vec![api], ..EgressRules::default() }
}

/// The names and addresses under which the server is reached, for its certificate: as pods know it, as this machine is
/// called, and as it is bound. Bound to all addresses, that is the one from which this machine speaks to the world;
/// further interfaces are not looked up, and clients of those use a name.
fn subjects(bound: IpAddr, host: &str, service: Ipv4Addr) -> (Vec<String>, Vec<IpAddr>) {
    let mut names: Vec<String> = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    .map(str::to_owned)
    .into();
    if sampan_api::names::dns1123_subdomain(host).is_empty() && !names.iter().any(|name| name == host) {
        names.push(host.to_owned());
    }
    let own = if bound.is_unspecified() { outward_address(bound) } else { Some(bound) };
    let mut addresses =
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), IpAddr::V4(service)];
    addresses.extend(own.filter(|own| !addresses.contains(own)));
    (names, addresses)
}

/// The address of the interface with the default route, if there is one. Nothing is sent: the kernel only chooses.
fn outward_address(bound: IpAddr) -> Option<IpAddr> {
    // Reserved for documentation: routed by default, and nobody's.
    let anywhere: IpAddr = match bound {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = std::net::UdpSocket::bind((bound, 0)).ok()?;
    socket.connect((anywhere, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The address at which a server that is bound to `bound` is reached.
fn reached_at(bound: IpAddr) -> IpAddr {
    match bound {
        bound if !bound.is_unspecified() => bound,
        bound => outward_address(bound).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}

/// The address and port at which a server that is bound to `bound` is reached.
fn reached(bound: SocketAddr) -> SocketAddr {
    SocketAddr::new(reached_at(bound.ip()), bound.port())
}

/// Whether there are PodCertificateRequests for a controller to look at.
fn serves_pod_certificates(config: &Config) -> anyhow::Result<bool> {
    let table = config.runtime.table(&config.gates).context("the built-in resource table")?;
    Ok(table.lookup("certificates.k8s.io", "v1beta1", "podcertificaterequests").is_some())
}

/// Makes clients of this process.
fn client_of(service: &sampan_apiserver::ApiService, env: &Env) -> sampan_controllers::ClientOf {
    let (service, env) = (service.clone(), env.clone());
    Arc::new(move |user| Ok(Client::in_process(service.clone(), user, "sampan", &env)))
}

/// The cluster's certificates, and the tokens of its service accounts.
async fn identity(
    config: &Config,
    data_dir: &DataDir,
    env: &Env,
) -> anyhow::Result<(Arc<Pki>, Arc<ServiceAccountTokens>, OtherServers)> {
    let (folder, pki_env, given) = (data_dir.pki(), env.clone(), config.token_key.clone());
    let files = config.authentication.service_account_key_files.clone();
    let (pki, key, others) = sampan_env::blocking(move || {
        let pki = Pki::open(&folder, &pki_env)?;
        let key = match given {
            Some(path) => Pki::token_key_of(&path)?,
            None => pki.token_key()?,
        };
        let others: Vec<Vec<_>> = files.iter().map(|path| Pki::public_keys_of(path)).collect::<Result<_, _>>()?;
        Ok::<_, sampan_auth::pki::PkiError>((Arc::new(pki), key, others.into_iter().flatten().collect()))
    })
    .await??;
    let tokens = ServiceAccountTokens::new(config.service_account_issuer.clone(), key, env.clone());
    let tokens = tokens.for_audiences(config.authentication.api_audiences.clone());
    let tokens = Arc::new(tokens.verified_by(others));
    Ok((pki, tokens, OtherServers::open(data_dir.pki(), env).await?))
}

/// Who is told by a bearer token.
fn bearers(config: &Config, guards: &Guards) -> anyhow::Result<Arc<BearerTokens>> {
    let mut all: Vec<Arc<dyn TokenAuthenticator>> = Vec::new();
    let audiences = guards.tokens.audiences().to_vec();
    if let Some(path) = &config.authentication.static_token_file {
        all.push(Arc::new(StaticTokens::from_file(path)?.for_audiences(audiences.clone())));
    }
    all.push(guards.tokens.clone());
    all.push(guards.bootstrap_tokens.clone());
    Ok(Arc::new(BearerTokens::new(all, audiences)))
}

/// The actions of rooms other than the API server's, and those that need what only this process has.
fn actions(
    tokens: &Arc<ServiceAccountTokens>,
    bearers: &Arc<BearerTokens>,
    explain: &scheduling::Explain,
    components: Vec<Arc<dyn Check>>,
) -> Vec<(String, Arc<dyn Action>)> {
    let explain: Arc<dyn Action> = Arc::new(explain.clone());
    let mut all = vec![(scheduling::EXPLAIN_ACTION.to_owned(), explain)];
    all.extend(of_tokens(tokens.clone(), bearers.clone()));
    all.push(of_components(components));
    all
}

/// What is in force only once the API can be read.
struct Guards {
    tokens: Arc<ServiceAccountTokens>,
    bootstrap_tokens: Arc<BootstrapTokens>,
    authorizer: DeferredAuthorizer,
    admission: DeferredAdmission,
    rules: ClusterRules,
}

impl Guards {
    fn of(tokens: &Arc<ServiceAccountTokens>, env: &Env) -> Self {
        let (authorizer, admission) = (DeferredAuthorizer::default(), DeferredAdmission::default());
        let bootstrap_tokens = Arc::new(BootstrapTokens::new(tokens.audiences().to_vec(), env.clone()));
        Self { tokens: tokens.clone(), bootstrap_tokens, authorizer, admission, rules: ClusterRules::default() }
    }
}

/// Puts authentication by tokens, authorization and admission in force, once what they read has been read whole.
async fn guard(
    own: &Client,
    env: &Env,
    tasks: &Tasks,
    config: &Config,
    guards: &Guards,
    apiserver: &ApiServer,
    table: &ResourceTable,
) -> anyhow::Result<()> {
    let informers = Informers::new(own.clone(), env, tasks);
    let rbac = sampan_auth::rbac::RbacAuthorizer::start(&informers, tasks)?;
    let authorizers = authorizers::of_modes(&config.authorization, own, &informers, &rbac)?;
    let webhooks = Arc::new(sampan_client::WebhookClient::new(own.clone(), tasks));
    apiserver.call_webhooks_by(webhooks.clone());
    let parts = sampan_admission::Parts {
        client: own.clone(),
        informers,
        authorizer: authorizers.clone(),
        rbac: rbac.clone(),
        webhooks,
        configurations: config.admission_plugins.clone(),
        tasks: tasks.clone(),
        gates: config.gates.clone(),
        served: table.iter().map(|row| row.gvr()).collect(),
    };
    let chain = sampan_admission::chain(&parts, &config.admission)?;
    guards.tokens.look_up(own.clone(), &parts.informers)?;
    guards.bootstrap_tokens.look_up(&parts.informers)?;
    rbac.wait_synced().await?;
    parts.informers.wait_synced().await?;
    guards.rules.set(rbac, &config.authorization);
    guards.authorizer.set(authorizers);
    guards.admission.set(chain);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use sampan_api::k8s::api::core::v1::Namespace;
    use sampan_client::{CertificateAuthority, Credentials, RemoteConfig, WatchParams};

    #[test]
    fn pods_reach_their_own_clusters_part_of_the_host() {
        let block = |text: &str| Block::parse(text).expect(text);
        let api: SocketAddr = "127.0.0.1:6443".parse().expect("an address");
        let rules = egress(api, block("127.96.64.0/18"), &[block("127.64.3.0/24"), block("127.64.9.0/24")]);
        let check = |to: &str, expected: bool| {
            assert_eq!(rules.permits(to.parse().expect("an address")), expected, "{to}");
        };
        for own in ["127.64.3.1:80", "127.64.9.254:8080", "127.96.64.1:443", "127.96.127.255:80"] {
            check(own, true);
        }
        for other in ["127.64.4.1:80", "127.96.0.1:443", "127.96.128.1:443", "127.0.0.1:6443", "127.0.0.1:22"] {
            check(other, false);
        }
        check("93.184.216.34:80", true);
    }

    #[test]
    fn the_certificate_names_how_the_server_is_reached() {
        let check = |bound: &str, host: &str, more_names: &[&str], more_addresses: &[&str]| {
            let bound = bound.parse().expect("an address");
            let (names, addresses) = subjects(bound, host, Ipv4Addr::new(127, 96, 0, 1));
            assert_eq!(names[5..], *more_names, "{host}");
            let addresses: Vec<String> = addresses[3..].iter().map(IpAddr::to_string).collect();
            assert_eq!(addresses, more_addresses, "{bound}");
        };
        check("127.0.0.1", "box-1", &["box-1"], &[]);
        check("10.1.2.3", "box_1", &[], &["10.1.2.3"]);
        check("127.0.0.1", "localhost", &[], &[]);
        let (_, addresses) = subjects(Ipv4Addr::UNSPECIFIED.into(), "a", Ipv4Addr::new(127, 96, 0, 1));
        assert!(addresses.iter().all(|one| !one.is_unspecified()) && addresses.len() <= 4, "{addresses:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_open_watch_does_not_hold_the_end_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::of_tests(folder.path());
        let (env, tasks) = (Env::system(), Tasks::new("test"));
        let cluster = Cluster::start(&config, &env, &|_| ()).await.expect("it starts");
        let remote = RemoteConfig {
            server: cluster.server_url(),
            ca: Some(CertificateAuthority::Pem(cluster.pki.ca_pem().as_bytes().to_vec())),
            tls_server_name: None,
            credentials: Credentials::ClientCertificate {
                cert_pem: cluster.pki.admin.certificate_pem.as_bytes().to_vec(),
                key_pem: cluster.pki.admin.key_pem.as_bytes().to_vec(),
            },
        };
        let client = Client::remote(remote, "test", &env, &tasks).expect("a client");
        let mut events = client.all::<Namespace>().watch(&WatchParams::default()).await.expect("a watch");
        let began = env.instant();
        cluster.drain().await;
        let took = env.instant().duration_since(began);
        assert!(took < DRAIN / 2, "{took:?}");
        let ended = async { while events.next().await.is_some_and(|event| event.is_ok()) {} };
        tokio::time::timeout(DRAIN, ended).await.expect("the watch was ended");
        tasks.drain(DRAIN).await.expect("the client ends");
    }
}
