use super::load::{Kubeconfig, entries, parse, paths_of_environment};
use super::lock::Lock;
use crate::Result;
use crate::error::Error;
use crate::tls::read_file;
use base64::Engine;
use sampan_env::Env;
use sampan_env::files::{self, Durability};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A cluster, a user and a context, all of one name.
#[derive(Clone)]
pub struct Entry {
    /// Of all three.
    pub name: String,
    /// The API server's URL.
    pub server: String,
    /// Certificates that the server's is checked against, PEM.
    pub ca_pem: Vec<u8>,
    /// The user's certificate, PEM.
    pub client_cert_pem: Vec<u8>,
    /// The user's key, PEM.
    pub client_key_pem: Vec<u8>,
}

/// The file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The user's configuration: kubectl's choice among its files.
    Default,
    /// This file and no other.
    File(PathBuf),
}

/// The outcome of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The file that has the entry now.
    pub file: PathBuf,
    /// The current context before, if there was one and it was another.
    pub previous_context: Option<String>,
}

/// Puts the entry into the configuration in place of entries of its name, makes its context the current one, and leaves
/// everything else as it is, unknown fields included (comments are lost, as they are with kubectl).
///
/// # Errors
/// `File` when a file cannot be read or written, or another process keeps it locked; `Config` when it is no kubeconfig.
pub async fn merge(target: &Target, entry: &Entry, env: &Env) -> Result<Merged> {
    merge_into(&files_of(target)?, entry, env).await
}

/// The clusters that are taken out of a configuration.
#[derive(Clone, Debug)]
pub struct Forgotten<'a> {
    /// Those that are checked against these certificates, PEM.
    pub ca_pem: &'a [u8],
    /// Of them the one of this name; `None`: all.
    pub name: Option<&'a str>,
    /// The context that becomes the current one where theirs was, if there is such a context.
    pub previous: Option<&'a str>,
}

/// Takes clusters out of the configuration again, and the contexts and users of their names. Returns the names.
///
/// # Errors
/// As [`merge`].
pub async fn forget(target: &Target, forgotten: &Forgotten<'_>, env: &Env) -> Result<Vec<String>> {
    forget_in(&files_of(target)?, forgotten, env).await
}

fn files_of(target: &Target) -> Result<Vec<PathBuf>> {
    match target {
        Target::Default => paths_of_environment(),
        Target::File(path) => Ok(vec![path.clone()]),
    }
}

async fn forget_in(files: &[PathBuf], forgotten: &Forgotten<'_>, env: &Env) -> Result<Vec<String>> {
    let there: Vec<&PathBuf> = files.iter().filter(|file| file.exists()).collect();
    let _locks = lock_all(&there, env).await?;
    let mut configs = Vec::new();
    for file in there {
        configs.push((file, parse(file, &read_file(file)?)?));
    }
    let authority = Value::from(encode_pem(forgotten.ca_pem));
    let clusters = configs.iter().flat_map(|(_, config)| entries(config, "clusters"));
    let own = clusters.filter(|entry| entry["cluster"]["certificate-authority-data"] == authority);
    let own = own.filter_map(|entry| entry["name"].as_str());
    let names: Vec<String> =
        own.filter(|name| forgotten.name.is_none_or(|one| one == *name)).map(str::to_owned).collect();
    let is_own = |value: &Value| value.as_str().is_some_and(|name| names.iter().any(|own| own == name));
    let contexts = configs.iter().flat_map(|(_, config)| entries(config, "contexts"));
    let others: Vec<Value> = contexts.map(|entry| entry["name"].clone()).filter(|name| !is_own(name)).collect();
    let next = forgotten.previous.filter(|previous| others.iter().any(|other| other == *previous)).unwrap_or_default();
    for (file, mut config) in configs {
        let before = config.clone();
        for (list, _) in LISTS {
            if let Some(list) = config[list].as_array_mut() {
                list.retain(|entry| !is_own(&entry["name"]));
            }
        }
        if is_own(&config["current-context"]) {
            config["current-context"] = next.into();
        }
        if config != before {
            write(file, &config)?;
        }
    }
    Ok(names)
}

/// Locks files, in one order for everyone, since an entry may stand in any of them (clientcmd.ModifyConfig).
async fn lock_all(files: &[&PathBuf], env: &Env) -> Result<Vec<Lock>> {
    let mut sorted = files.to_vec();
    sorted.sort();
    let mut locks = Vec::new();
    for file in sorted {
        let lock = Lock::take(file, &locks, env).await?;
        locks.push(lock);
    }
    Ok(locks)
}

/// A configuration of the entry alone, as YAML.
///
/// # Errors
/// `Config` when it cannot be encoded.
pub fn render(entry: &Entry) -> Result<String> {
    let mut config = json!({"apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": entry.name});
    for (list, member) in LISTS {
        config[list] = json!([{"name": entry.name, member: entry.member(member)}]);
    }
    encode(&config)
}

const LISTS: [(&str, &str); 3] = [("clusters", "cluster"), ("contexts", "context"), ("users", "user")];

impl Entry {
    fn member(&self, member: &str) -> Value {
        match member {
            "cluster" => json!({"server": self.server, "certificate-authority-data": encode_pem(&self.ca_pem)}),
            "context" => json!({"cluster": self.name, "user": self.name}),
            _ => json!({
                "client-certificate-data": encode_pem(&self.client_cert_pem),
                "client-key-data": encode_pem(&self.client_key_pem),
            }),
        }
    }
}

fn encode_pem(pem: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(pem)
}

async fn merge_into(files: &[PathBuf], entry: &Entry, env: &Env) -> Result<Merged> {
    let written = |file: &&PathBuf| file.exists() || Some(*file) == destination(files);
    let locks = lock_all(&files.iter().filter(written).collect::<Vec<_>>(), env).await?;
    let previous_context = Kubeconfig::load_files(files)?.current_context().map(str::to_owned);
    let destination =
        destination(files).ok_or_else(|| Error::Config("there is no kubeconfig to write to".into()))?.clone();
    for file in files {
        let is_destination = *file == destination;
        let mut config = match read_file(file) {
            Ok(bytes) => parse(file, &bytes)?,
            Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                if !is_destination {
                    continue;
                }
                json!({"apiVersion": "v1", "kind": "Config", "preferences": {}})
            }
            Err(error) => return Err(error),
        };
        let before = config.clone();
        for (list, member) in LISTS {
            let mut stands_elsewhere = false;
            for other in files.iter().filter(|other| *other != file) {
                let found = Kubeconfig::load_files(std::slice::from_ref(other))?;
                stands_elsewhere |= found.names(list).any(|one| one == entry.name);
            }
            let here = entries(&config, list).any(|one| one["name"].as_str() == Some(&entry.name));
            if here || (is_destination && !stands_elsewhere) {
                put(&mut config, list, &entry.name, member, entry.member(member));
            }
        }
        if is_destination {
            config["current-context"] = entry.name.clone().into();
        }
        if config != before {
            write(file, &config)?;
        }
    }
    drop(locks);
    Ok(Merged { file: destination, previous_context: previous_context.filter(|name| *name != entry.name) })
}

/// kubectl's choice (clientcmd.PathOptions.GetDefaultFilename): the first file that exists, else the last.
fn destination(files: &[PathBuf]) -> Option<&PathBuf> {
    files.iter().find(|file| file.exists()).or_else(|| files.last())
}

fn put(config: &mut Value, list: &str, name: &str, member: &str, value: Value) {
    if !config[list].is_array() {
        config[list] = json!([]);
    }
    let Some(list) = config[list].as_array_mut() else { return };
    match list.iter_mut().find(|entry| entry["name"].as_str() == Some(name)) {
        Some(entry) => entry[member] = value,
        None => list.push(json!({"name": name, member: value})),
    }
}

fn encode(config: &Value) -> Result<String> {
    serde_saphyr::to_string(config).map_err(|error| Error::Config(format!("kubeconfig: {error}")))
}

/// A reader sees the old or the new one, and nobody but the owner may read either, whatever the mode was.
fn write(file: &Path, config: &Value) -> Result<()> {
    let text = encode(config)?;
    // A link stays a link: what it points to is replaced.
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    files::replace(&file, text.as_bytes(), Durability::Power).map_err(|source| Error::File { path: file, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::env;

    fn entry(server: &str) -> Entry {
        Entry {
            name: "sampan".into(),
            server: server.into(),
            ca_pem: b"ca".to_vec(),
            client_cert_pem: b"cert".to_vec(),
            client_key_pem: b"key".to_vec(),
        }
    }

    fn read(path: &Path) -> Value {
        parse(path, &read_file(path).expect("readable")).expect("YAML")
    }

    #[tokio::test]
    async fn a_new_file_is_made_for_its_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("deep/config");
        let merged =
            merge(&Target::File(file.clone()), &entry("https://127.0.0.1:6443"), &env()).await.expect("merged");
        assert_eq!(merged, Merged { file: file.clone(), previous_context: None });
        let config = Kubeconfig::load_file(&file).expect("readable");
        let remote = config.remote_config(None).expect("complete");
        assert_eq!(remote.server, "https://127.0.0.1:6443");
        assert!(matches!(remote.ca, Some(crate::CertificateAuthority::Pem(pem)) if pem == b"ca"));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
        assert!(!directory.path().join("deep/config.lock").exists());
    }

    #[tokio::test]
    async fn what_others_wrote_stays_and_the_previous_context_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config");
        std::fs::write(
            &file,
            "apiVersion: v1\nkind: Config\nx-unknown: {deep: [1, 2]}\ncurrent-context: prod\n\
             contexts:\n- name: prod\n  context: {cluster: prod, user: me, extensions: [{name: e}]}\n\
             clusters:\n- name: sampan\n  cluster: {server: https://old}\nusers: null\n",
        )
        .expect("written");
        let target = Target::File(file.clone());
        let merged = merge(&target, &entry("https://new"), &env()).await.expect("merged");
        assert_eq!(merged.previous_context.as_deref(), Some("prod"));
        let config = read(&file);
        assert_eq!(config["x-unknown"], json!({"deep": [1, 2]}));
        assert_eq!(config["contexts"][0]["context"]["extensions"][0]["name"], "e");
        assert_eq!(config["clusters"].as_array().map(Vec::len), Some(1));
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://new");
        assert_eq!(config["current-context"], "sampan");
        let again = merge(&target, &entry("https://new"), &env()).await.expect("merged");
        assert_eq!(again.previous_context, None);
    }

    #[tokio::test]
    async fn a_cluster_is_forgotten_wherever_it_stands_and_others_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let files: Vec<PathBuf> =
            ["absent", "first", "second"].iter().map(|name| directory.path().join(name)).collect();
        std::fs::write(&files[2], "contexts: [{name: prod, context: {cluster: prod, user: me}}]\n").expect("written");
        let mut other = entry("https://other");
        (other.name, other.ca_pem) = ("other".into(), b"another ca".to_vec());
        let check = async |previous: Option<&str>, current: Option<&str>| {
            std::fs::write(&files[1], "x-unknown: 1\n").expect("written");
            merge_into(&files, &other, &env()).await.expect("merged");
            merge_into(&files, &entry("https://new"), &env()).await.expect("merged");
            let forgotten = Forgotten { ca_pem: b"ca", name: Some("else"), previous };
            let names = forget_in(&files, &forgotten, &env()).await.expect("nothing to do");
            assert!(names.is_empty(), "{names:?}");
            let forgotten = Forgotten { name: None, ..forgotten };
            let names = forget_in(&files, &forgotten, &env()).await.expect("forgotten");
            assert_eq!(names, ["sampan"]);
            let config = Kubeconfig::load_files(&files).expect("loads");
            assert_eq!(config.contexts().collect::<Vec<_>>(), ["other", "prod"]);
            assert_eq!(config.current_context(), current, "{previous:?}");
            assert_eq!(read(&files[1])["x-unknown"], 1);
            let again = forget_in(&files, &forgotten, &env()).await.expect("nothing to do");
            assert!(again.is_empty(), "{again:?}");
        };
        check(Some("prod"), Some("prod")).await;
        check(Some("gone"), None).await;
        check(Some("sampan"), None).await;
        check(None, None).await;
        // The current context of somebody else stays.
        std::fs::write(&files[1], "").expect("written");
        merge_into(&files, &entry("https://new"), &env()).await.expect("merged");
        merge_into(&files, &other, &env()).await.expect("merged");
        let forgotten = Forgotten { ca_pem: b"ca", name: Some("sampan"), previous: Some("prod") };
        forget_in(&files, &forgotten, &env()).await.expect("forgotten");
        assert_eq!(Kubeconfig::load_files(&files).expect("loads").current_context(), Some("other"));
    }

    #[tokio::test]
    async fn of_several_files_the_one_that_has_the_entry_is_changed_and_new_ones_go_to_the_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let files: Vec<PathBuf> =
            ["absent", "first", "second"].iter().map(|name| directory.path().join(name)).collect();
        std::fs::write(&files[1], "current-context: a\n").expect("written");
        std::fs::write(&files[2], "clusters: [{name: sampan, cluster: {server: https://old}}]\n").expect("written");
        let merged = merge_into(&files, &entry("https://new"), &env()).await.expect("merged");
        assert_eq!(merged, Merged { file: files[1].clone(), previous_context: Some("a".into()) });
        assert_eq!(read(&files[2])["clusters"][0]["cluster"]["server"], "https://new");
        assert_eq!(read(&files[1])["current-context"], "sampan");
        assert!(read(&files[1])["clusters"].is_null());
        assert!(!files[0].exists());
        let remote = Kubeconfig::load_files(&files).expect("loads").remote_config(None).expect("complete");
        assert_eq!(remote.server, "https://new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_others_could_read_is_its_owners_alone_afterwards() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let open = |name: &str, mode: u32| {
            std::fs::write(path(name), "").expect("written");
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode)).expect("opened");
        };
        std::fs::write(path("victim"), "untouched").expect("written");
        for mode in [0o644, 0o666, 0o600, 0o640] {
            open("config", mode);
            // What an earlier version wrote beside it, and what somebody has put there.
            open("config.new", 0o644);
            std::fs::remove_file(path("config.lock")).unwrap_or_default();
            std::os::unix::fs::symlink(path("victim"), path("config.lock")).expect("a link");
            let target = Target::File(path("config"));
            merge(&target, &entry(&format!("https://{mode}")), &env()).await.expect("merged");
            let found = std::fs::metadata(path("config")).expect("there").permissions().mode() & 0o777;
            assert_eq!(found, 0o600, "{mode:o}");
            let forgotten = Forgotten { ca_pem: b"ca", name: None, previous: None };
            forget(&target, &forgotten, &env()).await.expect("forgotten");
            let found = std::fs::metadata(path("config")).expect("there").permissions().mode() & 0o777;
            assert_eq!(found, 0o600, "{mode:o}");
            assert_eq!(std::fs::read(path("victim")).expect("readable"), b"untouched");
        }
        // A link stays one, and what it points to is private too.
        open("real", 0o644);
        std::os::unix::fs::symlink(path("real"), path("link")).expect("a link");
        merge(&Target::File(path("link")), &entry("https://x"), &env()).await.expect("merged");
        assert!(path("link").symlink_metadata().expect("there").is_symlink());
        assert_eq!(std::fs::metadata(path("real")).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_configuration_of_its_own_reads_back() {
        let text = render(&entry("https://x")).expect("encodes");
        let config = parse(Path::new("x"), text.as_bytes()).expect("YAML");
        assert_eq!(config["users"][0]["user"]["client-key-data"], "a2V5");
    }
}
