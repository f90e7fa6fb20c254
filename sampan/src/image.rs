//! `sampan image`: works on the files of the data directory, whether or not a cluster runs on it.

use crate::config::{ClusterName, cluster_name, default_data_dir};
use crate::data_dir::DataDir;
use anyhow::{Context, bail};
use sampan_client::Reference;
use sampan_images::Images;
use std::path::PathBuf;

/// Which cluster's store.
#[derive(Clone, Debug, clap::Args)]
pub struct StoreFlags {
    /// The cluster's data directory [default: as `sampan up`]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The cluster's name, as `sampan up` was given it
    #[arg(long, value_name = "NAME", value_parser = cluster_name)]
    cluster: Option<String>,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum ImageCommand {
    /// Store a component under a name; a running cluster finds it at once
    Import {
        /// A WebAssembly component
        file: PathBuf,
        /// team/app:v1
        name: String,
        #[command(flatten)]
        store: StoreFlags,
    },
    /// List the names
    Ls {
        #[command(flatten)]
        store: StoreFlags,
    },
}

fn images(store: &StoreFlags) -> anyhow::Result<Images> {
    let name = ClusterName::new(store.cluster.as_deref());
    let data_dir = DataDir::open(&store.data_dir.clone().unwrap_or_else(|| default_data_dir(&name)))?;
    let seeds: Vec<sampan_images::Seed> = sampan_embed::COMPONENTS
        .iter()
        .map(|one| sampan_images::Seed { reference: one.reference, digest: one.digest(), bytes: one.bytes })
        .collect();
    Ok(Images::open(&data_dir.blobs(), &seeds)?)
}

pub fn run(command: &ImageCommand) -> anyhow::Result<()> {
    let text = match command {
        ImageCommand::Import { file, name, store } => {
            let reference = Reference::parse(name)?;
            if reference.registry.is_some() || reference.digest.is_some() {
                bail!("{name:?}: a name of the embedded store has neither a registry nor a digest: team/app:v1");
            }
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            // A component that could never run is not stored.
            sampan_wasm_runtime::inspect(&bytes).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
            let digest = images(store)?.import(&reference, &bytes)?;
            format!("{name}@{digest}\n")
        }
        ImageCommand::Ls { store } => {
            let mut text = String::new();
            for one in images(store)?.list()? {
                let origin = if one.embedded { "embedded" } else { "imported" };
                text.push_str(&format!("{:<32} {:<9} {}\n", one.reference, origin, one.manifest_digest));
            }
            text
        }
    };
    sampan_cli::session::say(&text)
}
