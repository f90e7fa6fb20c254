//! Read-only files in memory, for guests: `wasi:filesystem` over what the host was handed. A guest opens a mount's
//! directory beforehand; a file that it has opened stays as it was then, whatever takes its place.

use crate::memory::StoreMem;
use crate::paid::{PaidView, Payer, Refusal, buy};
use crate::prices::Kind;
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

/// The files of one directory, by name. They are replaced all at once.
#[derive(Debug, Default)]
pub struct Volume {
    files: ArcSwap<BTreeMap<String, Bytes>>,
}

impl Volume {
    /// A directory with these files. Their names have no `/`.
    pub fn new(files: BTreeMap<String, Bytes>) -> Self {
        Self { files: ArcSwap::from_pointee(files) }
    }

    /// Puts others in the place of its files, for who opens one from now on.
    pub fn replace(&self, files: BTreeMap<String, Bytes>) {
        self.files.store(Arc::new(files));
    }

    /// The file of that name.
    pub fn file(&self, name: &str) -> Option<Bytes> {
        self.files.load().get(name).cloned()
    }

    /// Bytes that its names and files have.
    pub fn bytes(&self) -> u64 {
        self.files.load().iter().map(|(name, file)| (name.len() + file.len()) as u64).sum()
    }
}

/// A directory of a guest.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where the guest finds it.
    pub path: Arc<str>,
    /// Its files.
    pub volume: Arc<Volume>,
}

/// Names [`FilesView`] to the linker.
pub(crate) struct Files;

/// A store's view of its files.
pub(crate) struct FilesView<'a> {
    pub(crate) paid: PaidView<'a>,
    pub(crate) mounts: &'a [Mount],
}

impl HasData for Files {
    type Data<'a> = FilesView<'a>;
}

impl Payer for FilesView<'_> {
    fn mem(&mut self) -> &mut StoreMem {
        self.paid.mem
    }
}

impl Refusal for FsError {
    fn of(error: crate::memory::OutOfMemory) -> Self {
        FsError::trap(error)
    }
}

/// What stands behind a descriptor.
#[derive(Clone)]
enum Node {
    Directory(Mount),
    File { mount: Mount, name: String, content: Bytes },
}

/// What stands behind a reading of a directory: the names that are left.
struct Entries(std::vec::IntoIter<String>);

type Descriptor = Resource<types::Descriptor>;

/// Largest answer of one `read`, bytes: guests ask for what they have room for.
const READ_MAX: usize = 64 << 10;

fn fault<T>(code: types::ErrorCode) -> FsResult<T> {
    Err(code.into())
}

fn read_only<T>() -> FsResult<T> {
    fault(types::ErrorCode::ReadOnly)
}

impl Node {
    /// What a path names, from here on.
    fn at(&self, path: &str) -> FsResult<Node> {
        let Self::Directory(mount) = self else { return fault(types::ErrorCode::NotDirectory) };
        let mut words = path.split('/').filter(|word| !word.is_empty() && *word != ".");
        if path.starts_with('/') || path.split('/').any(|word| word == "..") {
            return fault(types::ErrorCode::NotPermitted);
        }
        let Some(name) = words.next() else { return Ok(self.clone()) };
        let Some(content) = mount.volume.file(name) else { return fault(types::ErrorCode::NoEntry) };
        if words.next().is_some() || path.ends_with('/') {
            return fault(types::ErrorCode::NotDirectory);
        }
        Ok(Self::File { mount: mount.clone(), name: name.to_owned(), content })
    }

    fn content(&self) -> FsResult<&Bytes> {
        match self {
            Self::File { content, .. } => Ok(content),
            Self::Directory(_) => fault(types::ErrorCode::IsDirectory),
        }
    }

    fn kind(&self) -> types::DescriptorType {
        match self {
            Self::File { .. } => types::DescriptorType::RegularFile,
            Self::Directory(_) => types::DescriptorType::Directory,
        }
    }

    fn stat(&self) -> types::DescriptorStat {
        let size = match self {
            Self::File { content, .. } => content.len() as u64,
            Self::Directory(_) => 0,
        };
        types::DescriptorStat {
            type_: self.kind(),
            link_count: 1,
            size,
            data_access_timestamp: None,
            data_modification_timestamp: None,
            status_change_timestamp: None,
        }
    }

    /// Tells one object from another: two hashes (FNV-1a) of where it is, and of what it holds.
    fn hash(&self) -> types::MetadataHashValue {
        let fnv = |bytes: &[u8]| {
            let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
        };
        match self {
            Self::Directory(mount) => types::MetadataHashValue { lower: fnv(mount.path.as_bytes()), upper: 0 },
            Self::File { mount, name, content } => {
                let path = format!("{}/{name}", mount.path);
                types::MetadataHashValue { lower: fnv(path.as_bytes()), upper: fnv(content) }
            }
        }
    }
}

impl FilesView<'_> {
    fn node(&self, of: &Descriptor) -> FsResult<&Node> {
        self.paid.table.get(&Resource::<Node>::new_borrow(of.rep())).map_err(FsError::trap)
    }

    fn open(&mut self, node: Node) -> FsResult<Descriptor> {
        buy(self, Kind::Descriptor, |view| {
            let made = view.paid.table.push(node).map_err(FsError::trap)?;
            Ok(Resource::new_own(made.rep()))
        })
    }
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Descriptor, String)>> {
        let mut directories = Vec::with_capacity(self.mounts.len());
        let mounts = self.mounts;
        for mount in mounts.iter().cloned() {
            let path = mount.path.to_string();
            let opened = buy(self, Kind::Descriptor, |view| {
                let made = view.paid.table.push(Node::Directory(mount))?;
                wasmtime::Result::<Descriptor>::Ok(Resource::new_own(made.rep()))
            })?;
            directories.push((opened, path));
        }
        Ok(directories)
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        // Streams out of memory do not fail.
        self.paid.table.get(&error)?;
        Ok(None)
    }
}

impl types::HostDescriptor for FilesView<'_> {
    async fn advise(&mut self, of: Descriptor, _: u64, _: u64, _: types::Advice) -> FsResult<()> {
        self.node(&of)?.content().map(drop)
    }
    async fn sync_data(&mut self, of: Descriptor) -> FsResult<()> {
        self.node(&of).map(drop)
    }
    async fn get_flags(&mut self, of: Descriptor) -> FsResult<types::DescriptorFlags> {
        self.node(&of)?;
        Ok(types::DescriptorFlags::READ)
    }
    async fn get_type(&mut self, of: Descriptor) -> FsResult<types::DescriptorType> {
        Ok(self.node(&of)?.kind())
    }
    async fn set_size(&mut self, _: Descriptor, _: u64) -> FsResult<()> {
        read_only()
    }
    async fn set_times(&mut self, _: Descriptor, _: types::NewTimestamp, _: types::NewTimestamp) -> FsResult<()> {
        read_only()
    }
    async fn read(&mut self, of: Descriptor, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        let content = self.node(&of)?.content()?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let left = &content[from..];
        let read = &left[..usize::try_from(len).unwrap_or(usize::MAX).min(READ_MAX).min(left.len())];
        Ok((read.to_vec(), read.is_empty()))
    }
    async fn write(&mut self, _: Descriptor, _: Vec<u8>, _: u64) -> FsResult<u64> {
        read_only()
    }
    async fn read_directory(&mut self, of: Descriptor) -> FsResult<Resource<types::DirectoryEntryStream>> {
        let Node::Directory(mount) = self.node(&of)? else { return fault(types::ErrorCode::NotDirectory) };
        let names: Vec<String> = mount.volume.files.load().keys().cloned().collect();
        buy(self, Kind::DirectoryEntryStream, |view| {
            let made = view.paid.table.push(Entries(names.into_iter())).map_err(FsError::trap)?;
            Ok(Resource::new_own(made.rep()))
        })
    }
    async fn sync(&mut self, of: Descriptor) -> FsResult<()> {
        self.node(&of).map(drop)
    }
    async fn create_directory_at(&mut self, _: Descriptor, _: String) -> FsResult<()> {
        read_only()
    }
    async fn stat(&mut self, of: Descriptor) -> FsResult<types::DescriptorStat> {
        Ok(self.node(&of)?.stat())
    }
    async fn stat_at(&mut self, of: Descriptor, _: types::PathFlags, path: String) -> FsResult<types::DescriptorStat> {
        Ok(self.node(&of)?.at(&path)?.stat())
    }
    async fn set_times_at(
        &mut self,
        _: Descriptor,
        _: types::PathFlags,
        _: String,
        _: types::NewTimestamp,
        _: types::NewTimestamp,
    ) -> FsResult<()> {
        read_only()
    }
    async fn link_at(
        &mut self,
        _: Descriptor,
        _: types::PathFlags,
        _: String,
        _: Descriptor,
        _: String,
    ) -> FsResult<()> {
        read_only()
    }
    async fn open_at(
        &mut self,
        of: Descriptor,
        _: types::PathFlags,
        path: String,
        how: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Descriptor> {
        let node = match self.node(&of)?.at(&path) {
            Ok(_) if how.contains(types::OpenFlags::EXCLUSIVE) => return fault(types::ErrorCode::Exist),
            Err(error) if how.contains(types::OpenFlags::CREATE) => {
                return match error.downcast_ref() {
                    Some(types::ErrorCode::NoEntry) => read_only(),
                    _ => Err(error),
                };
            }
            found => found?,
        };
        let is_file = matches!(node, Node::File { .. });
        if is_file && how.contains(types::OpenFlags::DIRECTORY) {
            return fault(types::ErrorCode::NotDirectory);
        }
        if flags.contains(types::DescriptorFlags::WRITE) || how.contains(types::OpenFlags::TRUNCATE) {
            return if is_file { read_only() } else { fault(types::ErrorCode::IsDirectory) };
        }
        self.open(node)
    }
    async fn readlink_at(&mut self, of: Descriptor, path: String) -> FsResult<String> {
        self.node(&of)?.at(&path)?;
        fault(types::ErrorCode::Invalid)
    }
    async fn remove_directory_at(&mut self, _: Descriptor, _: String) -> FsResult<()> {
        read_only()
    }
    async fn rename_at(&mut self, _: Descriptor, _: String, _: Descriptor, _: String) -> FsResult<()> {
        read_only()
    }
    async fn symlink_at(&mut self, _: Descriptor, _: String, _: String) -> FsResult<()> {
        read_only()
    }
    async fn unlink_file_at(&mut self, _: Descriptor, _: String) -> FsResult<()> {
        read_only()
    }
    fn read_via_stream(&mut self, of: Descriptor, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let content = self.node(&of)?.content()?;
        let rest = content.slice(usize::try_from(offset).unwrap_or(usize::MAX).min(content.len())..);
        buy(self, Kind::InputStream, |view| {
            let stream: DynInputStream = Box::new(MemoryInputPipe::new(rest));
            view.paid.table.push(stream).map_err(FsError::trap)
        })
    }
    fn write_via_stream(&mut self, _: Descriptor, _: u64) -> FsResult<Resource<DynOutputStream>> {
        read_only()
    }
    fn append_via_stream(&mut self, _: Descriptor) -> FsResult<Resource<DynOutputStream>> {
        read_only()
    }
    async fn is_same_object(&mut self, one: Descriptor, other: Descriptor) -> wasmtime::Result<bool> {
        let hash = |of: &Descriptor| -> wasmtime::Result<(u64, u64)> {
            let hash = self.paid.table.get(&Resource::<Node>::new_borrow(of.rep()))?.hash();
            Ok((hash.lower, hash.upper))
        };
        Ok(hash(&one)? == hash(&other)?)
    }
    async fn metadata_hash(&mut self, of: Descriptor) -> FsResult<types::MetadataHashValue> {
        Ok(self.node(&of)?.hash())
    }
    async fn metadata_hash_at(
        &mut self,
        of: Descriptor,
        _: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        Ok(self.node(&of)?.at(&path)?.hash())
    }
    fn drop(&mut self, of: Descriptor) -> wasmtime::Result<()> {
        self.paid.table.delete(Resource::<Node>::new_own(of.rep()))?;
        self.paid.mem.dropped(of.rep());
        Ok(())
    }
}

impl types::HostDirectoryEntryStream for FilesView<'_> {
    async fn read_directory_entry(
        &mut self,
        of: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let entries = self.paid.table.get_mut(&Resource::<Entries>::new_borrow(of.rep())).map_err(FsError::trap)?;
        let next = entries.0.next();
        Ok(next.map(|name| types::DirectoryEntry { type_: types::DescriptorType::RegularFile, name }))
    }

    fn drop(&mut self, of: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.paid.table.delete(Resource::<Entries>::new_own(of.rep()))?;
        self.paid.mem.dropped(of.rep());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::ErrorCode;

    fn directory() -> Node {
        let files = BTreeMap::from([("token".to_owned(), Bytes::from_static(b"abc"))]);
        Node::Directory(Mount { path: "/var/run/x".into(), volume: Arc::new(Volume::new(files)) })
    }

    #[test]
    fn paths_stay_in_their_directory() {
        let check = |path: &str, expected: Result<&str, ErrorCode>| {
            let found = directory().at(path).map(|node| match node {
                Node::Directory(_) => ".".to_owned(),
                Node::File { name, .. } => name,
            });
            let found = found.map_err(|error| error.downcast().expect("a code"));
            match (found, expected) {
                (Ok(name), Ok(expected)) => assert_eq!(name, expected, "{path}"),
                (Err(code), Err(expected)) => assert_eq!(format!("{code:?}"), format!("{expected:?}"), "{path}"),
                (found, expected) => panic!("{path}: {found:?}, not {expected:?}"),
            }
        };
        check("token", Ok("token"));
        check("./token", Ok("token"));
        check("", Ok("."));
        check(".", Ok("."));
        check("none", Err(ErrorCode::NoEntry));
        check("token/x", Err(ErrorCode::NotDirectory));
        check("token/", Err(ErrorCode::NotDirectory));
        check("none/x", Err(ErrorCode::NoEntry));
        check("/token", Err(ErrorCode::NotPermitted));
        check("../token", Err(ErrorCode::NotPermitted));
        check("x/../token", Err(ErrorCode::NotPermitted));
    }

    #[test]
    fn an_open_file_stays_as_it_was() {
        let node = directory();
        let open = node.at("token").expect("there");
        let Node::Directory(mount) = &node else { panic!("a directory") };
        mount.volume.replace(BTreeMap::from([("token".to_owned(), Bytes::from_static(b"new"))]));
        assert_eq!(open.content().expect("a file"), "abc");
        let again = node.at("token").expect("there");
        assert_eq!(again.content().expect("a file"), "new");
        let hashes = [&open, &again, &node].map(|node| (node.hash().lower, node.hash().upper));
        assert!(hashes[0] != hashes[1] && hashes[1].0 != hashes[2].0, "{hashes:?}");
        assert_eq!(mount.volume.bytes(), 8);
    }
}
