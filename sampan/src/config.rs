//! What a server is told at its start: flags over the file over the defaults. Validated whole, read once, passed down.

use serde::Deserialize;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The file that `--config` names. Unknown keys are an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FileConfig {
    /// Addresses of Services, IPv4.
    #[serde(rename = "serviceCIDR")]
    pub service_cidr: String,
    /// `30000-32767`
    pub node_port_range: String,
    /// How much of the pods' range a node gets.
    #[serde(rename = "nodeCIDRMaskSize")]
    pub node_cidr_mask_size: u8,
    pub authentication: Authentication,
    /// Images that stand for others: a well-known pause image for an embedded one.
    pub image_aliases: HashMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Authentication {
    /// kube-apiserver's format: `token,user,uid,"group,group"` a line.
    pub static_token_file: Option<PathBuf>,
    /// Requests without credentials go on as `system:anonymous`, and authorization decides; otherwise only health is open.
    pub anonymous: bool,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            service_cidr: "127.96.0.0/12".into(),
            node_port_range: "30000-32767".into(),
            node_cidr_mask_size: 18,
            authentication: Authentication::default(),
            image_aliases: HashMap::new(),
        }
    }
}

/// Which parts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Components {
    pub controllers: bool,
    pub scheduler: bool,
    pub node: bool,
}

/// Everything, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub bind: IpAddr,
    pub port: u16,
    pub kubeconfig: Option<PathBuf>,
    pub components: Components,
    pub node_name: String,
    pub service_network: (Ipv4Addr, u8),
    pub node_ports: (u16, u16),
    pub pod_network: (Ipv4Addr, u8),
    pub authentication: Authentication,
    pub image_aliases: HashMap<String, String>,
}

/// The flags that `up` shares with a server.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerFlags {
    /// Where the cluster's state lives [default: $XDG_DATA_HOME/sampan; as root /var/lib/sampan]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// Port of the API; 0 picks a free one
    #[arg(long, value_name = "N", default_value_t = 6443)]
    pub port: u16,
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
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
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
        let file = match &flags.config {
            None => FileConfig::default(),
            Some(path) => match std::fs::read_to_string(path) {
                Err(error) => return Err(ConfigError(vec![format!("{}: {error}", path.display())])),
                Ok(text) => serde_saphyr::from_str(&text)
                    .map_err(|error| ConfigError(vec![format!("{}: {error}", path.display())]))?,
            },
        };
        let mut components = Components { controllers: false, scheduler: false, node: false };
        for name in &flags.components {
            match name.as_str() {
                "apiserver" => {}
                "controllers" => components.controllers = true,
                "scheduler" => components.scheduler = true,
                "node" => components.node = true,
                other => {
                    problems.push(format!("--components: {other:?} is none of apiserver, controllers, scheduler, node"))
                }
            }
        }
        if !flags.components.iter().any(|name| name == "apiserver") {
            problems
                .push("--components: apiserver must be among them: parts on their own cannot join a server yet".into());
        }
        let service_network = parse_network(&file.service_cidr).unwrap_or_else(|| {
            problems.push(format!("serviceCIDR: {:?} is no IPv4 range of at least four addresses", file.service_cidr));
            (Ipv4Addr::LOCALHOST, 32)
        });
        let node_ports = parse_ports(&file.node_port_range).unwrap_or_else(|| {
            problems.push(format!("nodePortRange: {:?} is not FIRST-LAST", file.node_port_range));
            (0, 0)
        });
        if !(13..=28).contains(&file.node_cidr_mask_size) {
            problems.push(format!("nodeCIDRMaskSize: {} is not between 13 and 28", file.node_cidr_mask_size));
        }
        let node_name = flags.node_name.clone().unwrap_or_else(host_name);
        let bad_name = sampan_api::names::dns1123_subdomain(&node_name);
        problems.extend(bad_name.into_iter().map(|problem| format!("--node-name: {node_name:?}: {problem}")));
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        Ok(Self {
            data_dir: flags.data_dir.clone().unwrap_or_else(default_data_dir),
            bind: flags.bind,
            port: flags.port,
            kubeconfig: flags.kubeconfig.clone(),
            components,
            node_name,
            service_network,
            node_ports,
            pod_network: (Ipv4Addr::new(127, 64, 0, 0), file.node_cidr_mask_size),
            authentication: file.authentication,
            image_aliases: file.image_aliases,
        })
    }

    /// The address of the `kubernetes` Service: the first of the range.
    pub fn first_service_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.service_network.0) + 1)
    }
}

fn parse_network(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix): (Ipv4Addr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
    (8..=30).contains(&prefix).then(|| (Ipv4Addr::from(u32::from(address) & (u32::MAX << (32 - prefix))), prefix))
}

fn parse_ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

/// What this machine calls itself.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_lowercase();
    if name.is_empty() { "localhost".into() } else { name }
}

/// `$XDG_DATA_HOME/sampan`, `~/.local/share/sampan`, as root `/var/lib/sampan`.
pub fn default_data_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os("XDG_DATA_HOME").filter(|folder| !folder.is_empty()) {
        return PathBuf::from(folder).join("sampan");
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match home {
        Some(home) if home != std::path::Path::new("/root") => home.join(".local/share/sampan"),
        _ => PathBuf::from("/var/lib/sampan"),
    }
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
        assert_eq!(config.first_service_ip(), Ipv4Addr::new(10, 96, 0, 1));
        assert_eq!((config.port, config.node_name.as_str(), config.node_ports), (0, "n1", (30000, 32767)));
        assert!(config.components.node && config.components.scheduler);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let error = resolve(&["--components", "apiserver,etcd", "--node-name", "N_1"], Some("nodePortRange: x\n"))
            .expect_err("bad");
        for part in ["etcd", "--node-name", "nodePortRange"] {
            assert!(error.contains(part), "{error}");
        }
        let error = resolve(&[], Some("serviceCidr: 10.0.0.0/8\n")).expect_err("unknown key");
        assert!(error.contains("serviceCidr"), "{error}");
    }
}
