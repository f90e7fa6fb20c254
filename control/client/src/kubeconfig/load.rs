use crate::Result;
use crate::error::Error;
use crate::tls::{CertificateAuthority, Credentials, RemoteConfig, read_file};
use base64::Engine;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The files that make up the configuration, in kubectl's order: those of `$KUBECONFIG`, else `~/.kube/config`.
/// `kubeconfig` and `home` are the variables' values.
///
/// # Errors
/// `Config` when neither names a file.
pub fn paths(kubeconfig: Option<&std::ffi::OsStr>, home: Option<&Path>) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in kubeconfig.map(std::env::split_paths).into_iter().flatten() {
        if !path.as_os_str().is_empty() && !found.contains(&path) {
            found.push(path);
        }
    }
    if found.is_empty() {
        let home = home.ok_or_else(|| Error::Config("neither KUBECONFIG nor HOME is set".into()))?;
        found.push(home.join(".kube").join("config"));
    }
    Ok(found)
}

/// As [`paths`], out of this process's environment.
pub(super) fn paths_of_environment() -> Result<Vec<PathBuf>> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    paths(std::env::var_os("KUBECONFIG").as_deref(), home.as_deref())
}

/// A configuration as kubectl sees it: several files as one.
#[derive(Clone, Debug, Default)]
pub struct Kubeconfig {
    /// Each with the directory that its relative paths are relative to.
    files: Vec<(PathBuf, Value)>,
}

impl Kubeconfig {
    /// The user's configuration. Files that do not exist are passed over; with none at all it is empty.
    ///
    /// # Errors
    /// `File` and `Config` for one that cannot be read or is no YAML.
    pub fn load() -> Result<Self> {
        Self::load_files(&paths_of_environment()?)
    }

    /// One file, which must exist.
    ///
    /// # Errors
    /// `File` and `Config` when it cannot be read or is no YAML.
    pub fn load_file(path: &Path) -> Result<Self> {
        Ok(Self { files: vec![(directory(path), parse(path, &read_file(path)?)?)] })
    }

    /// # Errors
    /// As [`Kubeconfig::load`].
    pub fn load_files(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            match read_file(path) {
                Ok(bytes) => files.push((directory(path), parse(path, &bytes)?)),
                Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { files })
    }

    /// The name of the current context, if there is one.
    pub fn current_context(&self) -> Option<&str> {
        // The first file that says so wins, as with every value.
        self.files.iter().find_map(|(_, file)| file["current-context"].as_str().filter(|name| !name.is_empty()))
    }

    /// The names of all contexts.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.names("contexts")
    }

    /// Names in `clusters`, `contexts` or `users`.
    pub(super) fn names(&self, list: &str) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(move |(_, file)| entries(file, list)).filter_map(|entry| entry["name"].as_str())
    }

    fn find(&self, list: &str, member: &str, name: &str) -> Option<(&Path, &Value)> {
        self.files.iter().find_map(|(directory, file)| {
            let entry = entries(file, list).find(|entry| entry["name"].as_str() == Some(name))?;
            Some((directory.as_path(), &entry[member]))
        })
    }

    fn context(&self, context: Option<&str>) -> Result<&Value> {
        let name = context
            .or_else(|| self.current_context())
            .ok_or_else(|| Error::Config("the kubeconfig has no current context".into()))?;
        self.find("contexts", "context", name)
            .map(|(_, context)| context)
            .ok_or_else(|| Error::Config(format!("the kubeconfig has no context {name:?}")))
    }

    /// The context's namespace, else `default`.
    ///
    /// # Errors
    /// `Config` when there is no such context.
    pub fn namespace(&self, context: Option<&str>) -> Result<String> {
        Ok(self.context(context)?["namespace"].as_str().filter(|name| !name.is_empty()).unwrap_or("default").to_owned())
    }

    /// The cluster and the user of the context, for a client; `None`: the current context.
    ///
    /// # Errors
    /// `Config` when something is missing, `Unsupported` for a way in that is not built (exec plugins, proxies), `File`
    /// for a file that cannot be read.
    pub fn remote_config(&self, context: Option<&str>) -> Result<RemoteConfig> {
        let context = self.context(context)?;
        let name = context["cluster"].as_str().unwrap_or_default();
        let (directory, cluster) = self
            .find("clusters", "cluster", name)
            .ok_or_else(|| Error::Config(format!("the kubeconfig has no cluster {name:?}")))?;
        if cluster["proxy-url"].as_str().is_some_and(|url| !url.is_empty()) {
            return Err(Error::Unsupported(format!("proxy-url of cluster {name:?}")));
        }
        let server = cluster["server"].as_str().unwrap_or_default().to_owned();
        let ca = if cluster["insecure-skip-tls-verify"].as_bool() == Some(true) {
            Some(CertificateAuthority::Insecure)
        } else {
            let pem = material(cluster, "certificate-authority", directory)?;
            Some(pem.map_or(CertificateAuthority::System, CertificateAuthority::Pem))
        };
        let user = context["user"].as_str().unwrap_or_default();
        let credentials = match self.find("users", "user", user) {
            Some((directory, entry)) => credentials(user, entry, directory)?,
            None if user.is_empty() => Credentials::None,
            None => return Err(Error::Config(format!("the kubeconfig has no user {user:?}"))),
        };
        let tls_server_name = cluster["tls-server-name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(RemoteConfig { server, ca, credentials, tls_server_name })
    }
}

fn credentials(name: &str, user: &Value, directory: &Path) -> Result<Credentials> {
    let text = |member: &str| user[member].as_str().filter(|text| !text.is_empty());
    if let Some(token) = text("token") {
        return Ok(Credentials::Token(token.to_owned()));
    }
    if let Some(file) = text("tokenFile") {
        return Ok(Credentials::TokenFile(directory.join(file)));
    }
    let certificate = material(user, "client-certificate", directory)?;
    let key = material(user, "client-key", directory)?;
    match (certificate, key) {
        (Some(cert_pem), Some(key_pem)) => Ok(Credentials::ClientCertificate { cert_pem, key_pem }),
        (Some(_), None) => Err(Error::Config(format!("user {name:?} has a client certificate and no key"))),
        (None, Some(_)) => Err(Error::Config(format!("user {name:?} has a client key and no certificate"))),
        (None, None) => {
            for other in ["exec", "auth-provider", "username"] {
                if !user[other].is_null() {
                    return Err(Error::Unsupported(format!("{other} of user {name:?}")));
                }
            }
            Ok(Credentials::None)
        }
    }
}

/// `<member>-data` in base64, else the file that `<member>` names.
fn material(entry: &Value, member: &str, directory: &Path) -> Result<Option<Vec<u8>>> {
    let data = format!("{member}-data");
    if let Some(text) = entry[&data].as_str().filter(|text| !text.is_empty()) {
        let text: String = text.split_ascii_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        return bytes.map(Some).map_err(|error| Error::Config(format!("{data}: {error}")));
    }
    match entry[member].as_str().filter(|path| !path.is_empty()) {
        Some(path) => read_file(&directory.join(path)).map(Some),
        None => Ok(None),
    }
}

pub(super) fn entries<'a>(file: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    file[list].as_array().into_iter().flatten()
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Value> {
    let error = |why: String| Error::Config(format!("{}: {why}", path.display()));
    let text = std::str::from_utf8(bytes).map_err(|why| error(why.to_string()))?;
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_saphyr::from_str::<Value>(text).map_err(|why| error(why.to_string()))? {
        Value::Null => Ok(Value::Object(serde_json::Map::new())),
        file @ Value::Object(_) => Ok(file),
        _ => Err(error("it is no kubeconfig".into())),
    }
}

fn directory(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_variable_comes_before_the_home() {
        let check = |variable: Option<&str>, expected: &[&str]| {
            let found = paths(variable.map(std::ffi::OsStr::new), Some(Path::new("/home/u"))).expect("paths");
            assert_eq!(found, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
        };
        check(None, &["/home/u/.kube/config"]);
        check(Some(""), &["/home/u/.kube/config"]);
        check(Some("/a:/b::/a"), &["/a", "/b"]);
        assert!(paths(None, None).is_err());
    }

    #[test]
    fn the_first_file_that_says_something_wins() {
        let file = |context: &str, server: &str| {
            json!({"current-context": context,
                "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": true}}],
                "contexts": [{"name": context, "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
                "users": [{"name": "u", "user": {"token": "t"}}]})
        };
        let files = vec![
            ("/x".into(), json!({})),
            ("/x".into(), file("one", "https://one")),
            ("/x".into(), file("two", "https://two")),
        ];
        let config = Kubeconfig { files };
        assert_eq!(config.current_context(), Some("one"));
        assert_eq!(config.contexts().collect::<Vec<_>>(), ["one", "two"]);
        let remote = config.remote_config(Some("two")).expect("complete");
        assert_eq!(remote.server, "https://one");
        assert!(matches!(remote.credentials, Credentials::Token(token) if token == "t"));
        assert_eq!(config.namespace(None).expect("a context"), "n");
        let error = config.remote_config(Some("three")).err().expect("no such context");
        assert_eq!(error.to_string(), "the kubeconfig has no context \"three\"");
    }

    #[test]
    fn what_is_not_supported_says_so() {
        let user = json!({"exec": {"command": "x"}});
        let error = credentials("u", &user, Path::new("")).expect_err("exec plugins are not built");
        assert_eq!(error.to_string(), "not supported: exec of user \"u\"");
    }
}
