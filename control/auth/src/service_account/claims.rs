//! The claims of service accounts' tokens (k8s.io/kubernetes/pkg/serviceaccount: claims.go and legacy.go).

use crate::limits::TOKEN_CLOCK_LEEWAY_SECONDS;
use sampan_api::UserInfo;
use serde::{Deserialize, Deserializer, Serialize};

/// The issuer of tokens that stand in Secrets.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// What a token says. Times are seconds since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Claims {
    /// Whom the token is for; of a Secret's: nobody but the API server.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Who made it.
    #[serde(default)]
    pub iss: String,
    /// Its own name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// The account and what it is bound to; not of a Secret's.
    #[serde(default, rename = "kubernetes.io", skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Bound>,
    /// The account and the Secret, of a Secret's.
    #[serde(flatten)]
    pub legacy: LegacyClaims,
    /// Before this it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The account as a user.
    #[serde(default)]
    pub sub: String,
}

/// The claim `kubernetes.io`: the account, and what the token lives and dies with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The account's namespace.
    #[serde(default)]
    pub namespace: String,
    /// The node: that the token is bound to, or that its pod is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Ref>,
    /// The pod that the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Ref>,
    /// The Secret that the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Ref>,
    /// The account.
    #[serde(default)]
    pub serviceaccount: Ref,
    /// From when on the use of the token is worth a note; seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// An object by name and UID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ref {
    /// The object's name.
    #[serde(default)]
    pub name: String,
    /// Its UID; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The claims of a token that stands in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyClaims {
    /// The account's namespace.
    #[serde(default, rename = "kubernetes.io/serviceaccount/namespace", skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The name of the Secret.
    #[serde(default, rename = "kubernetes.io/serviceaccount/secret.name", skip_serializing_if = "String::is_empty")]
    pub secret: String,
    /// The account's name.
    #[serde(
        default,
        rename = "kubernetes.io/serviceaccount/service-account.name",
        skip_serializing_if = "String::is_empty"
    )]
    pub account: String,
    /// The account's UID.
    #[serde(
        default,
        rename = "kubernetes.io/serviceaccount/service-account.uid",
        skip_serializing_if = "String::is_empty"
    )]
    pub uid: String,
}

/// The audience is one string or a list of them (RFC 7519).
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

impl Claims {
    /// Whether the token holds at that time, seconds since 1970; else why not, in kube-apiserver's words.
    pub(super) fn in_time(&self, now: i64) -> Result<(), &'static str> {
        let leeway = TOKEN_CLOCK_LEEWAY_SECONDS;
        if self.nbf.is_some_and(|from| now + leeway < from) {
            return Err("service account token is not valid yet");
        }
        if self.exp.is_some_and(|until| now - leeway > until) {
            return Err("service account token has expired");
        }
        if self.iat.is_some_and(|made| now + leeway < made) {
            return Err("service account token is issued in the future");
        }
        Ok(())
    }

    /// The identity that the token proves once it has been verified.
    pub(super) fn user(&self) -> UserInfo {
        let Some(bound) = &self.kubernetes else {
            let mut user = UserInfo::service_account(&self.legacy.namespace, &self.legacy.account);
            user.uid.clone_from(&self.legacy.uid);
            return user;
        };
        let mut user = UserInfo::service_account(&bound.namespace, &bound.serviceaccount.name);
        user.uid.clone_from(&bound.serviceaccount.uid);
        let mut tell = |key: &str, value: String| {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        };
        if let Some(pod) = bound.pod.as_ref().filter(|pod| !pod.name.is_empty() && !pod.uid.is_empty()) {
            tell("pod-name", pod.name.clone());
            tell("pod-uid", pod.uid.clone());
        }
        if !self.jti.is_empty() {
            tell("credential-id", format!("JTI={}", self.jti));
        }
        if let Some(node) = bound.node.as_ref().filter(|node| !node.name.is_empty()) {
            tell("node-name", node.name.clone());
            if !node.uid.is_empty() {
                tell("node-uid", node.uid.clone());
            }
        }
        user
    }

    /// What is wrong with the claims of a token that stands in a Secret, in kube-apiserver's words.
    pub(super) fn legacy_fault(&self) -> Option<&'static str> {
        let claims = &self.legacy;
        let missing = [
            (&self.sub, "sub claim is missing"),
            (&claims.namespace, "namespace claim is missing"),
            (&claims.secret, "secretName claim is missing"),
            (&claims.account, "serviceAccountName claim is missing"),
            (&claims.uid, "serviceAccountUID claim is missing"),
        ];
        if let Some((_, what)) = missing.iter().find(|(claim, _)| claim.is_empty()) {
            return Some(what);
        }
        let subject = format!("system:serviceaccount:{}:{}", claims.namespace, claims.account);
        (self.sub != subject).then_some("sub claim is invalid")
    }
}
