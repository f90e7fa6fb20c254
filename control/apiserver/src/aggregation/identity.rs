//! Who asks, as another server is told: `X-Remote-User` and the like, which it believes of who shows the front proxy's
//! certificate (client-go's `SetAuthProxyHeaders`).

use http::{HeaderMap, HeaderName, HeaderValue};
use sampan_api::UserInfo;

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-extra-";
const IMPERSONATE: &str = "impersonate-";

/// Takes off what the client said of who it is, and says who it is.
///
/// # Errors
/// When a name cannot stand in a header.
pub(super) fn tell(headers: &mut HeaderMap, user: &UserInfo) -> Result<(), http::Error> {
    let said = |name: &HeaderName| {
        let text = name.as_str();
        *name == http::header::AUTHORIZATION
            || [USER, UID, GROUP].contains(name)
            || text.starts_with(EXTRA)
            || text.starts_with(IMPERSONATE)
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| said(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    headers.insert(USER, HeaderValue::from_bytes(user.name.as_bytes())?);
    if !user.uid.is_empty() {
        headers.insert(UID, HeaderValue::from_bytes(user.uid.as_bytes())?);
    }
    for group in &user.groups {
        headers.append(GROUP, HeaderValue::from_bytes(group.as_bytes())?);
    }
    for (key, values) in &user.extra {
        let name: HeaderName = format!("{EXTRA}{}", escaped(key)).parse()?;
        for value in values {
            headers.append(name.clone(), HeaderValue::from_bytes(value.as_bytes())?);
        }
    }
    Ok(())
}

/// A key of `extra` as a header's name has it: what cannot stand there, and `%`, by its hexadecimal number.
fn escaped(key: &str) -> String {
    let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
    key.bytes().fold(String::with_capacity(key.len()), |mut out, byte| {
        match stands(byte) {
            true => out.push(byte.into()),
            false => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_server_says_who_asks() {
        let mut user = UserInfo::new("ann", ["a", "b"]);
        user.extra.insert("example.com/Scopes%".into(), vec!["x".into(), "y".into()]);
        let mut headers = HeaderMap::new();
        for name in
            ["authorization", "x-remote-user", "x-remote-group", "x-remote-extra-a", "impersonate-user", "accept"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("client"));
        }
        tell(&mut headers, &user).expect("headers");
        let all =
            |name: &str| headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect::<Vec<_>>();
        assert_eq!(all("x-remote-user"), ["ann"]);
        assert_eq!(all("x-remote-group"), ["a", "b", "system:authenticated"]);
        assert_eq!(all("x-remote-extra-example.com%2fscopes%25"), ["x", "y"]);
        assert_eq!(all("accept"), ["client"]);
        for gone in ["authorization", "x-remote-extra-a", "impersonate-user", "x-remote-uid"] {
            assert!(headers.get(gone).is_none(), "{gone}");
        }
        user.name = "a\nb".into();
        tell(&mut headers, &user).expect_err("it cannot stand in a header");
    }
}
