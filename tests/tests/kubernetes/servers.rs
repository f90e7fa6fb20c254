//! The two servers that are asked the same: a kube-apiserver over etcd, and ours, set up alike.

use bytes::Bytes;
use http::{Method, Request};
use sampan_client::{CertificateAuthority, Client, Credentials, RemoteConfig};
use sampan_env::{Env, Tasks};
use sampan_tests::exchange::{ANSWER_TIMEOUT, Answer, ask};
use sampan_tests::{PATIENCE, Sampan, now, tool};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Variable with the folder of `kube-apiserver` and `etcd`, which `cargo xtask tools` builds by default; [`NONE`]: there is none, and
/// the comparison is skipped.
pub const VARIABLE: &str = "SAMPAN_KUBERNETES";
/// The value of [`VARIABLE`] by which whoever runs the tests says that the comparison is to be skipped.
const NONE: &str = "none";
/// The token of a member of `system:masters` at both.
const TOKEN: &str = "oracle-token";

/// The folder of the real server's programs. `None` only if the comparison is skipped.
///
/// # Panics
/// Without such a folder: a comparison that compares nothing is a failure.
pub fn programs() -> Option<PathBuf> {
    let folder = std::env::var_os(VARIABLE);
    if folder.as_ref().is_some_and(|folder| folder == NONE) {
        println!("skipped: {VARIABLE}={NONE}");
        return None;
    }
    let folder = folder.map_or_else(|| tool("kubernetes"), PathBuf::from);
    let there = ["kube-apiserver", "etcd"].iter().all(|program| folder.join(program).is_file());
    assert!(there, "no kube-apiserver and etcd in {}: set {VARIABLE} to their folder, or to {NONE}", folder.display());
    Some(folder)
}

/// A program that ends with this.
struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).expect("a log file");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        drop(self.0.wait());
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Both servers, ready.
pub struct Servers {
    ours: Client,
    theirs: Client,
    /// In the order in which they end.
    _running: (Sampan, Process, Process),
}

impl Servers {
    /// Starts both in a folder, and waits until they are ready.
    pub async fn start(programs: &Path, folder: &Path, env: &Env, tasks: &Tasks) -> Self {
        let tokens = folder.join("tokens.csv");
        std::fs::write(&tokens, format!("{TOKEN},oracle-admin,1,\"system:masters\"\n")).expect("written");
        let (etcd, client_port) = etcd(programs, folder);
        let (kube, port) = kube_apiserver(programs, folder, client_port);
        let own = folder.join("sampan");
        std::fs::create_dir(&own).expect("a folder");
        let config = own.join("config.yaml");
        let text = format!(
            "serviceCIDR: 10.96.0.0/16\nallowPrivileged: false\nauthentication: {{staticTokenFile: \"{}\", anonymous: true}}\n",
            tokens.display()
        );
        std::fs::write(&config, text).expect("written");
        let sampan = Sampan::up(&own, &["--components", "apiserver", "--config", &config.to_string_lossy()]);
        let client = |server: String| {
            let config = RemoteConfig {
                server,
                ca: Some(CertificateAuthority::Insecure),
                credentials: Credentials::Token(TOKEN.to_owned()),
                tls_server_name: None,
            };
            Client::remote(config, "oracle/1.0", env, tasks).expect("a client").with_request_timeout(ANSWER_TIMEOUT)
        };
        let ours = client(sampan.server.clone());
        let theirs = client(format!("https://127.0.0.1:{port}"));
        let servers = Self { ours, theirs, _running: (sampan, kube, etcd) };
        let end = now() + PATIENCE;
        while !servers.ready().await {
            let log = || std::fs::read_to_string(folder.join("kube-apiserver.log")).unwrap_or_default();
            assert!(now() < end, "kube-apiserver is not ready: {}", log());
            env.sleep(Duration::from_millis(100)).await;
        }
        servers
    }

    async fn ready(&self) -> bool {
        let request = Request::builder().method(Method::GET).uri("/readyz").body(Bytes::new()).expect("a request");
        self.theirs.request_bytes(request).await.is_ok_and(|text| text == "ok")
    }

    /// The answers of ours and theirs to two requests, one each, made at the same time.
    pub async fn ask(&self, ours: Request<Bytes>, theirs: Request<Bytes>) -> [Answer; 2] {
        let (ours, theirs) = futures::future::join(ask(&self.ours, ours), ask(&self.theirs, theirs)).await;
        [ours, theirs]
    }

    /// Theirs alone.
    pub async fn ask_theirs(&self, request: Request<Bytes>) -> Answer {
        ask(&self.theirs, request).await
    }
}

/// etcd, and its clients' port.
fn etcd(programs: &Path, folder: &Path) -> (Process, u16) {
    let (client, peer) = (free_port(), free_port());
    let (client_url, peer_url) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(programs.join("etcd"));
    command.arg("--data-dir").arg(folder.join("etcd")).args(["--log-level", "warn", "--unsafe-no-fsync"]);
    command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
    command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
    command.args(["--initial-cluster", &format!("default={peer_url}")]);
    (Process::start(&mut command, &folder.join("etcd.log")), client)
}

/// kube-apiserver over etcd, and its port.
fn kube_apiserver(programs: &Path, folder: &Path, etcd: u16) -> (Process, u16) {
    let port = free_port();
    let keys = sampan_testing::tls::signing_key();
    let (private, public) = (folder.join("sa.key"), folder.join("sa.pub"));
    std::fs::write(&private, keys.private_pem).expect("written");
    std::fs::write(&public, keys.public_pem).expect("written");
    let mut command = Command::new(programs.join("kube-apiserver"));
    command.arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"));
    command.arg(format!("--secure-port={port}")).arg(format!("--cert-dir={}", folder.join("certificates").display()));
    command.arg(format!("--token-auth-file={}", folder.join("tokens.csv").display()));
    command.arg(format!("--service-account-signing-key-file={}", private.display()));
    command.arg(format!("--service-account-key-file={}", public.display()));
    command.args([
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--allow-privileged=false",
        "--enable-admission-plugins=NodeRestriction",
    ]);
    (Process::start(&mut command, &folder.join("kube-apiserver.log")), port)
}
