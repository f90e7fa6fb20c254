//! The built-in plugins, under Kubernetes' names.

mod always;
mod certificates;
mod default_class;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod event_rate_limit;
mod image_policy;
mod limit_ranger;
mod namespace_lifecycle;
mod namespaces;
mod node_restriction;
mod owner_references;
mod pod_node_selector;
mod pod_security;
mod pod_toleration_restriction;
mod pod_topology_labels;
mod pods;
mod policy;
mod priority;
mod resource_quota;
mod runtime_class;
mod storage;
mod taint_nodes_by_condition;
mod tolerations;
mod webhooks;

pub use always::{AlwaysAdmit, AlwaysDeny};
pub use default_class::{DefaultIngressClass, DefaultStorageClass};
mod service_account;

pub(crate) use certificates::PodCertificateSigning;
pub use certificates::{
    CertificateApproval, CertificateSigning, CertificateSubjectRestriction, ClusterTrustBundleAttest,
};
pub use default_toleration_seconds::DefaultTolerationSeconds;
pub use deny_service_external_ips::DenyServiceExternalIPs;
pub use event_rate_limit::EventRateLimit;
pub(crate) use event_rate_limit::EventRateLimitConfiguration;
pub(crate) use image_policy::ImagePolicyConfiguration;
pub use image_policy::ImagePolicyWebhook;
pub use limit_ranger::LimitRanger;
pub use namespace_lifecycle::NamespaceLifecycle;
pub use namespaces::{NamespaceAutoProvision, NamespaceExists};
pub use node_restriction::NodeRestriction;
pub use owner_references::OwnerReferencesPermissionEnforcement;
pub use pod_node_selector::PodNodeSelector;
pub(crate) use pod_node_selector::PodNodeSelectorConfiguration;
pub(crate) use pod_security::PodSecurityConfiguration;
pub use pod_security::{PodSecurity, forbidden_by};
pub use pod_toleration_restriction::PodTolerationRestriction;
pub(crate) use pod_toleration_restriction::PodTolerationRestrictionConfiguration;
pub use pod_topology_labels::PodTopologyLabels;
pub use pods::{AlwaysPullImages, ExtendedResourceToleration, LimitPodHardAntiAffinityTopology};
pub(crate) use policy::Parts as PolicyParts;
pub use policy::{MutatingAdmissionPolicy, ValidatingAdmissionPolicy};
pub use priority::Priority;
pub use resource_quota::ResourceQuota;
pub use runtime_class::RuntimeClass;
pub use service_account::ServiceAccounts;
pub use storage::{PersistentVolumeClaimResize, StorageObjectInUseProtection};
pub use taint_nodes_by_condition::TaintNodesByCondition;
pub(crate) use webhooks::Parts as WebhookParts;
pub use webhooks::{MutatingAdmissionWebhook, ValidatingAdmissionWebhook};
