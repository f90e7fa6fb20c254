//! `sampan image`: works on the files of the data directory, whether or not a cluster runs on it.

use crate::config::ClusterFlags;
use crate::data_dir::DataDir;
use anyhow::{Context, bail};
use clap::{ArgMatches, FromArgMatches};
use sampan_client::Reference;
use sampan_images::{Images, Removal};
use std::path::PathBuf;

/// The commands of `sampan image`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ImageCommand {
    /// Store a component under a name; a running cluster finds it at once
    Import {
        /// A WebAssembly component
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        /// team/app:v1
        #[arg(value_name = "NAME")]
        reference: String,
        #[command(flatten)]
        store: ClusterFlags,
    },
    /// List the names
    Ls {
        #[command(flatten)]
        store: ClusterFlags,
    },
    /// Remove names, and the components that no other name has
    Rm {
        /// team/app:v1; may be given several times
        #[arg(value_name = "NAME", required = true)]
        references: Vec<String>,
        #[command(flatten)]
        store: ClusterFlags,
    },
}

fn images(store: &ClusterFlags) -> anyhow::Result<Images> {
    let data_dir = DataDir::open(&store.directory())?;
    let seeds: Vec<sampan_images::Seed> = sampan_embed::COMPONENTS
        .iter()
        .map(|one| sampan_images::Seed { reference: one.reference, digest: one.digest(), bytes: one.bytes })
        .collect();
    Ok(Images::open(&data_dir.blobs(), &seeds)?)
}

/// The images of a cluster that is there: what only reads or removes makes none.
fn images_there(store: &ClusterFlags) -> anyhow::Result<Images> {
    let data_dir = DataDir { root: store.directory() };
    if !data_dir.has_cluster() {
        bail!("there is no cluster in {}; `sampan up{}` starts one", data_dir.root.display(), store.repeated());
    }
    images(store)
}

/// The names that `rm` would remove from the cluster which the flags of a line name.
///
/// # Errors
/// There is no such cluster, or its store cannot be read.
pub fn removable(line: &mut ArgMatches) -> anyhow::Result<Vec<String>> {
    let store = ClusterFlags::from_arg_matches_mut(line)?;
    let imported = images_there(&store)?.list()?.into_iter().filter(|one| !one.embedded);
    Ok(imported.map(|one| one.reference).collect())
}

/// A name of the embedded store; without a tag it is `latest`, as pods have it.
fn named(name: &str) -> anyhow::Result<Reference> {
    let mut reference = Reference::parse(name)?;
    if reference.registry.is_some() || reference.digest.is_some() {
        bail!("{name:?}: a name of the embedded store has neither a registry nor a digest: team/app:v1");
    }
    reference.tag.get_or_insert_with(|| "latest".into());
    Ok(reference)
}

/// Runs one of them.
///
/// # Errors
/// The store cannot be read or written, or refuses.
pub fn run(command: &ImageCommand) -> anyhow::Result<()> {
    match command {
        ImageCommand::Import { file, reference, store } => {
            let reference = named(reference)?;
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            // A component that could never run is not stored.
            sampan_wasm_runtime::inspect(&bytes).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
            let digest = images(store)?.import(&reference, &bytes)?;
            eprintln!("stored in {}; a pod's `image: {reference}` runs it", store.directory().display());
            sampan_cli::session::say(&format!("{reference}@{digest}\n"))
        }
        ImageCommand::Ls { store } => {
            let mut text = String::new();
            for one in images_there(store)?.list()? {
                let origin = if one.embedded { "embedded" } else { "imported" };
                text.push_str(&format!("{:<32} {:<9} {}\n", one.reference, origin, one.manifest_digest));
            }
            sampan_cli::session::say(&text)
        }
        ImageCommand::Rm { references, store } => {
            let images = images_there(store)?;
            let references = references.iter().map(|one| named(one)).collect::<anyhow::Result<Vec<_>>>()?;
            let outcomes = references.iter().map(|reference| remove(&images, reference, store));
            // Each is tried, whatever becomes of the others.
            let refused = outcomes.filter_map(Result::err).map(|error| eprintln!("sampan: {error:#}")).count();
            if refused > 0 {
                bail!("{refused} of {} names were not removed", references.len());
            }
            Ok(())
        }
    }
}

fn remove(images: &Images, reference: &Reference, store: &ClusterFlags) -> anyhow::Result<()> {
    match images.remove(reference)? {
        Removal::Removed { bytes } => sampan_cli::session::say(&format!("{reference} removed, {bytes} bytes freed\n")),
        Removal::Embedded => bail!("{reference} is part of this program: only what was imported can be removed"),
        Removal::Absent => {
            bail!("{reference} is not in {}; `sampan image ls` lists what is there", store.directory().display())
        }
    }
}
