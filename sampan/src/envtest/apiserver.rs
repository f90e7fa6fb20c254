//! `kube-apiserver`: the API server alone, without controllers, scheduler and node, told by the flags that envtest passes.

use super::flags::{Flags, Known, asked};
use crate::cluster::Cluster;
use crate::config::{AuthorizationMode, ClusterFlags, Config, ServerFlags, TlsFiles};
use anyhow::{Context, bail};
use sampan_admission::{PluginConfiguration, Selection};
use sampan_env::Env;
use sampan_node::address::Block;
use sampan_registry::RuntimeConfig;
use sampan_schema::gates::Gates;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const fn value(name: &'static str, help: &'static str) -> Known {
    Known { name, help, truth: false }
}

const fn truth(name: &'static str, help: &'static str) -> Known {
    Known { name, help, truth: true }
}

const KNOWN: &[Known] = &[
    value("bind-address", "address to listen on"),
    value("advertise-address", "taken, and not needed: nothing is behind the API's own Service"),
    value("secure-port", "port to listen on"),
    value("cert-dir", "folder of apiserver.crt and apiserver.key; the log is kept beside them"),
    value("tls-cert-file", "the server's certificate, in place of the one in --cert-dir"),
    value("tls-private-key-file", "its key"),
    value("client-ca-file", "authorities of clients' certificates"),
    value("token-auth-file", "static tokens"),
    truth("anonymous-auth", "whether requests without credentials are asked about as system:anonymous"),
    value(
        "authorization-mode",
        "of Node, RBAC and AlwaysAllow (which turns anonymous-auth off), those that are asked, in their order; Node,RBAC by default",
    ),
    value("service-account-issuer", "issuer of service accounts' tokens"),
    value("service-account-signing-key-file", "key that signs them"),
    value("service-account-key-file", "further keys by which they are verified"),
    value("api-audiences", "audiences that the server is; none: the issuer"),
    value("service-cluster-ip-range", "addresses of Services"),
    value("service-node-port-range", "ports of Services on nodes"),
    truth("allow-privileged", "whether containers may be privileged"),
    value("enable-admission-plugins", "plugins beside those that act by default"),
    value("disable-admission-plugins", "plugins that do not act"),
    value("admission-control-config-file", "what plugins are told, as an AdmissionConfiguration"),
    value("feature-gates", "features, on or off"),
    value("runtime-config", "versions and resources that are served or not: api/beta=true"),
    value("event-ttl", "how long events live after their last write: 1h"),
    value("etcd-servers", "taken, and not needed: the log is kept in --cert-dir"),
    value("etcd-prefix", "taken, and not needed"),
    value("etcd-cafile", "taken, and not needed"),
    value("etcd-certfile", "taken, and not needed"),
    value("etcd-keyfile", "taken, and not needed"),
    value("storage-backend", "taken, and not needed"),
    value("delete-collection-workers", "taken, and does nothing: objects are deleted in turn"),
    value("max-requests-inflight", "taken, and does nothing: 600 requests are worked on at a time, of both sorts"),
    value("max-mutating-requests-inflight", "taken, and does nothing: see --max-requests-inflight"),
    value("request-timeout", "taken, and does nothing: a request is answered within a minute"),
    value("min-request-timeout", "taken, and does nothing: a watch lasts 30 to 60 minutes"),
    truth("watch-cache", "taken, and does nothing: the current state is always in memory"),
    value("default-watch-cache-size", "taken, and does nothing"),
    value("watch-cache-sizes", "taken, and does nothing"),
    truth("profiling", "taken, and does nothing: no profiles are served"),
    value("audit-log-path", "taken, and does nothing: no audit log is written"),
    value("audit-log-format", "taken, and does nothing: no audit log is written"),
    value("audit-log-maxage", "taken, and does nothing: no audit log is written"),
    value("audit-log-maxbackup", "taken, and does nothing: no audit log is written"),
    value("audit-log-maxsize", "taken, and does nothing: no audit log is written"),
    value("audit-policy-file", "taken, and does nothing: no audit log is written"),
    truth(
        "enable-aggregator-routing",
        "taken, and does nothing: APIServices are reached by their Service's external name",
    ),
    value("requestheader-client-ca-file", "taken, and does nothing: no front proxy is believed"),
    value("requestheader-allowed-names", "taken, and does nothing: no front proxy is believed"),
    value("requestheader-username-headers", "taken, and does nothing: no front proxy is believed"),
    value("requestheader-uid-headers", "taken, and does nothing: no front proxy is believed"),
    value("requestheader-group-headers", "taken, and does nothing: no front proxy is believed"),
    value("requestheader-extra-headers-prefix", "taken, and does nothing: no front proxy is believed"),
    value(
        "proxy-client-cert-file",
        "taken, and does nothing: aggregated servers see a certificate of the cluster's own",
    ),
    value("proxy-client-key-file", "taken, and does nothing: see --proxy-client-cert-file"),
    truth("service-account-lookup", "taken, and not needed: tokens always end with what they are bound to"),
    value("endpoint-reconciler-type", "taken, and not needed: there is one server"),
    truth("enable-garbage-collector", "taken, and not needed: owners are kept as they are written"),
    truth("enable-priority-and-fairness", "taken, and does nothing: it always acts"),
    value("goaway-chance", "taken, and does nothing: no connection is ended for balance"),
    value("kubelet-preferred-address-types", "taken, and not needed: there are no nodes"),
    value("kubelet-certificate-authority", "taken, and not needed: there are no nodes"),
    value("kubelet-client-certificate", "taken, and not needed: there are no nodes"),
    value("kubelet-client-key", "taken, and not needed: there are no nodes"),
    value("storage-media-type", "taken, and not needed: what is stored is nobody else's"),
    value("logging-format", "taken, and does nothing: logs are text"),
    value("v", "taken, and does nothing: errors and warnings are logged"),
    value("vmodule", "taken, and does nothing: errors and warnings are logged"),
    truth("logtostderr", "taken, and not needed"),
];

/// Runs the API server until it is told to end.
pub async fn run(arguments: &[String], env: &Env) -> anyhow::Result<()> {
    let version = format!("Kubernetes {}", crate::cluster::VERSION);
    if let Some(text) = asked("kube-apiserver", &version, KNOWN, arguments) {
        return sampan_cli::session::say(&text);
    }
    let config = config(&Flags::read(arguments, KNOWN)?)?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cluster = Cluster::start(&config, env, &|_| ()).await?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    cluster.drain().await;
    Ok(())
}

fn config(flags: &Flags) -> anyhow::Result<Config> {
    let folder = flags.get("cert-dir").map_or_else(|| PathBuf::from("/var/run/kubernetes"), PathBuf::from);
    let port =
        flags.get("secure-port").map(|text| text.parse::<u16>().with_context(|| format!("--secure-port: {text}")));
    let bind = flags.get("bind-address").unwrap_or("0.0.0.0");
    // As for any server; what kube-apiserver's flags say differs below.
    let mut config = Config::resolve(&ServerFlags {
        cluster: ClusterFlags { name: None, data_dir: Some(folder.join("log")) },
        bind: bind.parse::<IpAddr>().with_context(|| format!("--bind-address: {bind}"))?,
        port: Some(port.transpose()?.unwrap_or(crate::config::PORT_DEFAULT)),
        kubeconfig: None,
        config: None,
        components: vec!["apiserver".into()],
        node_name: None,
        log: String::new(),
    })?;
    let modes = flags.list("authorization-mode");
    if !modes.is_empty() {
        config.authorization = modes.iter().map(|mode| authorization(mode)).collect::<anyhow::Result<_>>()?;
    }
    if let Some(range) = flags.get("service-cluster-ip-range") {
        // Nothing listens there: servers beside each other may have the same.
        config.shares_addresses = true;
        let first = range.split(',').next().unwrap_or_default();
        let network = Block::parse(first).filter(|block| (8..=30).contains(&block.prefix()));
        config.service_network = Some(network.with_context(|| format!("--service-cluster-ip-range: {range}"))?);
    }
    if let Some(text) = flags.get("service-node-port-range") {
        let ports = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        config.node_ports = ports.with_context(|| format!("--service-node-port-range: {text}"))?;
    }
    config.allow_privileged = flags.get("allow-privileged") != Some("false");
    // Who is nobody may not do everything: kube-apiserver resets the flag too (pkg/kubeapiserver/options/authentication.go).
    let allows_all = config.authorization.contains(&AuthorizationMode::AlwaysAllow);
    config.authentication.anonymous = !allows_all && flags.get("anonymous-auth") != Some("false");
    config.authentication.static_token_file = flags.get("token-auth-file").map(PathBuf::from);
    admission(&mut config, flags)?;
    config.runtime = RuntimeConfig::new(&truths(flags, "runtime-config", Some(true))?)
        .map_err(|problems| anyhow::anyhow!("--runtime-config: {}", problems.join("; ")))?;
    if let Some(text) = flags.get("event-ttl") {
        config.runtime = config.runtime.living_for(positive("event-ttl", text)?);
    }
    config.gates = Gates::with(&truths(flags, "feature-gates", None)?).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("--feature-gates: {}", texts.join("; "))
    })?;
    if let Some(issuer) = flags.get("service-account-issuer") {
        if let Some(problem) = crate::issuer::problem(issuer) {
            bail!("--service-account-issuer: {problem}");
        }
        config.service_account_issuer = issuer.to_owned();
    }
    config.authentication.api_audiences = flags.list("api-audiences");
    config.token_key = flags.get("service-account-signing-key-file").map(PathBuf::from);
    let key_files = flags.list("service-account-key-file").into_iter().map(PathBuf::from);
    config.authentication.service_account_key_files = key_files.collect();
    config.tls = Some(tls(flags, &folder)?);
    Ok(config)
}

fn authorization(mode: &str) -> anyhow::Result<AuthorizationMode> {
    AuthorizationMode::of(mode)
        .with_context(|| format!("--authorization-mode={mode} is not built: Node, RBAC and AlwaysAllow are"))
}

/// A duration as Go writes it, of a second and more.
fn positive(flag: &str, text: &str) -> anyhow::Result<Duration> {
    let nanos = sampan_schema::parse_duration(text).map_err(|error| anyhow::anyhow!("--{flag}: {error}"))?;
    let duration = Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
    if duration < Duration::from_secs(1) {
        bail!("--{flag}={text}: it is a second or more");
    }
    Ok(duration)
}

/// `apiserver.config.k8s.io/v1` AdmissionConfiguration.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AdmissionConfiguration {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    plugins: Vec<PluginConfiguration>,
}

fn admission(config: &mut Config, flags: &Flags) -> anyhow::Result<()> {
    let all = |problems: Vec<String>| anyhow::Error::msg(problems.join("; "));
    config.admission =
        Selection::new(&flags.list("enable-admission-plugins"), &flags.list("disable-admission-plugins"))
            .map_err(all)?;
    let mut plugins = Vec::new();
    if let Some(path) = flags.get("admission-control-config-file") {
        let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
        let file: AdmissionConfiguration = serde_saphyr::from_str(&text).with_context(|| path.to_owned())?;
        plugins = file.plugins;
    }
    config.admission_plugins = config.admission.configured(&plugins).map_err(all)?;
    Ok(())
}

/// A list of `NAME=true`, of which a name alone may stand for one.
fn truths(flags: &Flags, flag: &str, alone: Option<bool>) -> anyhow::Result<BTreeMap<String, bool>> {
    let read = |one: &String| {
        let (name, text) = one.split_once('=').unwrap_or((one, ""));
        let on = match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Some(true),
            "false" | "f" | "0" => Some(false),
            "" => alone,
            _ => None,
        };
        Ok((name.to_owned(), on.with_context(|| format!("--{flag}: {one}: it is NAME=true or NAME=false"))?))
    };
    flags.list(flag).iter().map(read).collect()
}

fn tls(flags: &Flags, folder: &Path) -> anyhow::Result<TlsFiles> {
    let own = |flag: &str, file: &str| {
        let path = flags.get(flag).map_or_else(|| folder.join(file), PathBuf::from);
        path.exists().then_some(path)
    };
    let pair = own("tls-cert-file", "apiserver.crt").zip(own("tls-private-key-file", "apiserver.key"));
    if pair.is_none() && flags.get("tls-cert-file").is_some() {
        bail!("--tls-cert-file and --tls-private-key-file: both must be there");
    }
    Ok(TlsFiles { pair, client_ca: flags.get("client-ca-file").map(PathBuf::from) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_api::UserInfo;
    use sampan_api::k8s::api::core::v1::Namespace;
    use sampan_client::ListParams;
    use serde_json::json;

    fn of(line: &str) -> anyhow::Result<Config> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        config(&Flags::read(&words, KNOWN)?)
    }

    #[test]
    fn what_envtest_passes_is_understood() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().display();
        for file in ["apiserver.crt", "apiserver.key"] {
            std::fs::write(folder.path().join(file), "").expect("written");
        }
        let config = of(&format!(
            "--allow-privileged=true --authorization-mode=RBAC --bind-address=127.0.0.1 --cert-dir={dir} \
             --client-ca-file={dir}/client-cert-auth-ca.crt --disable-admission-plugins=ServiceAccount \
             --etcd-servers=http://127.0.0.1:2379 --secure-port=45123 --service-account-issuer=https://127.0.0.1:45123/ \
             --service-account-key-file={dir}/sa-signer.crt --service-account-signing-key-file={dir}/sa-signer.key \
             --service-cluster-ip-range=10.0.0.0/24 --feature-gates=AllBeta=false \
             --runtime-config=api/alpha=false,networking.k8s.io/v1beta1 --api-audiences=api,https://api.example.com"
        ))
        .expect("understood");
        let served = [("api/alpha".to_owned(), false), ("networking.k8s.io/v1beta1".to_owned(), true)];
        assert_eq!(config.runtime, RuntimeConfig::new(&served.into()).expect("known"));
        assert_eq!((config.port, config.bind.to_string()), (Some(45123), "127.0.0.1".to_owned()));
        assert_eq!(config.service_network.map(|block| block.to_string()).as_deref(), Some("10.0.0.0/24"));
        assert!(config.shares_addresses && !config.components.controllers && !config.components.node);
        assert_eq!(config.service_account_issuer, "https://127.0.0.1:45123/");
        assert_eq!(config.authentication.api_audiences, ["api", "https://api.example.com"]);
        let tls = config.tls.expect("certificates");
        assert!(tls.pair.is_some() && tls.client_ca.is_some() && config.token_key.is_some());
    }

    #[test]
    fn flags_that_people_append_are_taken() {
        let config = of("--authorization-mode=AlwaysAllow --event-ttl=5m --max-requests-inflight=1000 \
             --max-mutating-requests-inflight=500 --watch-cache=false --default-watch-cache-size=100 --vmodule=a=9 --v=4 \
             --profiling=false --request-timeout=1m --min-request-timeout=300 --audit-log-path=- --audit-policy-file=a \
             --enable-aggregator-routing=true --requestheader-client-ca-file=a --requestheader-allowed-names=a \
             --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
             --requestheader-extra-headers-prefix=X-Remote-Extra- --proxy-client-cert-file=a --proxy-client-key-file=a \
             --service-account-lookup=true --etcd-cafile=a --etcd-certfile=a --etcd-keyfile=a --delete-collection-workers=2")
        .expect("taken");
        assert_eq!(config.authorization, [AuthorizationMode::AlwaysAllow]);
        assert!(!config.authentication.anonymous, "who is nobody may not do everything");
        assert_eq!(config.runtime, RuntimeConfig::default().living_for(Duration::from_secs(300)));
        assert_eq!(of("").expect("none").authorization, AuthorizationMode::DEFAULT);
        // Each says whether it acts.
        let help = super::super::flags::help("kube-apiserver", KNOWN);
        for part in ["--watch-cache\n        taken, and does nothing", "--event-ttl\n        how long"] {
            assert!(help.contains(part), "{part:?} is not in {help}");
        }
    }

    /// What somebody without rights is told.
    #[tokio::test(flavor = "multi_thread")]
    async fn authorization_is_as_its_modes_say() {
        for (modes, expected) in [("RBAC", 403), ("Node,RBAC", 403), ("RBAC,AlwaysAllow", 200), ("AlwaysAllow", 200)] {
            let folder = tempfile::tempdir().expect("a folder");
            let line = "--secure-port=0 --bind-address=127.0.0.1 --event-ttl=5m";
            let config = of(&format!("{line} --cert-dir={} --authorization-mode={modes}", folder.path().display()));
            let cluster = Cluster::start(&config.expect("taken"), &Env::system(), &|_| ()).await.expect("it starts");
            let ann = cluster.client(UserInfo::new("ann", ["staff"]), "test");
            let found = ann.all::<Namespace>().list(&ListParams::default()).await;
            assert_eq!(found.map_or_else(|error| error.code(), |_| 200), expected, "{modes}");
            let order = json!({"metadata": {}, "spec": {"namespace": "default"}}).to_string();
            let review = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews")
                .header("content-type", "application/json")
                .body(order.into())
                .expect("a request");
            let rules: serde_json::Value = ann.request(review).await.expect("an answer");
            let everything = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
            let listed = rules["status"]["resourceRules"].as_array().is_some_and(|rules| rules.contains(&everything));
            assert_eq!(listed, expected == 200, "{modes}: {rules}");
            cluster.drain().await;
        }
    }

    #[test]
    fn what_is_not_built_is_said() {
        let check = |line: &str, part: &str| {
            let error = format!("{:#}", of(line).expect_err(line));
            assert!(error.contains(part), "{line}: {error}");
        };
        check("--authorization-mode=RBAC,Webhook", "Webhook is not built");
        check("--event-ttl=0s", "a second or more");
        check("--event-ttl=1", "missing unit");
        check("--insecure-port=0", "unknown flag: --insecure-port");
        check("--service-cluster-ip-range=fd00::/108", "--service-cluster-ip-range");
        check("--disable-admission-plugins=Nope", "Nope");
        check("--feature-gates=Nope=true", "Nope");
        check("--feature-gates=AllBeta=maybe", "NAME=true or NAME=false");
        check("--runtime-config=nope.k8s.io/v1=true", "unknown api groups nope.k8s.io");
        check("--service-account-issuer=1:a", "was not a valid URL");
        check("--tls-cert-file=/no/such", "both must be there");
        check("--admission-control-config-file=/no/such", "/no/such");
    }
}
