//! Every limit of admission.

use std::time::Duration;

/// Longest wait for one's turn to charge a namespace's quotas (Kubernetes' quota evaluator gives up after as long).
pub const QUOTA_TURN_MAX: Duration = Duration::from_secs(10);
/// Pods that are looked at when the level of their namespace changes (`defaultNamespaceMaxPodsToCheck`).
pub const POD_SECURITY_PODS_MAX: usize = 3000;
/// Longest such a look takes (`defaultNamespacePodCheckTimeout`).
pub const POD_SECURITY_TIME_MAX: Duration = Duration::from_secs(1);

/// Keys of a limit of events whose rates are kept where the configuration does not say (eventratelimit's defaultCacheSize).
pub const EVENT_RATE_CACHE_DEFAULT: usize = 4096;
/// Answers of the image policy's webhook that are kept (imagepolicy's response cache).
pub const IMAGE_REVIEWS_MAX: usize = 1024;
/// Times that the image policy's webhook is asked about the same pod where it cannot be reached (webhook's default back-off).
pub const IMAGE_REVIEW_ATTEMPTS_MAX: u32 = 5;
/// Longest time for one of these (client-go's webhook requests end after as long).
pub const IMAGE_REVIEW_TIME_MAX: Duration = Duration::from_secs(30);
/// Largest answer of the image policy's webhook, bytes.
pub const IMAGE_REVIEW_ANSWER_MAX: usize = 1024 * 1024;

/// Kinds of parameters whose resources are remembered; each is named by a policy.
pub const PARAM_KINDS_MAX: usize = 1024;
/// Questions to the authorizer that all expressions of a policy may ask at one write. Each costs 350,000 units, so that the
/// budgets of Kubernetes end before.
pub const POLICY_QUESTIONS_MAX: usize = 128;
