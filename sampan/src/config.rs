//! The configuration of a server: flags over the file over the defaults. Validated whole, read once, passed down.

use crate::data_dir::DataDir;
use crate::{issuer, ranges};
use sampan_admission::{Configurations, PluginConfiguration};
use sampan_auth::service_account::ISSUER_DEFAULT;
use sampan_node::address::Block;
use sampan_registry::RuntimeConfig;
use sampan_schema::gates::Gates;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A node's blocks have 254 pods each, and the pods' range holds 8,192 of them.
pub const NODE_CIDR_MASK_SIZE_DEFAULT: u8 = 24;
/// The API's port where no flag names one, and it is free.
pub const PORT_DEFAULT: u16 = 6443;

/// The name of a cluster on its host: `sampan`, or the name that `--name` gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterName(Option<String>);

impl ClusterName {
    /// The name of `--name`; `None`: it was not given.
    pub fn new(name: Option<&str>) -> Self {
        Self(name.map(str::to_owned))
    }

    /// Its context in a kubeconfig, and its folder: `sampan`, or `sampan-<name>`.
    pub fn context(&self) -> String {
        self.0.as_ref().map_or_else(|| "sampan".into(), |name| format!("sampan-{name}"))
    }

    /// Whether it was given a name.
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// The index at which the search for a free part of a range begins: 0 for a cluster without a name, another for
    /// each name, so that clusters find their former parts free.
    pub fn first_part(&self) -> u64 {
        // FNV-1a: the same on every machine and in every version.
        self.0.as_ref().map_or(0, |name| {
            name.bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        })
    }
}

/// The file that `--config` names. Unknown keys are an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FileConfig {
    /// Addresses of Services, IPv4. None: a part of this host's range for them that no other cluster has.
    #[serde(rename = "serviceCIDR")]
    pub service_cidr: Option<String>,
    /// `30000-32767`
    pub node_port_range: String,
    /// Size of the blocks of the pods' range that a node gets as pods come.
    #[serde(rename = "nodeCIDRMaskSize")]
    pub node_cidr_mask_size: u8,
    pub authentication: Authentication,
    /// The issuer of service accounts' tokens, and the audience that the API server is.
    pub service_account_issuer: String,
    /// Images that stand for others: a well-known pause image for an embedded one.
    pub image_aliases: HashMap<String, String>,
    /// Whether containers may be `privileged`, as kubeadm and k3s let them be.
    pub allow_privileged: bool,
    /// The admission plugins that act.
    pub admission: Admission,
    /// Kubernetes' features by their names, on or off; v1.35's defaults for those that are not named.
    pub feature_gates: BTreeMap<String, bool>,
    /// Versions and resources that are served or not, as kube-apiserver's `--runtime-config` has them.
    pub runtime_config: BTreeMap<String, bool>,
}

/// Admission plugins by their names, as kube-apiserver's `--enable-admission-plugins` and its counterpart have them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Admission {
    /// Plugins that act beside those that do by default.
    pub enable: Vec<String>,
    /// Plugins that do not act.
    pub disable: Vec<String>,
    /// What plugins are told, in the form of Kubernetes' AdmissionConfiguration.
    pub plugins: Vec<PluginConfiguration>,
}

impl Admission {
    fn select(&self, problems: &mut Vec<String>) -> (sampan_admission::Selection, Configurations) {
        let chosen = sampan_admission::Selection::new(&self.enable, &self.disable).unwrap_or_else(|wrong| {
            problems.extend(wrong);
            Default::default()
        });
        let told = chosen.configured(&self.plugins).unwrap_or_else(|wrong| {
            problems.extend(wrong.iter().map(|problem| format!("admission.plugins: {problem}")));
            Configurations::default()
        });
        (chosen, told)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Authentication {
    /// kube-apiserver's format: `token,user,uid,"group,group"` a line.
    pub static_token_file: Option<PathBuf>,
    /// Further keys by which service accounts' tokens are verified: PEM files of public keys, private ones or certificates.
    pub service_account_key_files: Vec<PathBuf>,
    /// The audiences that the API server is, as kube-apiserver's `--api-audiences` has them; none: the issuer.
    pub api_audiences: Vec<String>,
    /// Requests without credentials go on as `system:anonymous`, and authorization decides; otherwise only health is open.
    pub anonymous: bool,
}

impl FileConfig {
    /// The features that are on, and the versions and resources that are served.
    fn served(&self, problems: &mut Vec<String>) -> (Gates, RuntimeConfig) {
        let gates = Gates::with(&self.feature_gates).unwrap_or_else(|errors| {
            problems.extend(errors.iter().map(|error| format!("featureGates: {error}")));
            Gates::default()
        });
        let runtime = RuntimeConfig::new(&self.runtime_config).unwrap_or_else(|wrong| {
            problems.extend(wrong.iter().map(|problem| format!("runtimeConfig: {problem}")));
            RuntimeConfig::default()
        });
        (gates, runtime)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let problem = |error: String| ConfigError(vec![format!("{}: {error}", path.display())]);
        let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
        serde_saphyr::from_str(&text).map_err(|error| problem(error.to_string()))
    }
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            service_cidr: None,
            node_port_range: "30000-32767".into(),
            node_cidr_mask_size: NODE_CIDR_MASK_SIZE_DEFAULT,
            authentication: Authentication::default(),
            service_account_issuer: ISSUER_DEFAULT.into(),
            image_aliases: HashMap::new(),
            allow_privileged: true,
            admission: Admission::default(),
            feature_gates: BTreeMap::new(),
            runtime_config: BTreeMap::new(),
        }
    }
}

/// Who decides what an identity may do: kube-apiserver's `--authorization-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationMode {
    /// What nodes need.
    Node,
    /// The cluster's roles.
    Rbac,
    /// Everything, to everybody.
    AlwaysAllow,
}

impl AuthorizationMode {
    /// Those of a cluster that nobody tells otherwise, in the order in which they are asked.
    pub const DEFAULT: [Self; 2] = [Self::Node, Self::Rbac];

    /// The mode of that name in Kubernetes.
    pub fn of(name: &str) -> Option<Self> {
        [("Node", Self::Node), ("RBAC", Self::Rbac), ("AlwaysAllow", Self::AlwaysAllow)]
            .into_iter()
            .find_map(|(known, mode)| (known == name).then_some(mode))
    }
}

/// The parts that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Components {
    pub controllers: bool,
    pub scheduler: bool,
    pub node: bool,
}

/// Everything, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name on its host.
    pub name: ClusterName,
    /// The directory of its state.
    pub data_dir: PathBuf,
    /// Address that the API listens on.
    pub bind: IpAddr,
    /// None: [`PORT_DEFAULT`], or a free one where that is taken.
    pub port: Option<u16>,
    pub kubeconfig: Option<PathBuf>,
    /// The parts that run.
    pub components: Components,
    /// Name of this host's node.
    pub node_name: String,
    /// The Services' range that the file names.
    pub service_network: Option<Block>,
    /// First and last node port.
    pub node_ports: (u16, u16),
    /// The prefix of a node's blocks.
    pub node_prefix: u8,
    pub authentication: Authentication,
    /// Who decides what an identity may do, in the order in which they are asked.
    pub authorization: Vec<AuthorizationMode>,
    /// The issuer of service accounts' tokens.
    pub service_account_issuer: String,
    pub image_aliases: HashMap<String, String>,
    pub allow_privileged: bool,
    /// The admission plugins that act.
    pub admission: sampan_admission::Selection,
    /// What they are told.
    pub admission_plugins: Configurations,
    /// The features that are on.
    pub gates: Gates,
    /// The versions and resources that are served.
    pub runtime: RuntimeConfig,
    /// The server's certificate and the authority of clients' ones, where others made them.
    pub tls: Option<TlsFiles>,
    /// The key that signs service accounts' tokens, where others made it.
    pub token_key: Option<PathBuf>,
    /// Other clusters of this host may have the same addresses: nothing of this one has any.
    pub shares_addresses: bool,
}

impl Config {
    /// The authorities of clients' certificates beside the cluster's own.
    pub fn client_ca(&self) -> Option<&Path> {
        self.tls.as_ref()?.client_ca.as_deref()
    }
}

/// Certificates that others made.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate and its key; `None`: the cluster's own.
    pub pair: Option<(PathBuf, PathBuf)>,
    /// Authorities of clients' certificates, beside the cluster's own.
    pub client_ca: Option<PathBuf>,
}

/// Which cluster of this host, by its state.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClusterFlags {
    /// Name of the cluster, for several on one host: its context is sampan-NAME, and so is its data directory
    #[arg(long = "name", id = "cluster", value_name = "NAME", value_parser = cluster_name)]
    pub name: Option<String>,
    /// Where the cluster's state lives [default: $XDG_DATA_HOME/sampan, else ~/.local/share/sampan; as root /var/lib/sampan]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl ClusterFlags {
    /// Its name on this host.
    pub fn cluster(&self) -> ClusterName {
        ClusterName::new(self.name.as_deref())
    }

    /// The directory of its state.
    pub fn directory(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| default_data_dir(&self.cluster()))
    }

    /// The flags that name this cluster again, each with a space before it.
    pub fn repeated(&self) -> String {
        let name = self.name.iter().map(|name| format!(" --name {name}"));
        let data_dir = self.data_dir.iter().map(|path| format!(" --data-dir {}", path.display()));
        name.chain(data_dir).collect()
    }
}

/// The flags that `up` shares with a server.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerFlags {
    #[command(flatten)]
    pub cluster: ClusterFlags,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// Port of the API; 0 picks a free one [default: 6443, or a free one where that is taken]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Write the kubeconfig to this file instead of merging it into yours
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Parts to run, of apiserver, controllers, scheduler, node
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values = ["apiserver", "controllers", "scheduler", "node"])]
    pub components: Vec<String>,
    /// Name of this node [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// What to log: error, warn, info, debug, or a filter such as sampan_registry=debug
    #[arg(long, value_name = "LEVEL", default_value = "warn", value_parser = log_filter)]
    pub log: String,
}

/// A filter that can be read; one that cannot would hide what it was to show.
fn log_filter(text: &str) -> Result<String, String> {
    let read = tracing_subscriber::EnvFilter::try_new(text);
    read.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// All that is wrong, at once.
#[derive(Debug)]
pub struct ConfigError(pub Vec<String>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    pub fn resolve(flags: &ServerFlags) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let file = flags.config.as_deref().map_or_else(|| Ok(FileConfig::default()), FileConfig::read)?;
        let components = components(&flags.components, &mut problems);
        if !flags.components.iter().any(|name| name == "apiserver") {
            problems
                .push("--components: apiserver must be among them: parts on their own cannot join a server yet".into());
        }
        let service_network = file.service_cidr.as_deref().and_then(|text| {
            let network = parse_network(text);
            match &network {
                None => problems.push(format!("serviceCIDR: {text:?} is no IPv4 range of at least four addresses")),
                Some(network) if network.overlaps(&ranges::range(ranges::PODS)) => {
                    let pods = ranges::range(ranges::PODS);
                    problems.push(format!("serviceCIDR: {text:?} overlaps {pods}, where pods have their addresses"));
                }
                Some(_) => {}
            }
            network
        });
        let node_ports = parse_ports(&file.node_port_range).unwrap_or_else(|| {
            problems.push(format!("nodePortRange: {:?} is not FIRST-LAST", file.node_port_range));
            (0, 0)
        });
        if !(13..=28).contains(&file.node_cidr_mask_size) {
            problems.push(format!("nodeCIDRMaskSize: {} is not between 13 and 28", file.node_cidr_mask_size));
        }
        let issuer = issuer::problem(&file.service_account_issuer);
        problems.extend(issuer.map(|problem| format!("serviceAccountIssuer: {problem}")));
        let (admission, admission_plugins) = file.admission.select(&mut problems);
        let (gates, runtime) = file.served(&mut problems);
        let node_name = flags.node_name.clone().unwrap_or_else(host_name);
        let bad_name = sampan_api::names::dns1123_subdomain(&node_name);
        problems.extend(bad_name.into_iter().map(|problem| format!("--node-name: {node_name:?}: {problem}")));
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        Ok(Self {
            data_dir: flags.cluster.directory(),
            name: flags.cluster.cluster(),
            bind: flags.bind,
            port: flags.port,
            kubeconfig: flags.kubeconfig.clone(),
            components,
            node_name,
            service_network,
            node_ports,
            node_prefix: file.node_cidr_mask_size,
            authentication: file.authentication,
            authorization: AuthorizationMode::DEFAULT.to_vec(),
            service_account_issuer: file.service_account_issuer,
            image_aliases: file.image_aliases,
            allow_privileged: file.allow_privileged,
            admission,
            admission_plugins,
            gates,
            runtime,
            tls: None,
            token_key: None,
            shares_addresses: false,
        })
    }
}

#[cfg(test)]
impl Config {
    /// The API server alone, on a free port, with its state in `folder`.
    pub fn of_tests(folder: &Path) -> Self {
        Self {
            name: Default::default(),
            data_dir: folder.to_owned(),
            bind: std::net::Ipv4Addr::LOCALHOST.into(),
            port: Some(0),
            kubeconfig: None,
            components: Components { controllers: false, scheduler: false, node: false },
            node_name: "n".into(),
            service_network: None,
            node_ports: (30000, 32767),
            node_prefix: 24,
            authentication: Authentication::default(),
            authorization: AuthorizationMode::DEFAULT.to_vec(),
            service_account_issuer: ISSUER_DEFAULT.into(),
            image_aliases: Default::default(),
            allow_privileged: true,
            admission: Default::default(),
            admission_plugins: Default::default(),
            gates: Default::default(),
            runtime: Default::default(),
            tls: None,
            token_key: None,
            shares_addresses: false,
        }
    }
}

fn components(names: &[String], problems: &mut Vec<String>) -> Components {
    let mut components = Components { controllers: false, scheduler: false, node: false };
    for name in names {
        match name.as_str() {
            "apiserver" => {}
            "controllers" => components.controllers = true,
            "scheduler" => components.scheduler = true,
            "node" => components.node = true,
            other => {
                problems.push(format!("--components: {other:?} is none of apiserver, controllers, scheduler, node"));
            }
        }
    }
    components
}

/// A name that may be part of a context's and a folder's.
pub fn cluster_name(text: &str) -> Result<String, String> {
    match sampan_api::names::dns1123_label(text).as_slice() {
        [] => Ok(text.to_owned()),
        problems => Err(problems.join("; ")),
    }
}

fn parse_network(text: &str) -> Option<Block> {
    Block::parse(text).filter(|block| (8..=30).contains(&block.prefix()))
}

fn parse_ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

/// The host's name.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_lowercase();
    if name.is_empty() { "localhost".into() } else { name }
}

/// `$XDG_DATA_HOME/sampan`, `~/.local/share/sampan`, as root `/var/lib/sampan`; of a cluster with a name
/// `.../sampan-<name>`.
pub fn default_data_dir(name: &ClusterName) -> PathBuf {
    let folder = name.context();
    if let Some(data) = std::env::var_os("XDG_DATA_HOME").filter(|data| !data.is_empty()) {
        return PathBuf::from(data).join(folder);
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match home {
        Some(home) if home != std::path::Path::new("/root") => home.join(".local/share").join(folder),
        _ => PathBuf::from("/var/lib").join(folder),
    }
}

/// The names of the clusters that this host has beside the one without a name.
///
/// # Errors
/// The folder of their data directories cannot be read.
pub fn clusters() -> std::io::Result<Vec<String>> {
    default_data_dir(&ClusterName::default()).parent().map_or_else(|| Ok(Vec::new()), clusters_in)
}

fn clusters_in(folder: &Path) -> std::io::Result<Vec<String>> {
    let prefix = format!("{}-", ClusterName::default().context());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let root = entry?.path();
        let file = root.file_name().and_then(|file| file.to_str());
        let Some(name) = file.and_then(|file| file.strip_prefix(prefix.as_str())).map(str::to_owned) else { continue };
        if cluster_name(&name).is_ok() && (DataDir { root }).has_cluster() {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        flags: ServerFlags,
    }

    fn resolve(words: &[&str], file: Option<&str>) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut flags = Flags::parse_from(std::iter::once(&"sampan").chain(words)).flags;
        if let Some(text) = file {
            let path = folder.path().join("config.yaml");
            std::fs::write(&path, text).expect("written");
            flags.config = Some(path);
        }
        Config::resolve(&flags).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_flags_and_file_come_together() {
        let config =
            resolve(&["--port", "0", "--node-name", "n1"], Some("serviceCIDR: 10.96.0.0/16\n")).expect("valid");
        assert_eq!(config.service_network.map(|block| block.to_string()).as_deref(), Some("10.96.0.0/16"));
        assert_eq!((config.port, config.node_name.as_str(), config.node_ports), (Some(0), "n1", (30000, 32767)));
        assert_eq!((config.node_prefix, config.name.context().as_str()), (24, "sampan"));
        assert!(config.components.node && config.components.scheduler);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let file = "nodePortRange: x\nadmission: {enable: [Priorty]}\n";
        let error = resolve(&["--components", "apiserver,etcd", "--node-name", "N_1"], Some(file)).expect_err("bad");
        for part in ["etcd", "--node-name", "nodePortRange", "Priorty"] {
            assert!(error.contains(part), "{error}");
        }
        let error =
            resolve(&[], Some("featureGates: {NoSuchGate: true, SidecarContainers: false}\n")).expect_err("bad");
        for part in
            ["featureGates: unrecognized feature gate: NoSuchGate", "SidecarContainers to false, feature is locked"]
        {
            assert!(error.contains(part), "{error}");
        }
        let config = resolve(&[], Some("featureGates: {ContainerStopSignals: true}\n")).expect("valid");
        assert!(config.gates.enabled("ContainerStopSignals"));
        let error = resolve(&[], Some("serviceCidr: 10.0.0.0/8\n")).expect_err("unknown key");
        assert!(error.contains("serviceCidr"), "{error}");
    }

    /// The indented block of README that stands behind `before`.
    fn readme(before: &str) -> String {
        let text = include_str!("../../README.md");
        let (_, after) = text.split_once(before).unwrap_or_else(|| panic!("README says {before:?}"));
        let lines = after.lines().skip(1).skip_while(|line| line.is_empty());
        lines.map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_configuration_that_readme_shows_is_taken_and_has_every_key() {
        let example = readme("takes YAML:");
        let config = resolve(&[], Some(&example)).expect("README's example");
        assert_eq!(config.service_network.map(|block| block.to_string()).as_deref(), Some("127.111.192.0/18"));
        assert_eq!((config.node_ports, config.node_prefix), ((30000, 32767), 24));
        assert!(config.authentication.static_token_file.is_some() && !config.image_aliases.is_empty());
        // serde says which keys there are when it is given another.
        let error = resolve(&[], Some("noSuchKey: 1\n")).expect_err("an unknown key");
        let keys = error.split_once("expected one of ").and_then(|(_, keys)| keys.lines().next());
        let keys: Vec<&str> = keys.into_iter().flat_map(|keys| keys.split(", ")).collect();
        assert!(keys.len() >= 5, "{error}");
        for key in keys {
            assert!(example.contains(&format!("{key}:")), "README's example lacks {key}");
        }
    }

    #[test]
    fn keys_are_spelled_as_they_are_documented_and_no_other_way() {
        let check = |text: &str, part: &str| {
            let error = resolve(&[], Some(text)).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        };
        for key in ["nodeCidrMaskSize", "serviceCidr", "NodePortRange", "imageAlias", "authentification"] {
            check(&format!("{key}: 1\n"), key);
        }
        check("authentication: {tokenFile: x}\n", "tokenFile");
        check("nodeCIDRMaskSize: 12\n", "nodeCIDRMaskSize: 12");
        check("serviceCIDR: 127.64.0.0/16\n", "overlaps 127.64.0.0/11");
        check("serviceCIDR: 10.0.0.0/31\n", "no IPv4 range");
        check("serviceAccountIssuer: 'https://a b'\n", "serviceAccountIssuer: \"https://a b\" contained a ':' but");
        assert_eq!(resolve(&[], Some("nodeCIDRMaskSize: 18\n")).expect("valid").node_prefix, 18);
    }

    #[test]
    fn a_named_cluster_has_a_context_and_a_folder_of_its_own() {
        let named = ClusterName::new(Some("two"));
        assert_eq!(named.context(), "sampan-two");
        assert!(default_data_dir(&named).ends_with("sampan-two"));
        assert!(default_data_dir(&ClusterName::default()).ends_with("sampan"));
        assert_eq!(ClusterName::default().first_part(), 0);
        assert_ne!(named.first_part() % 64, ClusterName::new(Some("three")).first_part() % 64);
        for bad in ["Two", "a b", "-a", ""] {
            assert!(cluster_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn clusters_are_folders_that_have_something_of_a_cluster() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["sampan/pki", "sampan-two/pki", "sampan-empty", "sampan-Bad/pki", "other-three/pki"] {
            std::fs::create_dir_all(folder.path().join(path)).expect("made");
        }
        assert_eq!(clusters_in(folder.path()).expect("readable"), ["two"]);
        assert!(clusters_in(&folder.path().join("absent")).is_err());
    }
}
