//! Named limits of authentication and authorization.

/// Validity of the cluster's own certificate authority, years (kubeadm's default).
pub const CA_VALIDITY_YEARS: i32 = 10;
/// Validity of the certificates that it signs, years.
pub const CERTIFICATE_VALIDITY_YEARS: i32 = 1;
/// An own certificate is made anew at a start when less than this is left of it, days.
pub const CERTIFICATE_RENEWAL_DAYS: i64 = 60;
/// Largest static token file, bytes.
pub const TOKEN_FILE_MAX: u64 = 1024 * 1024;
