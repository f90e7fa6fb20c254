//! This cluster's parts of the host's address ranges: taken at its start, and the former ones again at its next.

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::ranges::{self, ClaimedBlock, PodBlocks};
use anyhow::{Context, bail};
use sampan_env::files::{self, Durability};
use sampan_node::address::Block;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The data directory's record of the last start.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    #[serde(rename = "serviceCIDR")]
    services: Option<String>,
    /// The node's first block.
    #[serde(rename = "podCIDR")]
    pods: Option<String>,
}

/// The cluster's parts, its own until it drops them.
pub struct ClusterAddresses {
    services: ClaimedBlock,
    /// None: no node runs here, or it has taken them over.
    pods: Option<PodBlocks>,
    pod_block: Option<Block>,
}

impl ClusterAddresses {
    /// Takes the range of Services that the configuration names, else the one that the cluster had before, else a free
    /// one; and for a node the block that it had before if that is free, else a free one. A node whose block has gone to
    /// another moves: its pods get new addresses. Services cannot move, since theirs are kept in the log.
    ///
    /// # Errors
    /// The range of Services is another cluster's, nothing is free, or the record cannot be read or written.
    pub fn open(config: &Config, data_dir: &DataDir) -> anyhow::Result<Self> {
        let path = data_dir.addresses();
        let record = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let block = |text: &Option<String>| text.as_deref().and_then(Block::parse);
        let services = services(config, block(&record.services))?;
        let first = config.name.first_part();
        let pods = config.components.node.then(|| PodBlocks::open(config.node_prefix, first, block(&record.pods)));
        let pods = pods.transpose().context("addresses for pods")?;
        let pod_block = pods.as_ref().and_then(PodBlocks::first_block);
        let now = Record {
            services: Some(services.block.to_string()),
            pods: pod_block.map(|block| block.to_string()).or(record.pods.clone()),
        };
        if now != record {
            let text = serde_json::to_vec(&now)?;
            files::replace(&path, &text, Durability::Power).with_context(|| path.display().to_string())?;
        }
        Ok(Self { services, pods, pod_block })
    }

    /// The range of Services.
    pub fn services(&self) -> Block {
        self.services.block
    }

    /// The address of the `kubernetes` Service: the first of the range.
    pub fn first_service_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.services.block.network()).saturating_add(1))
    }

    /// The node's first block; None: no node runs here.
    pub fn pods(&self) -> Option<Block> {
        self.pod_block
    }

    /// Hands the blocks to the node, once.
    pub fn take_pods(&mut self) -> Option<PodBlocks> {
        self.pods.take()
    }
}

fn services(config: &Config, former: Option<Block>) -> anyhow::Result<ClaimedBlock> {
    const WHAT: &str = "addresses for Services";
    if let Some(block) = config.service_network.filter(|_| config.shares_addresses) {
        return Ok(ClaimedBlock::shared(block));
    }
    if let Some(block) = config.service_network {
        let Some(claimed) = ranges::claim(block).context(WHAT)? else {
            bail!(
                "serviceCIDR: {block} or a part of it is another cluster's on this host: name another, or none to get a free one"
            );
        };
        return Ok(claimed);
    }
    if let Some(block) = former {
        let Some(claimed) = ranges::claim(block).context(WHAT)? else {
            bail!(
                "{block}, where this cluster's Services have their addresses, is another cluster's on this host now: \
                 Services keep their addresses, so end that cluster first"
            );
        };
        return Ok(claimed);
    }
    let range = ranges::range(ranges::SERVICES);
    let free = ranges::claim_free(range, ranges::SERVICES_PREFIX, config.name.first_part()).context(WHAT)?;
    free.with_context(|| format!("no part of {range} is free for Services: other clusters of this host have them all"))
}
