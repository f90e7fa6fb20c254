//! What the chain knows of one request, handed along in its extensions.

use crate::request_info::RequestInfo;
use sampan_api::UserInfo;
use sampan_api::admission::Warnings;
use std::sync::Arc;

/// Made by the first layer, read by all that follow.
#[derive(Debug)]
pub struct Exchange {
    pub info: RequestInfo,
    /// The request's id: in the `Audit-Id` header, in the log, and in the writer of what it writes.
    pub audit_id: String,
    pub warnings: Warnings,
    /// The caller is in this process: it is neither counted in flight nor timed.
    pub in_process: bool,
}

/// Who asks, after authentication and impersonation.
#[derive(Clone, Debug)]
pub struct Identity(pub Arc<UserInfo>);
