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
    let files = match target {
        Target::Default => paths_of_environment()?,
        Target::File(path) => vec![path.clone()],
    };
    merge_into(&files, entry, env).await
}

/// Takes the entries of that name out of the configuration again. The current context goes back to `previous` if it is
/// still that of the entry.
///
/// # Errors
/// As [`merge`].
pub async fn remove(file: &Path, name: &str, previous: Option<&str>, env: &Env) -> Result<()> {
    let _lock = Lock::take(file, &[], env).await?;
    let mut config = match read_file(file) {
        Ok(bytes) => parse(file, &bytes)?,
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for (list, _) in LISTS {
        if let Some(list) = config[list].as_array_mut() {
            list.retain(|entry| entry["name"].as_str() != Some(name));
        }
    }
    if config["current-context"].as_str() == Some(name) {
        config["current-context"] = previous.unwrap_or("").into();
    }
    write(file, &config)
}

/// Makes `previous` the current context again if `name` still is.
///
/// # Errors
/// As [`merge`].
pub async fn leave(file: &Path, name: &str, previous: &str, env: &Env) -> Result<()> {
    let _lock = Lock::take(file, &[], env).await?;
    let mut config = match read_file(file) {
        Ok(bytes) => parse(file, &bytes)?,
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if config["current-context"].as_str() != Some(name) {
        return Ok(());
    }
    config["current-context"] = previous.into();
    write(file, &config)
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
        let encode = |pem: &[u8]| base64::engine::general_purpose::STANDARD.encode(pem);
        match member {
            "cluster" => json!({"server": self.server, "certificate-authority-data": encode(&self.ca_pem)}),
            "context" => json!({"cluster": self.name, "user": self.name}),
            _ => json!({
                "client-certificate-data": encode(&self.client_cert_pem),
                "client-key-data": encode(&self.client_key_pem),
            }),
        }
    }
}

async fn merge_into(files: &[PathBuf], entry: &Entry, env: &Env) -> Result<Merged> {
    // All are locked, in one order for everyone, since an entry may stand in any of them (clientcmd.ModifyConfig).
    let mut sorted: Vec<&PathBuf> = files.iter().collect();
    sorted.sort();
    let mut locks = Vec::new();
    for file in sorted {
        if file.exists() || Some(file) == destination(files) {
            let lock = Lock::take(file, &locks, env).await?;
            locks.push(lock);
        }
    }
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
        let current = || Kubeconfig::load_file(&file).expect("it is one").current_context().map(str::to_owned);
        leave(&file, "another", "prod", &env()).await.expect("left");
        assert_eq!(current().as_deref(), Some("sampan"), "it is another's context");
        leave(&file, "sampan", "prod", &env()).await.expect("left");
        assert_eq!(current().as_deref(), Some("prod"));
        leave(&file, "prod", "sampan", &env()).await.expect("left");
        remove(&file, "sampan", Some("prod"), &env()).await.expect("removed");
        let config = read(&file);
        assert_eq!(
            (&config["current-context"], config["contexts"].as_array().map(Vec::len)),
            (&"prod".into(), Some(1))
        );
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
            remove(&path("config"), "other", None, &env()).await.expect("removed");
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
