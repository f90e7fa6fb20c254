//! Every limit of the reconcile runtime.

use std::time::Duration;

/// Longest one reconcile may take before it is given up and tried again.
pub const RECONCILE_TIMEOUT: Duration = Duration::from_secs(120);
/// Writes that a controller waits to see before it acts again on the same object; after it, what its informers show
/// counts (`ExpectationsTimeout` of client-go's ControllerExpectations: 5 minutes).
pub const EXPECTATIONS_TIMEOUT: Duration = Duration::from_secs(300);
/// Attempts of one status write that meets other writers (`statusUpdateRetries` of kube-controller-manager's
/// ReplicaSet controller is 1 after the first; ours is 3 in all).
pub const STATUS_ATTEMPTS: u32 = 3;
