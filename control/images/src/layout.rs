use crate::limits::{COMPONENT_MAX, MANIFEST_MAX};
use crate::manifest::{Descriptor, INDEX, Index, MANIFEST, Manifest, REF_NAME, WASM_LAYER, describe, digest};
use async_trait::async_trait;
use bytes::Bytes;
use sampan_client::{Blob, BlobError, BlobSource, Reference};
use sampan_env::files::{self, Durability};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A component that the binary carries.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// `sampan/hello:v1`
    pub reference: &'static str,
    /// `sha256:` of the bytes.
    pub digest: &'static str,
    pub bytes: &'static [u8],
}

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the image store: {path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("the image store: {path} is damaged: {why}")]
    Damaged { path: PathBuf, why: String },
    #[error("the component has {size} bytes; the most is {COMPONENT_MAX}")]
    TooLarge { size: u64 },
}

/// One name of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    pub reference: String,
    pub manifest_digest: String,
    /// Whether the binary carries it.
    pub embedded: bool,
}

/// The outcome of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The name is gone, and so many bytes that no other name needs.
    Removed { bytes: u64 },
    /// The binary carries it: it cannot be removed.
    Embedded,
    /// There was no such name.
    Absent,
}

/// The exclusiveness of a lock of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// For reading: others may read too.
    Shared,
    /// For changing what is there.
    Alone,
}

/// Components by name. A name on disk goes before the binary's own.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    seeds: BTreeMap<&'static str, Seed>,
}

impl Images {
    /// An OCI image layout at `folder` (made if absent), and what the binary carries.
    pub fn open(folder: &Path, seeds: &[Seed]) -> Result<Self, ImageError> {
        let blobs = folder.join("sha256");
        std::fs::create_dir_all(&blobs).map_err(|error| ImageError::File { path: blobs, error })?;
        let seeds = seeds.iter().map(|seed| (seed.reference, *seed)).collect();
        Ok(Self { inner: Arc::new(Inner { folder: folder.to_owned(), seeds }) })
    }

    /// Stores a component under a name. Blocks for the files' writing. Returns the manifest's digest.
    pub fn import(&self, reference: &Reference, component: &[u8]) -> Result<String, ImageError> {
        let size = component.len() as u64;
        if size > COMPONENT_MAX {
            return Err(ImageError::TooLarge { size });
        }
        // Before the blobs are there: a removal would take them for what nobody needs.
        let _one_at_a_time = self.inner.lock(Hold::Alone)?;
        let layer = self.inner.put(component)?;
        let (config, manifest) = describe(&layer, size);
        self.inner.put(&config)?;
        let manifest_digest = self.inner.put(&manifest)?;
        let name = reference.to_string();
        let mut index = self.inner.index()?;
        index.manifests.retain(|one| one.annotations.get(REF_NAME) != Some(&name));
        index.manifests.push(Descriptor {
            media_type: MANIFEST.into(),
            digest: manifest_digest.clone(),
            size: manifest.len() as u64,
            annotations: BTreeMap::from([(REF_NAME.to_owned(), name)]),
        });
        self.inner.put_index(&index)?;
        Ok(manifest_digest)
    }

    /// Removes a name, and the blobs that no other name needs. What the binary has under that name is there again.
    ///
    /// # Errors
    /// Files cannot be read or removed. The name is gone before the first blob is: what was left over goes with the next
    /// removal.
    pub fn remove(&self, reference: &Reference) -> Result<Removal, ImageError> {
        let name = reference.to_string();
        let _one_at_a_time = self.inner.lock(Hold::Alone)?;
        let mut index = self.inner.index()?;
        let before = index.manifests.len();
        index.manifests.retain(|one| one.annotations.get(REF_NAME) != Some(&name));
        if index.manifests.len() == before {
            let embedded = self.inner.seeds.contains_key(name.as_str());
            return Ok(if embedded { Removal::Embedded } else { Removal::Absent });
        }
        self.inner.put_index(&index)?;
        Ok(Removal::Removed { bytes: self.inner.sweep(&index)? })
    }

    /// All names, sorted.
    pub fn list(&self) -> Result<Vec<ImageInfo>, ImageError> {
        let mut found: BTreeMap<String, ImageInfo> = BTreeMap::new();
        for (name, seed) in &self.inner.seeds {
            let (_, manifest) = describe(seed.digest, seed.bytes.len() as u64);
            let reference = (*name).to_owned();
            found
                .insert(reference.clone(), ImageInfo { reference, manifest_digest: digest(&manifest), embedded: true });
        }
        for one in self.inner.index()?.manifests {
            if let Some(name) = one.annotations.get(REF_NAME) {
                let info = ImageInfo { reference: name.clone(), manifest_digest: one.digest.clone(), embedded: false };
                found.insert(name.clone(), info);
            }
        }
        Ok(found.into_values().collect())
    }
}

impl Inner {
    /// The store is changed by one at a time, and by nobody while it is read, whichever process they are in; freed when
    /// dropped.
    fn lock(&self, hold: Hold) -> Result<std::fs::File, ImageError> {
        let path = self.folder.join("index.lock");
        let fail = |error| ImageError::File { path: path.clone(), error };
        let file = files::open_lock(&path).map_err(fail)?;
        match hold {
            Hold::Shared => file.lock_shared().map_err(fail)?,
            Hold::Alone => file.lock().map_err(fail)?,
        }
        Ok(file)
    }

    fn put_index(&self, index: &Index) -> Result<(), ImageError> {
        let path = self.folder.join("index.json");
        let bytes = serde_json::to_vec_pretty(index)
            .map_err(|error| ImageError::Damaged { path: path.clone(), why: error.to_string() })?;
        self.replace(&path, &bytes)
    }

    /// Removes the blobs that no manifest of the index names. Returns their bytes. Of a manifest that cannot be read it is not
    /// known what it names: then all blobs stay.
    fn sweep(&self, index: &Index) -> Result<u64, ImageError> {
        let mut needed = BTreeSet::new();
        for one in &index.manifests {
            let Some(path) = self.blob_path(&one.digest) else { continue };
            let manifest = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
            let Some(manifest) = manifest else { return Ok(0) };
            let named = manifest.layers.iter().chain([&manifest.config]).map(|blob| &blob.digest).chain([&one.digest]);
            needed.extend(named.filter_map(|digest| self.blob_path(digest)));
        }
        let folder = self.folder.join("sha256");
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |error| ImageError::File { path, error }
        };
        let mut bytes = 0;
        for entry in std::fs::read_dir(&folder).map_err(fail(&folder))? {
            let entry = entry.map_err(fail(&folder))?;
            let path = entry.path();
            if needed.contains(&path) {
                continue;
            }
            let size = entry.metadata().map_err(fail(&path))?.len();
            std::fs::remove_file(&path).map_err(fail(&path))?;
            bytes += size;
        }
        Ok(bytes)
    }

    fn blob_path(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        (hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| self.folder.join("sha256").join(hex))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
        files::replace(path, bytes, Durability::Power)
            .map_err(|error| ImageError::File { path: path.to_owned(), error })
    }

    fn put(&self, bytes: &[u8]) -> Result<String, ImageError> {
        let digest = digest(bytes);
        // A file of this name with other content was damaged: to import it again mends it.
        let intact = |path: &PathBuf| std::fs::read(path).is_ok_and(|found| found == bytes);
        if let Some(path) = self.blob_path(&digest).filter(|path| !intact(path)) {
            self.replace(&path, bytes)?;
        }
        Ok(digest)
    }

    fn index(&self) -> Result<Index, ImageError> {
        let path = self.folder.join("index.json");
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| ImageError::Damaged { path, why: error.to_string() })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Index { schema_version: 2, media_type: INDEX.into(), manifests: Vec::new() })
            }
            Err(error) => Err(ImageError::File { path, error }),
        }
    }

    /// A blob's bytes, checked against its digest.
    fn read(&self, reference: &Reference, wanted: &str, max: u64) -> Result<Bytes, BlobError> {
        let name = reference.to_string();
        let unavailable = |why: String| BlobError::Unavailable { reference: name.clone(), why };
        let path = self.blob_path(wanted).ok_or_else(|| unavailable(format!("{wanted:?} is no digest")))?;
        let size = match std::fs::metadata(&path) {
            Ok(data) => data.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(BlobError::NotFound(name)),
            Err(error) => return Err(unavailable(error.to_string())),
        };
        if size > max {
            return Err(BlobError::TooLarge { reference: name, max });
        }
        let bytes = std::fs::read(&path).map_err(|error| unavailable(error.to_string()))?;
        let found = digest(&bytes);
        if found != wanted {
            let why = format!("{} has the digest {found}", path.display());
            return Err(BlobError::Corrupt { reference: name, why });
        }
        Ok(bytes.into())
    }

    fn fetch(&self, reference: &Reference) -> Result<Blob, BlobError> {
        if reference.registry.is_some() {
            return Err(BlobError::ForeignRegistry(reference.to_string()));
        }
        let mut named = reference.clone();
        named.digest = None;
        if named.tag.is_none() {
            named.tag = Some("latest".into());
        }
        let unavailable =
            |error: ImageError| BlobError::Unavailable { reference: reference.to_string(), why: error.to_string() };
        let _whole = self.lock(Hold::Shared).map_err(unavailable)?;
        let index = self.index().map_err(unavailable)?;
        let on_disk = match &reference.digest {
            // A digest may be a seed's as well: it is the disk's where its manifest is there.
            Some(digest) => self.blob_path(digest).is_some_and(|path| path.exists()).then(|| digest.clone()),
            None => {
                let name = named.to_string();
                let mut manifests = index.manifests.iter();
                manifests.find(|one| one.annotations.get(REF_NAME) == Some(&name)).map(|one| one.digest.clone())
            }
        };
        if let Some(manifest_digest) = on_disk {
            return self.fetch_manifest(reference, manifest_digest);
        }
        let embedded = self.seeds.values().map(|seed| {
            let (_, manifest) = describe(seed.digest, seed.bytes.len() as u64);
            (seed, digest(&manifest))
        });
        let name = named.to_string();
        let mut fitting = embedded.filter(|(seed, manifest_digest)| match &reference.digest {
            Some(wanted) => wanted == manifest_digest || wanted == seed.digest,
            None => seed.reference == name,
        });
        let (seed, manifest_digest) = fitting.next().ok_or_else(|| BlobError::NotFound(reference.to_string()))?;
        Ok(Blob {
            digest: seed.digest.to_owned(),
            manifest_digest,
            media_type: WASM_LAYER.into(),
            bytes: Bytes::from_static(seed.bytes),
        })
    }

    fn fetch_manifest(&self, reference: &Reference, manifest_digest: String) -> Result<Blob, BlobError> {
        let corrupt = |why: String| BlobError::Corrupt { reference: reference.to_string(), why };
        let bytes = match self.read(reference, &manifest_digest, MANIFEST_MAX) {
            Err(BlobError::NotFound(_)) => return Err(corrupt(format!("its manifest {manifest_digest} is missing"))),
            other => other?,
        };
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| corrupt(format!("its manifest cannot be read: {error}")))?;
        let layer = match manifest.layers.as_slice() {
            [layer] if layer.media_type == WASM_LAYER => layer,
            layers => {
                let kinds: Vec<&str> = layers.iter().map(|layer| layer.media_type.as_str()).collect();
                return Err(BlobError::NotWasm {
                    reference: reference.to_string(),
                    why: format!("its layers are [{}]; one of {WASM_LAYER} is needed", kinds.join(", ")),
                });
            }
        };
        let component = match self.read(reference, &layer.digest, COMPONENT_MAX) {
            Err(BlobError::NotFound(_)) => return Err(corrupt(format!("its layer {} is missing", layer.digest))),
            other => other?,
        };
        Ok(Blob {
            digest: layer.digest.clone(),
            manifest_digest,
            media_type: layer.media_type.clone(),
            bytes: component,
        })
    }
}

#[async_trait]
impl BlobSource for Images {
    async fn fetch(&self, reference: &Reference) -> Result<Blob, BlobError> {
        let (inner, wanted) = (self.inner.clone(), reference.clone());
        let name = reference.to_string();
        // Files are read and hashed: not on the runtime's threads.
        sampan_env::blocking(move || inner.fetch(&wanted))
            .await
            .unwrap_or_else(|error| Err(BlobError::Unavailable { reference: name, why: error.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &[u8] = b"\0asm-seed";

    fn images(folder: &Path) -> Images {
        let digest: &'static str = Box::leak(digest(SEED).into_boxed_str());
        Images::open(folder, &[Seed { reference: "sampan/hello:v1", digest, bytes: SEED }]).expect("opens")
    }

    fn reference(text: &str) -> Reference {
        Reference::parse(text).expect(text)
    }

    #[tokio::test]
    async fn names_digests_and_the_binarys_own_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let images = images(folder.path());
        let manifest = images.import(&reference("team/app:v2"), b"\0asm-app").expect("imported");
        let check = async |name: &str, bytes: &[u8]| {
            assert_eq!(&images.fetch(&reference(name)).await.expect(name).bytes[..], bytes, "{name}");
        };
        check("sampan/hello:v1", SEED).await;
        check("team/app:v2", b"\0asm-app").await;
        check(&format!("team/app@{manifest}"), b"\0asm-app").await;
        images.import(&reference("sampan/hello:v1"), b"\0asm-own").expect("imported");
        check("sampan/hello:v1", b"\0asm-own").await;
        let names: Vec<String> = images.list().expect("lists").into_iter().map(|one| one.reference).collect();
        assert_eq!(names, ["sampan/hello:v1", "team/app:v2"]);
        // Another process finds the same.
        let again = Images::open(folder.path(), &[]).expect("opens");
        assert_eq!(&again.fetch(&reference("team/app:v2")).await.expect("found").bytes[..], b"\0asm-app");
    }

    #[tokio::test]
    async fn a_name_that_is_removed_takes_with_it_what_no_other_needs() {
        let folder = tempfile::tempdir().expect("a folder");
        let images = images(folder.path());
        let blobs = || std::fs::read_dir(folder.path().join("sha256")).expect("a folder").count();
        for name in ["team/app:v1", "team/app:v2"] {
            images.import(&reference(name), b"\0asm-app").expect("imported");
        }
        images.import(&reference("sampan/hello:v1"), b"\0asm-own").expect("imported");
        let check = |name: &str, left: usize, removed: bool| {
            let found = images.remove(&reference(name)).expect(name);
            assert_eq!(matches!(found, Removal::Removed { bytes: 1.. }), removed, "{name}: {found:?}");
            assert_eq!(blobs(), left, "{name}");
            found
        };
        assert_eq!(check("team/app:v1", 6, false), Removal::Removed { bytes: 0 });
        check("team/app:v2", 3, true);
        assert_eq!(check("team/app:v2", 3, false), Removal::Absent);
        let error = images.fetch(&reference("team/app:v2")).await.expect_err("it is gone").to_string();
        assert!(error.contains("not found"), "{error}");
        // The binary's own is there again, and stays.
        check("sampan/hello:v1", 0, true);
        assert_eq!(check("sampan/hello:v1", 0, false), Removal::Embedded);
        assert_eq!(&images.fetch(&reference("sampan/hello:v1")).await.expect("there").bytes[..], SEED);
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_said_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let images = images(folder.path());
        let check = async |name: &str, part: &str| {
            let error = images.fetch(&reference(name)).await.expect_err(name).to_string();
            assert!(error.contains(part), "{error}");
        };
        check("sampan/none:v1", "not found").await;
        check("docker.io/library/nginx:latest", "sampan image import").await;
        images.import(&reference("team/app:v1"), b"\0asm-app").expect("imported");
        let hex = digest(b"\0asm-app");
        std::fs::write(folder.path().join("sha256").join(&hex[7..]), b"\0asm-xpp").expect("written");
        check("team/app:v1", "corrupt").await;
        // Importing it again mends it.
        images.import(&reference("team/app:v1"), b"\0asm-app").expect("imported");
        assert_eq!(&images.fetch(&reference("team/app:v1")).await.expect("whole").bytes[..], b"\0asm-app");
        // A name that was imported never falls back to what the binary has under it.
        let manifest = images.import(&reference("sampan/hello:v1"), b"\0asm-own").expect("imported");
        std::fs::remove_file(folder.path().join("sha256").join(&manifest[7..])).expect("removed");
        check("sampan/hello:v1", "missing").await;
    }
}
