//! `kube-apiserver`: the API server alone, without controllers, scheduler and node, told by the flags that envtest passes.

use super::flags::{Flags, Known, help};
use crate::cluster::Cluster;
use crate::config::{ClusterFlags, Config, ServerFlags, TlsFiles};
use anyhow::{Context, bail};
use sampan_admission::{PluginConfiguration, Selection};
use sampan_env::Env;
use sampan_node::address::Block;
use sampan_registry::RuntimeConfig;
use sampan_schema::gates::Gates;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
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
    value("authorization-mode", "Node and RBAC; both always act"),
    value("service-account-issuer", "issuer of service accounts' tokens"),
    value("service-account-signing-key-file", "key that signs them"),
    value("service-account-key-file", "further keys by which they are verified"),
    value("api-audiences", "taken, and not needed: the audience is the issuer"),
    value("service-cluster-ip-range", "addresses of Services"),
    value("service-node-port-range", "ports of Services on nodes"),
    truth("allow-privileged", "whether containers may be privileged"),
    value("enable-admission-plugins", "plugins beside those that act by default"),
    value("disable-admission-plugins", "plugins that do not act"),
    value("admission-control-config-file", "what plugins are told, as an AdmissionConfiguration"),
    value("feature-gates", "features, on or off"),
    value("runtime-config", "versions and resources that are served or not: api/beta=true"),
    value("etcd-servers", "taken, and not needed: the log is kept in --cert-dir"),
    value("etcd-prefix", "taken, and not needed"),
    value("storage-backend", "taken, and not needed"),
    value("v", "taken, and not needed"),
    truth("logtostderr", "taken, and not needed"),
];

/// Runs the API server until it is told to end.
pub async fn run(arguments: &[String], env: &Env) -> anyhow::Result<()> {
    if arguments.iter().any(|one| matches!(one.as_str(), "--help" | "-h")) {
        return sampan_cli::session::say(&help("kube-apiserver", KNOWN));
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
    if let Some(other) = modes.iter().find(|mode| !["RBAC", "Node"].contains(&mode.as_str())) {
        bail!("--authorization-mode={other} is not built: RBAC and Node are");
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
    config.authentication.anonymous = flags.get("anonymous-auth") != Some("false");
    config.authentication.static_token_file = flags.get("token-auth-file").map(PathBuf::from);
    admission(&mut config, flags)?;
    config.runtime = RuntimeConfig::new(&truths(flags, "runtime-config", Some(true))?)
        .map_err(|problems| anyhow::anyhow!("--runtime-config: {}", problems.join("; ")))?;
    config.gates = Gates::with(&truths(flags, "feature-gates", None)?).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("--feature-gates: {}", texts.join("; "))
    })?;
    if let Some(issuer) = flags.get("service-account-issuer") {
        config.service_account_issuer = issuer.to_owned();
    }
    config.token_key = flags.get("service-account-signing-key-file").map(PathBuf::from);
    let key_files = flags.list("service-account-key-file").into_iter().map(PathBuf::from);
    config.authentication.service_account_key_files = key_files.collect();
    config.tls = Some(tls(flags, &folder)?);
    Ok(config)
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
             --runtime-config=api/alpha=false,networking.k8s.io/v1beta1"
        ))
        .expect("understood");
        let served = [("api/alpha".to_owned(), false), ("networking.k8s.io/v1beta1".to_owned(), true)];
        assert_eq!(config.runtime, RuntimeConfig::new(&served.into()).expect("known"));
        assert_eq!((config.port, config.bind.to_string()), (Some(45123), "127.0.0.1".to_owned()));
        assert_eq!(config.service_network.map(|block| block.to_string()).as_deref(), Some("10.0.0.0/24"));
        assert!(config.shares_addresses && !config.components.controllers && !config.components.node);
        assert_eq!(config.service_account_issuer, "https://127.0.0.1:45123/");
        let tls = config.tls.expect("certificates");
        assert!(tls.pair.is_some() && tls.client_ca.is_some() && config.token_key.is_some());
    }

    #[test]
    fn what_is_not_built_is_said() {
        let check = |line: &str, part: &str| {
            let error = format!("{:#}", of(line).expect_err(line));
            assert!(error.contains(part), "{line}: {error}");
        };
        check("--authorization-mode=AlwaysAllow", "AlwaysAllow is not built");
        check("--insecure-port=0", "unknown flag: --insecure-port");
        check("--service-cluster-ip-range=fd00::/108", "--service-cluster-ip-range");
        check("--disable-admission-plugins=Nope", "Nope");
        check("--feature-gates=Nope=true", "Nope");
        check("--feature-gates=AllBeta=maybe", "NAME=true or NAME=false");
        check("--runtime-config=nope.k8s.io/v1=true", "unknown api groups nope.k8s.io");
        check("--tls-cert-file=/no/such", "both must be there");
        check("--admission-control-config-file=/no/such", "/no/such");
    }
}
