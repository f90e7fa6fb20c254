//! URLs as Go reads them.

/// An absolute URL or path, as Go's `url.ParseRequestURI` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) path: String,
    query: String,
}

impl Url {
    /// The URL of a text, or why it is none, as Go says it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let failed = |why: &str| format!("parse {text:?}: {why}");
        if text.is_empty() {
            return Err(failed("empty url"));
        }
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(failed("net/url: invalid control character in URL"));
        }
        let (before, _) = text.split_once('#').unwrap_or((text, ""));
        let scheme_end = before.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
        let (scheme, rest) = match scheme_end {
            Some(end) if end > 0 && before[end..].starts_with(':') && before.as_bytes()[0].is_ascii_alphabetic() => {
                (before[..end].to_ascii_lowercase(), &before[end + 1..])
            }
            Some(0) if before.starts_with(':') => return Err(failed("missing protocol scheme")),
            _ => (String::new(), before),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            return match scheme.is_empty() {
                true => Err(failed("invalid URI for request")),
                false => Ok(Self { scheme, host: String::new(), path: String::new(), query: query.into() }),
            };
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(after) if !scheme.is_empty() || !rest.starts_with("///") => {
                let end = after.find('/').unwrap_or(after.len());
                (&after[..end], &after[end..])
            }
            _ => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if let Some(bad) = host.chars().find(|c| " \"<>^`{}|\\".contains(*c)) {
            return Err(failed(&format!("invalid character {:?} in host name", bad.to_string())));
        }
        let port = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or("", |(_, port)| port);
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(failed(&format!("invalid port {:?} after host", format!(":{port}"))));
        }
        if let Some(at) = bad_escape(path) {
            return Err(failed(&format!("invalid URL escape {:?}", &path[at..path.len().min(at + 3)])));
        }
        Ok(Self { scheme, host: host.into(), path: escaped(path), query: query.into() })
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
            (unescaped(key), unescaped(value))
        })
    }
}

fn bad_escape(path: &str) -> Option<usize> {
    let bytes = path.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    (0..bytes.len()).find(|at| bytes[*at] == b'%' && !(hex(at + 1) && hex(at + 2)))
}

fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte);
        if plain { out.push(byte.into()) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

fn unescaped(text: &str) -> String {
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
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
