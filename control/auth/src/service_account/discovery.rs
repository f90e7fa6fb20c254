//! What relying parties need to verify tokens by themselves: the documents of OpenID Connect Discovery
//! (k8s.io/kubernetes/pkg/serviceaccount/openidmetadata.go, pkg/routes/openidmetadata.go).

use super::ServiceAccountTokens;
use super::keys::PublicKey;
use serde_json::json;
use std::collections::BTreeSet;

/// Where the issuer describes itself.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Where its public keys are.
pub const KEYS_PATH: &str = "/openid/v1/jwks";

/// A document that is the same for everybody.
#[derive(Clone, Debug)]
pub struct Document {
    /// The path at which it is served.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its text.
    pub json: String,
}

impl ServiceAccountTokens {
    /// The two documents. `server`: the URL by which clients reach the API. None where the issuer is not an `https` URL
    /// without query and fragment: then it is no issuer of OpenID Connect.
    pub fn documents(&self, server: &str) -> Vec<Document> {
        let issuer = &self.issuer;
        if !issuer.starts_with("https://") || issuer.contains(['?', '#']) {
            return Vec::new();
        }
        let algorithms: BTreeSet<&str> = self.keys().map(|key| key.algorithm.name()).collect();
        let configuration = json!({
            "issuer": issuer,
            "jwks_uri": format!("{server}{KEYS_PATH}"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        });
        let keys = json!({"keys": self.keys().map(PublicKey::jwk).collect::<Vec<_>>()});
        vec![
            Document { path: CONFIGURATION_PATH, content_type: "application/json", json: configuration.to_string() },
            Document { path: KEYS_PATH, content_type: "application/jwk-set+json", json: keys.to_string() },
        ]
    }
}
