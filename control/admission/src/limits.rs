//! Every limit of admission.

use std::time::Duration;

/// Longest wait for one's turn to charge a namespace's quotas (Kubernetes' quota evaluator gives up after as long).
pub const QUOTA_TURN_MAX: Duration = Duration::from_secs(10);
