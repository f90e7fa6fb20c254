//! URLs as Go reads them.

use sampan_api::field::go_quote;

/// A URL as Go's `url.Parse` and `url.ParseRequestURI` take it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    /// In lower case; empty where the URL has none.
    pub scheme: String,
    /// What stands before the host.
    pub user: Option<String>,
    /// The host and its port.
    pub host: String,
    pub(crate) path: String,
    /// As it is written.
    pub query: String,
    /// What comes after the `#`.
    pub fragment: String,
}

/// What a text may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// An absolute URL or path, without a fragment.
    Request,
    /// Any reference.
    Reference,
}

impl Url {
    /// The absolute URL or path of a text, or why it is none, as Go says it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(failed(text, "empty url"));
        }
        let (before, _) = text.split_once('#').unwrap_or((text, ""));
        Self::read(before, Form::Request).map_err(|why| failed(text, &why))
    }

    /// The URL of a text that may have a fragment and need not be absolute.
    ///
    /// # Errors
    /// Why it is none, as Go says it.
    pub fn reference(text: &str) -> Result<Self, String> {
        let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
        let url = Self::read(before, Form::Reference).map_err(|why| failed(before, &why))?;
        escapes(fragment).map_err(|why| failed(text, &why))?;
        Ok(Self { fragment: unescaped(fragment, Plus::Itself), ..url })
    }

    fn read(text: &str, form: Form) -> Result<Self, String> {
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".into());
        }
        let (scheme, rest) = scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (scheme, query) = (scheme.to_ascii_lowercase(), query.to_owned());
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                return Ok(Self { scheme, query, ..Self::default() });
            }
            if form == Form::Request {
                return Err("invalid URI for request".into());
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".into());
            }
        }
        let has_authority = !scheme.is_empty() || (form == Form::Reference && !rest.starts_with("///"));
        let (authority, path) = match rest.strip_prefix("//") {
            Some(after) if has_authority => after.split_at(after.find('/').unwrap_or(after.len())),
            _ => ("", rest),
        };
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        host_problem(host)?;
        let user = user.map(user_of).transpose()?;
        escapes(path)?;
        Ok(Self { scheme, user, host: host.into(), path: escaped(path), query, fragment: String::new() })
    }

    /// The host without its port.
    pub(crate) fn hostname(&self) -> &str {
        let host = &self.host;
        match (host.strip_prefix('['), host.rfind(']')) {
            (Some(rest), Some(end)) => &rest[..end - 1],
            _ => host.rsplit_once(':').map_or(host, |(name, _)| name),
        }
    }

    /// The port; empty where none is said.
    pub(crate) fn port(&self) -> &str {
        let after = self.host.rfind(']').map_or(&*self.host, |end| &self.host[end + 1..]);
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// The keys and values of the query.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let parts = self.query.split('&').filter(|part| !part.is_empty() && !part.contains(';'));
        parts.map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (unescaped(key, Plus::Space), unescaped(value, Plus::Space))
        })
    }
}

fn failed(text: &str, why: &str) -> String {
    format!("parse {}: {why}", go_quote(text))
}

/// The scheme of a URL, empty where it has none, and what comes after it.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
    match end {
        Some(0) if text.starts_with(':') => Err("missing protocol scheme".into()),
        Some(end) if text[end..].starts_with(':') && text.as_bytes()[0].is_ascii_alphabetic() => {
            Ok((&text[..end], &text[end + 1..]))
        }
        _ => Ok(("", text)),
    }
}

/// A host and a port, each of which may be missing.
fn host_problem(host: &str) -> Result<(), String> {
    let port = match (host.starts_with('['), host.rfind(']')) {
        (true, None) => return Err("missing ']' in host".into()),
        (true, Some(end)) => &host[end + 1..],
        (false, _) => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if (!port.is_empty() && !port.starts_with(':')) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("invalid port {} after host", go_quote(port)));
    }
    if let Some(bad) = host.chars().find(|c| " ^`{}|\\".contains(*c)) {
        return Err(format!("invalid character {} in host name", go_quote(&bad.to_string())));
    }
    escapes(host)
}

/// A user's name and password.
fn user_of(text: &str) -> Result<String, String> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !text.bytes().all(valid) {
        return Err("net/url: invalid userinfo".into());
    }
    escapes(text)?;
    Ok(text.replace('@', "%40"))
}

/// Refuses a `%` that no two hexadecimal digits follow.
fn escapes(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    match (0..bytes.len()).find(|at| bytes[*at] == b'%' && !(hex(at + 1) && hex(at + 2))) {
        None => Ok(()),
        Some(at) => {
            let bad = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]);
            Err(format!("invalid URL escape {}", go_quote(&bad)))
        }
    }
}

fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte);
        if plain { out.push(byte.into()) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

/// What a plus stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Itself,
    Space,
}

fn unescaped(text: &str, plus: Plus) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus == Plus::Space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
