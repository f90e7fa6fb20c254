//! Every limit of admission.

use std::time::Duration;

/// Longest wait for one's turn to charge a namespace's quotas (Kubernetes' quota evaluator gives up after as long).
pub const QUOTA_TURN_MAX: Duration = Duration::from_secs(10);
/// Pods that are looked at when the level of their namespace changes (`defaultNamespaceMaxPodsToCheck`).
pub const POD_SECURITY_PODS_MAX: usize = 3000;
/// Longest such a look takes (`defaultNamespacePodCheckTimeout`).
pub const POD_SECURITY_TIME_MAX: Duration = Duration::from_secs(1);

/// Kinds of parameters whose resources are remembered; each is named by a policy.
pub const PARAM_KINDS_MAX: usize = 1024;
/// Questions to the authorizer that all expressions of a policy may ask at one write. Each costs 350,000 units, so that the
/// budgets of Kubernetes end before.
pub const POLICY_QUESTIONS_MAX: usize = 128;
