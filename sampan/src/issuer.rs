//! The issuer of service accounts' tokens: what it may be, and where others find the keys by which they verify its tokens.

use sampan_apiserver::{Route, documents};
use sampan_auth::service_account::ServiceAccountTokens;
use sampan_cel::Url;

/// What is wrong with an issuer, in kube-apiserver's words (pkg/kubeapiserver/options/authentication.go).
pub fn problem(issuer: &str) -> Option<String> {
    if issuer.is_empty() {
        return Some("should not be an empty string".into());
    }
    let why = if issuer.contains(':') { Url::reference(issuer).err()? } else { return None };
    Some(format!("{issuer:?} contained a ':' but was not a valid URL: {why}"))
}

/// Where its documents are served; `server`: the URL by which clients reach the API. An issuer that may have none of them is
/// told of: its tokens are good for this server alone.
pub fn routes(tokens: &ServiceAccountTokens, issuer: &str, server: &str) -> Vec<Route> {
    let routes: Vec<Route> = tokens.documents(server).into_iter().map(documents::route).collect();
    if routes.is_empty() {
        tracing::warn!(
            issuer,
            "no OpenID discovery of service accounts' issuer (serviceAccountIssuer): it is for https URLs without query and \
             fragment"
        );
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_with_a_colon_is_a_url() {
        let check = |issuer: &str, part: Option<&str>| {
            let found = problem(issuer);
            let is_right = match (&found, part) {
                (Some(found), Some(part)) => found.contains(part),
                (found, part) => found.is_none() && part.is_none(),
            };
            assert!(is_right, "{issuer:?}: {found:?}");
        };
        check("https://kubernetes.default.svc.cluster.local", None);
        check("https://127.0.0.1:45123/", None);
        check("kubernetes/serviceaccount", None);
        check("urn:example", None);
        check("", Some("empty string"));
        check("https://a b", Some("invalid character"));
        check("https://a:port", Some("invalid port"));
        check(":a", Some("missing protocol scheme"));
        check("1:a", Some("first path segment in URL cannot contain colon"));
    }
}
