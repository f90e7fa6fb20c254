//! Every limit of the controllers. Kubernetes' own defaults where it has one.

use std::time::Duration;

/// Reconciles of one controller at the same time (kube-controller-manager: 5 for deployments and replica sets, 10 for
/// namespaces, 20 for the garbage collector).
pub const WORKERS: usize = 5;
/// Namespaces that are emptied at the same time.
pub const NAMESPACE_WORKERS: usize = 10;
/// Kinds of one namespace that are emptied at the same time.
pub const NAMESPACE_KINDS: usize = 8;
/// Objects that the garbage collector looks at at the same time.
pub const GARBAGE_WORKERS: usize = 20;
/// Pods created or deleted by one reconcile of a ReplicaSet (`BurstReplicas`).
pub const BURST_REPLICAS: usize = 500;
/// First batch of creations; each that succeeds whole is followed by one of twice its size.
pub const SLOW_START_BATCH: usize = 1;
/// Characters of the revision history that a ReplicaSet's annotation keeps.
pub const REVISION_HISTORY_LEN: usize = 2000;

/// Delay of a look at something that is due at a time of an object: those have whole seconds, and after it the time is
pub const WHOLE_SECOND: Duration = Duration::from_secs(1);

/// Wait before a namespace whose content does not go away at once is looked at again.
pub const NAMESPACE_RETRY: Duration = Duration::from_secs(1);
/// Longest the served resources are believed before they are asked for again.
pub const DISCOVERY_MAX_AGE: Duration = Duration::from_secs(30);
/// Owners remembered as absent, so that a burst of dependents asks the API once for each.
pub const ABSENT_OWNERS_MAX: usize = 1000;
/// Resources that the garbage collector watches; each beyond it is named in the log as an error at each look at what is
/// served. A watch costs pointers to what the server holds anyway.
pub const GARBAGE_RESOURCES_MAX: usize = 10_000;
const _: () = assert!(GARBAGE_RESOURCES_MAX < sampan_client::limits::INFORMERS_MAX);
/// Period in which the garbage collector looks for new resources.
pub const GARBAGE_RESYNC: Duration = Duration::from_secs(30);

/// Period of asking as long as the server has not answered at all.
pub const GARBAGE_RETRY: Duration = Duration::from_secs(1);
/// Longest wait of the garbage collector for its first copies (Kubernetes' `initialSyncTimeout` is 30 s too).
pub const GARBAGE_SYNC_MAX: Duration = Duration::from_secs(30);

/// Silence after which a node is Unknown (`--node-monitor-grace-period`: 40 s before 1.32, then 50 s).
pub const NODE_GRACE: Duration = Duration::from_secs(40);
/// Time for which a node that has never reported is waited for (`--node-startup-grace-period`).
pub const NODE_STARTUP_GRACE: Duration = Duration::from_secs(60);
/// Wait before a reconcile goes on with the pods of a node that are too many for one (`--node-monitor-period`).
pub const NODE_MONITOR_PERIOD: Duration = Duration::from_secs(5);
/// A node about to fall silent is looked at again no sooner than after this.
pub const NODE_RECHECK_MIN: Duration = Duration::from_millis(100);
/// Pods of one node that one reconcile marks not ready or takes away; the others follow after NODE_MONITOR_PERIOD. It
/// keeps one large node from holding up the rest, and is no rate for the cluster (`--node-eviction-rate` is one).
pub const EVICTION_BATCH_MAX: usize = 500;

/// Addresses of one Endpoints object; more are left out, and the object says so (`maxCapacity`).
pub const ENDPOINTS_ADDRESSES_MAX: usize = 1000;
/// Endpoints of one EndpointSlice (`--max-endpoints-per-slice`).
pub const ENDPOINTS_PER_SLICE: usize = 100;
/// Addresses of one subset that are mirrored (`--mirroring-max-endpoints-per-subset`).
pub const MIRRORED_ADDRESSES_MAX: usize = 1000;
/// Time after which a disruption that was allowed and did not come is given up (`DeletionTimeout`), and a pod's condition that
/// says so is taken back (`stalePodDisruptionTimeout`).
pub const DISRUPTION_TIMEOUT: Duration = Duration::from_secs(120);

/// Time after a node has gone at which its pods are collected (podgc's quarantine).
pub const ORPHAN_QUARANTINE: Duration = Duration::from_secs(40);
/// Period in which pods without a node are looked for.
pub const POD_GC_PERIOD: Duration = Duration::from_secs(20);
/// Finished pods that may stay (`--terminated-pod-gc-threshold`).
pub const TERMINATED_PODS_MAX: usize = 12_500;
/// Pods deleted in one round.
pub const POD_GC_BATCH_MAX: usize = 500;

/// Period after which each quota is counted again, whatever is seen (`--resource-quota-sync-period`).
pub const QUOTA_RESYNC: Duration = Duration::from_secs(300);
/// Time after which a quota that limits something new is counted once more.
pub const QUOTA_RECOUNT: Duration = Duration::from_secs(1);

/// Lifetime of certificates that are signed (`--cluster-signing-duration`), and the shortest that may be asked for.
pub const CERTIFICATE_LIFETIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// See [`CERTIFICATE_LIFETIME_MAX`].
pub const CERTIFICATE_LIFETIME_MIN: Duration = Duration::from_secs(10 * 60);
/// Time for which an open certificate request stays, and one that is approved and not signed.
pub const REQUEST_OPEN_STAYS: Duration = Duration::from_secs(24 * 60 * 60);
/// Time for which a certificate request stays that is signed, denied or failed.
pub const REQUEST_DONE_STAYS: Duration = Duration::from_secs(60 * 60);
/// Period in which certificate requests are looked at for their age.
pub const REQUEST_CHECKED_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Time for which the request of a pod's certificate stays.
pub const POD_REQUEST_STAYS: Duration = Duration::from_secs(15 * 60);
/// Wait between two looks whether a definition is served.
pub const DEFINITIONS_POLL: Duration = Duration::from_millis(5);

/// Wait between two looks whether a definition's instances are gone.
pub const INSTANCES_POLL: Duration = Duration::from_millis(100);

/// Age at which it is looked again whether the server of an APIService answers (kube-aggregator's resync).
pub const API_SERVICE_PERIOD: Duration = Duration::from_secs(30);
/// Time that the server of an APIService has to answer a check.
pub const API_SERVICE_TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts of one check, all at once.
pub const API_SERVICE_ATTEMPTS: usize = 5;

/// Kinds that one rule of a policy has expressions checked against, as Kubernetes' type checker has it.
pub const TYPE_CHECKED_KINDS_OF_RULE_MAX: usize = 10;
/// Kinds that all rules of a policy have them checked against, about: Kubernetes has no such limit.
pub const TYPE_CHECKED_KINDS_MAX: usize = 50;
/// Bytes of what is told of a policy's expressions; they stand in its status.
pub const TYPE_WARNINGS_BYTES_MAX: usize = 256 * 1024;
/// Nodes of the schema of a kind that expressions are checked against, once what it refers to stands in its place.
pub const SCHEMA_NODES_MAX: usize = 100_000;
/// Levels of such a schema.
pub const SCHEMA_DEPTH_MAX: usize = 128;
