//! Named limits of authentication and authorization.

use std::time::Duration;

/// Validity of the cluster's own certificate authority, years (kubeadm's default).
pub const CA_VALIDITY_YEARS: i32 = 10;
/// Validity of the certificates that it signs, years.
pub const CERTIFICATE_VALIDITY_YEARS: i32 = 1;
/// An own certificate is made anew at a start when less than this is left of it, days.
pub const CERTIFICATE_RENEWAL_DAYS: i64 = 60;
/// Largest static token file, bytes.
pub const TOKEN_FILE_MAX: u64 = 1024 * 1024;

/// Roles that a refusal names because they do not exist.
pub const ABSENT_ROLES_TOLD_MAX: usize = 32;
/// Holders of a binding that are changed while those who ask wait: about 100 microseconds.
pub const GRANTS_CHANGED_AT_ONCE: usize = 128;
/// Rules that a SelfSubjectRulesReview lists, bytes. The roles of a new cluster have 30 KiB together.
pub const RULES_TOLD_BYTES_MAX: usize = 1024 * 1024;
/// Rules that it looks at, bytes: most are those of other roles once more.
pub const RULES_EXAMINED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of changed roles and bindings from which they are put in force by a thread of their own.
pub const RBAC_CHANGE_BYTES_MIN: usize = 32 * 1024;
/// Bytes that count for each ClusterRole when one of them changes, for it may be selected by others.
pub const CLUSTER_ROLE_SHAPE_BYTES: usize = 32;

/// What is kept of the names that pods refer to, for all nodes together, bytes. A usual pod has half a KiB.
pub const REFERENCES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of pods from which their references are read by a thread of their own.
pub const REFERENCES_READ_BYTES_MIN: usize = 64 * 1024;
/// Nodes whose large pods are read at one time: as a tree, a pod takes many times its bytes.
pub const REFERENCES_READ_AT_ONCE: usize = 2;

/// A client's certificates, its own and those between it and an authority, bytes: a chain of four with keys of RSA has half of it.
pub const CLIENT_CERTIFICATES_BYTES_MAX: usize = 16 * 1024;
/// Longest bearer token that is looked at, bytes. kube-apiserver's are below 2 KiB.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How far clocks may differ where a token's times are compared, seconds (go-jose's default).
pub const TOKEN_CLOCK_LEEWAY_SECONDS: i64 = 60;
/// Tokens whose signature is remembered, in all: about 1 KiB each.
pub const VERIFIED_TOKENS_MAX: usize = 8_192;
/// Of these, of one account: a pod has a token of its own.
pub const VERIFIED_TOKENS_OF_ONE_MAX: usize = 1_024;

/// Comparisons of texts for the question whether somebody holds what he gives away: about 5 ms.
pub const ESCALATION_COMPARISONS_MAX: usize = 1_000_000;
/// Rights that a refusal names because they are not held.
pub const MISSING_RIGHTS_TOLD_MAX: usize = 1_000;

/// How far back certificates hold that are signed for others: clocks differ (kube-controller-manager's).
pub const CERTIFICATE_BACKDATE: Duration = Duration::from_secs(5 * 60);
/// Certificates that hold for less keep their whole time after now.
pub const CERTIFICATE_SHORT: Duration = Duration::from_secs(8 * 60 * 60);
