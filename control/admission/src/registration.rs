//! The plugins by name, in the order in which they are asked, and the choice of those that are.

use crate::chain::{Chain, Plugin};
use crate::configuration::{Configurations, PluginConfiguration};
use crate::escalation::Escalation;
use crate::matching::Namespaces;
use crate::plugins;
use sampan_api::k8s::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
};
use sampan_api::k8s::api::admissionregistration::v1beta1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding};
use sampan_api::k8s::api::core::v1::{LimitRange, Namespace, Node, ResourceQuota, ServiceAccount};
use sampan_api::k8s::api::networking::v1::IngressClass;
use sampan_api::k8s::api::node::v1::RuntimeClass;
use sampan_api::k8s::api::scheduling::v1::PriorityClass;
use sampan_api::k8s::api::storage::v1::StorageClass;
use sampan_api::{Authorizer, GroupVersionResource};
use sampan_auth::rbac::RbacAuthorizer;
use sampan_client::{Client, Informer, Informers, Result, WebhookClient};
use sampan_env::Tasks;
use sampan_schema::gates::Gates;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The parts that plugins are made of.
pub struct Parts {
    /// Reads as `system:apiserver`.
    pub client: Client,
    /// Copies of what plugins look at, shared by all of them. A plugin asks for the kinds that it reads when it is made.
    pub informers: Informers,
    /// Whether somebody may do what a plugin makes depend on it.
    pub authorizer: Arc<dyn Authorizer>,
    /// Calls webhooks.
    pub webhooks: Arc<WebhookClient>,
    /// The rights that everybody holds, for the check that nobody gives away others.
    pub rbac: Arc<RbacAuthorizer>,
    /// What plugins are told by the configuration.
    pub configurations: Configurations,
    /// Own the connections of plugins that ask others.
    pub tasks: Tasks,
    /// The features that are on.
    pub gates: Gates,
    /// The resources that are served from the start.
    pub served: BTreeSet<GroupVersionResource>,
}

impl Parts {
    fn allow(&self, one: &Registration) -> bool {
        one.gated_by.is_none_or(|[group, version, resource]| {
            let resource = GroupVersionResource::new(group, version, resource);
            self.gates.enabled(one.name) && self.served.contains(&resource)
        })
    }
}

type Make = fn(&Parts) -> Result<Arc<dyn Plugin>>;

/// A plugin by its name.
struct Registration {
    name: &'static str,
    on: On,
    /// `None`: not built yet.
    make: Option<Make>,
    /// Group, version and name of the resource that it reads, where it acts only if the feature of its name is on and that is served.
    gated_by: Option<[&'static str; 3]>,
}

/// Whether a plugin acts where the configuration says nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Always,
    WhenEnabled,
}

const fn built(name: &'static str, on: On, make: Make) -> Registration {
    Registration { name, on, make: Some(make), gated_by: None }
}

const fn gated(name: &'static str, resource: [&'static str; 3], make: Make) -> Registration {
    Registration { name, on: On::Always, make: Some(make), gated_by: Some(resource) }
}

const fn unbuilt(name: &'static str, on: On) -> Registration {
    Registration { name, on, make: None, gated_by: None }
}

/// Every plugin of v1.35 in the order of its `AllOrderedPlugins` (pkg/kubeapiserver/options/plugins.go), on as there; and
/// NodeRestriction on, as kubeadm has it. The order is that in which they are asked.
const PLUGINS: &[Registration] = &[
    built("AlwaysAdmit", On::WhenEnabled, |_| Ok(Arc::new(plugins::AlwaysAdmit))),
    built("NamespaceAutoProvision", On::WhenEnabled, |parts| {
        Ok(Arc::new(plugins::NamespaceAutoProvision::new(parts.informers.of::<Namespace>()?, parts.client.clone())))
    }),
    built("NamespaceLifecycle", On::Always, |parts| {
        Ok(Arc::new(plugins::NamespaceLifecycle::new(parts.informers.of::<Namespace>()?, parts.client.clone())))
    }),
    built("NamespaceExists", On::WhenEnabled, |parts| {
        Ok(Arc::new(plugins::NamespaceExists::new(parts.informers.of::<Namespace>()?, parts.client.clone())))
    }),
    built("LimitPodHardAntiAffinityTopology", On::WhenEnabled, |_| {
        Ok(Arc::new(plugins::LimitPodHardAntiAffinityTopology))
    }),
    built("LimitRanger", On::Always, |parts| {
        Ok(Arc::new(plugins::LimitRanger::new(parts.informers.of::<LimitRange>()?)))
    }),
    built("ServiceAccount", On::Always, |parts| {
        let accounts = parts.informers.of::<ServiceAccount>()?;
        Ok(Arc::new(plugins::ServiceAccounts::new(accounts, parts.client.clone())))
    }),
    built("NodeRestriction", On::Always, |parts| {
        Ok(Arc::new(plugins::NodeRestriction::new(parts.client.clone(), parts.authorizer.clone())))
    }),
    built("TaintNodesByCondition", On::Always, |_| Ok(Arc::new(plugins::TaintNodesByCondition))),
    built("AlwaysPullImages", On::WhenEnabled, |_| Ok(Arc::new(plugins::AlwaysPullImages))),
    built("ImagePolicyWebhook", On::WhenEnabled, |parts| {
        Ok(Arc::new(plugins::ImagePolicyWebhook::new(
            parts.configurations.image_policy.as_ref(),
            &parts.client,
            &parts.tasks,
        )?))
    }),
    built("PodSecurity", On::Always, |parts| {
        let configuration = parts.configurations.pod_security.clone();
        let namespaces = parts.informers.of::<Namespace>()?;
        Ok(Arc::new(plugins::PodSecurity::new(namespaces, parts.client.clone(), configuration)))
    }),
    built("PodNodeSelector", On::WhenEnabled, |parts| {
        let configuration = parts.configurations.pod_node_selector.clone();
        Ok(Arc::new(plugins::PodNodeSelector::new(namespaces(parts)?, configuration)))
    }),
    built("Priority", On::Always, |parts| {
        Ok(Arc::new(plugins::Priority::new(parts.informers.of::<PriorityClass>()?, parts.client.clone())))
    }),
    built("DefaultTolerationSeconds", On::Always, |_| Ok(Arc::new(plugins::DefaultTolerationSeconds))),
    built("PodTolerationRestriction", On::WhenEnabled, |parts| {
        let configuration = parts.configurations.pod_toleration_restriction.clone();
        Ok(Arc::new(plugins::PodTolerationRestriction::new(namespaces(parts)?, configuration)))
    }),
    built("EventRateLimit", On::WhenEnabled, |parts| {
        let env = parts.client.env().clone();
        Ok(Arc::new(plugins::EventRateLimit::new(&parts.configurations.event_rate_limit, env)))
    }),
    built("ExtendedResourceToleration", On::WhenEnabled, |_| Ok(Arc::new(plugins::ExtendedResourceToleration))),
    built("DefaultStorageClass", On::Always, |parts| {
        Ok(Arc::new(plugins::DefaultStorageClass::new(parts.informers.of::<StorageClass>()?)))
    }),
    built("StorageObjectInUseProtection", On::Always, |parts| {
        Ok(Arc::new(plugins::StorageObjectInUseProtection::new(&parts.gates)))
    }),
    built("OwnerReferencesPermissionEnforcement", On::WhenEnabled, |parts| {
        let (authorizer, client) = (parts.authorizer.clone(), parts.client.clone());
        Ok(Arc::new(plugins::OwnerReferencesPermissionEnforcement::new(authorizer, client)))
    }),
    built("PersistentVolumeClaimResize", On::Always, |parts| {
        Ok(Arc::new(plugins::PersistentVolumeClaimResize::new(parts.informers.of::<StorageClass>()?)))
    }),
    built("RuntimeClass", On::Always, |parts| {
        Ok(Arc::new(plugins::RuntimeClass::new(parts.informers.of::<RuntimeClass>()?, parts.client.clone())))
    }),
    built("CertificateApproval", On::Always, |parts| {
        Ok(Arc::new(plugins::CertificateApproval::new(parts.authorizer.clone())))
    }),
    built("CertificateSigning", On::Always, |parts| {
        Ok(Arc::new(plugins::CertificateSigning::new(parts.authorizer.clone())))
    }),
    built("ClusterTrustBundleAttest", On::Always, |parts| {
        Ok(Arc::new(plugins::ClusterTrustBundleAttest::new(parts.authorizer.clone())))
    }),
    built("CertificateSubjectRestriction", On::Always, |_| Ok(Arc::new(plugins::CertificateSubjectRestriction))),
    built("DefaultIngressClass", On::Always, |parts| {
        Ok(Arc::new(plugins::DefaultIngressClass::new(parts.informers.of::<IngressClass>()?)))
    }),
    built("DenyServiceExternalIPs", On::WhenEnabled, |_| Ok(Arc::new(plugins::DenyServiceExternalIPs))),
    built("PodTopologyLabels", On::Always, |parts| {
        Ok(Arc::new(plugins::PodTopologyLabels::new(parts.informers.of::<Node>()?)))
    }),
    unbuilt("NodeDeclaredFeatureValidator", On::Always),
    // New plugins stand above: webhooks, quota and deny are last.
    gated(
        "MutatingAdmissionPolicy",
        ["admissionregistration.k8s.io", "v1beta1", "mutatingadmissionpolicies"],
        |parts| {
            let policies = parts.informers.of::<MutatingAdmissionPolicy>()?;
            let policies = policy_parts(parts, policies, parts.informers.of::<MutatingAdmissionPolicyBinding>()?)?;
            Ok(Arc::new(plugins::MutatingAdmissionPolicy::new(policies)))
        },
    ),
    built("MutatingAdmissionWebhook", On::Always, |parts| {
        let hooks = webhook_parts(parts, parts.informers.of::<MutatingWebhookConfiguration>()?)?;
        Ok(Arc::new(plugins::MutatingAdmissionWebhook::new(hooks)))
    }),
    built("ValidatingAdmissionPolicy", On::Always, |parts| {
        let policies = parts.informers.of::<ValidatingAdmissionPolicy>()?;
        let policies = policy_parts(parts, policies, parts.informers.of::<ValidatingAdmissionPolicyBinding>()?)?;
        Ok(Arc::new(plugins::ValidatingAdmissionPolicy::new(policies)))
    }),
    built("ValidatingAdmissionWebhook", On::Always, |parts| {
        let hooks = webhook_parts(parts, parts.informers.of::<ValidatingWebhookConfiguration>()?)?;
        Ok(Arc::new(plugins::ValidatingAdmissionWebhook::new(hooks)))
    }),
    built("ResourceQuota", On::Always, |parts| {
        Ok(Arc::new(plugins::ResourceQuota::new(parts.informers.of::<ResourceQuota>()?, parts.client.clone())))
    }),
    built("AlwaysDeny", On::WhenEnabled, |_| Ok(Arc::new(plugins::AlwaysDeny))),
];

fn namespaces(parts: &Parts) -> Result<Namespaces> {
    Ok(Namespaces::new(parts.informers.of::<Namespace>()?, parts.client.clone()))
}

/// What the plugins of policies are made of.
fn policy_parts(parts: &Parts, policies: Informer, bindings: Informer) -> Result<plugins::PolicyParts> {
    Ok(plugins::PolicyParts {
        policies,
        bindings,
        namespaces: parts.informers.of::<Namespace>()?,
        client: parts.client.clone(),
        authorizer: parts.authorizer.clone(),
    })
}

/// What the plugins of webhooks are made of.
fn webhook_parts(parts: &Parts, configurations: Informer) -> Result<plugins::WebhookParts> {
    Ok(plugins::WebhookParts {
        configurations,
        namespaces: parts.informers.of::<Namespace>()?,
        client: parts.client.clone(),
        authorizer: parts.authorizer.clone(),
        caller: parts.webhooks.clone(),
    })
}

/// Plugins that can do nothing without a configuration.
const NEEDED: [&str; 2] = ["EventRateLimit", "ImagePolicyWebhook"];

/// The plugins that act: those that v1.35 turns on, and NodeRestriction, with the changes that the configuration makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    enabled: BTreeSet<String>,
    disabled: BTreeSet<String>,
}

impl Selection {
    /// The defaults, with these changes.
    ///
    /// # Errors
    /// Every name that is no plugin's, is in both lists, or names one to enable that is not built.
    pub fn new(enable: &[String], disable: &[String]) -> std::result::Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        for (list, names) in [("enable", enable), ("disable", disable)] {
            for name in names {
                match PLUGINS.iter().find(|one| one.name == name) {
                    None => problems.push(format!("admission.{list}: there is no plugin {name:?}")),
                    Some(Registration { make: None, .. }) if list == "enable" => {
                        problems.push(format!("admission.enable: {name} is not built yet"));
                    }
                    Some(_) => {}
                }
            }
        }
        let both = enable.iter().filter(|name| disable.contains(name));
        problems.extend(both.map(|name| format!("admission: {name} is both enabled and disabled")));
        if !problems.is_empty() {
            return Err(problems);
        }
        let set = |names: &[String]| names.iter().cloned().collect();
        Ok(Self { enabled: set(enable), disabled: set(disable) })
    }

    /// What the plugins are told.
    ///
    /// # Errors
    /// All that is wrong with it, and each plugin that acts and is not told what it needs.
    pub fn configured(&self, plugins: &[PluginConfiguration]) -> std::result::Result<Configurations, Vec<String>> {
        let told = |name: &str| plugins.iter().any(|one| one.name == name);
        let acting = PLUGINS.iter().filter(|one| self.has(one)).map(|one| one.name);
        let lacking = acting.filter(|name| NEEDED.contains(name) && !told(name));
        let mut problems: Vec<String> = lacking.map(|name| format!("{name}: no config specified")).collect();
        match Configurations::new(plugins) {
            Ok(configurations) if problems.is_empty() => return Ok(configurations),
            Ok(_) => {}
            Err(wrong) => problems.extend(wrong),
        }
        Err(problems)
    }

    fn has(&self, one: &Registration) -> bool {
        let chosen = one.on == On::Always || self.enabled.contains(one.name);
        chosen && !self.disabled.contains(one.name)
    }
}

/// Makes the plugins that are chosen, in their order. What they read is complete once `parts.informers` is.
///
/// # Errors
/// When there are too many informers.
pub fn chain(parts: &Parts, selection: &Selection) -> Result<Chain> {
    let makes = PLUGINS.iter().filter(|one| selection.has(one) && parts.allow(one)).filter_map(|one| one.make);
    let escalation = Escalation::new(parts.client.clone(), parts.authorizer.clone(), parts.rbac.clone());
    let signing = plugins::PodCertificateSigning::new(parts.authorizer.clone());
    let plugins = makes.map(|make| make(parts)).collect::<Result<_>>()?;
    Ok(Chain::new(plugins).with_escalation(escalation).with_check(Arc::new(signing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The names that act.
    fn acting(selection: &Selection) -> Vec<&'static str> {
        PLUGINS.iter().filter(|one| selection.has(one)).map(|one| one.name).collect()
    }

    #[test]
    fn each_name_is_one_plugin() {
        let all: BTreeSet<&str> = PLUGINS.iter().map(|one| one.name).collect();
        assert_eq!(all.len(), PLUGINS.len());
        let before = |one: &str, other: &str| {
            let at = |name: &str| PLUGINS.iter().position(|plugin| plugin.name == name);
            assert!(at(one) < at(other), "{one} is asked before {other}");
        };
        before("LimitRanger", "RuntimeClass");
        before("ServiceAccount", "PodSecurity");
        before("MutatingAdmissionWebhook", "ValidatingAdmissionPolicy");
        before("ValidatingAdmissionWebhook", "ResourceQuota");
        assert_eq!(PLUGINS.last().map(|one| one.name), Some("AlwaysDeny"));
    }

    #[test]
    fn the_configuration_changes_what_acts() {
        let default = acting(&Selection::default());
        assert!(default.contains(&"Priority") && default.contains(&"NodeRestriction"), "{default:?}");
        assert!(!default.contains(&"AlwaysDeny"));
        let changed = Selection::new(&names(&["NodeRestriction"]), &names(&["Priority", "AlwaysDeny"])).expect("known");
        let expected: Vec<_> = default.into_iter().filter(|name| *name != "Priority").collect();
        assert_eq!(acting(&changed), expected);
    }

    #[test]
    fn what_needs_a_configuration_does_not_act_without() {
        let acts = Selection::new(&names(&["EventRateLimit", "ImagePolicyWebhook"]), &[]).expect("known");
        let problems = acts.configured(&[]).expect_err("nothing is told");
        assert_eq!(problems, ["ImagePolicyWebhook: no config specified", "EventRateLimit: no config specified"]);
        assert!(Selection::default().configured(&[]).is_ok());
    }

    #[test]
    fn names_that_cannot_be_are_told_all_at_once() {
        let check = |enable: &[&str], disable: &[&str], expected: &[&str]| {
            let problems = Selection::new(&names(enable), &names(disable)).expect_err("refused");
            assert_eq!(problems, expected);
        };
        check(
            &["Priorty", "NodeDeclaredFeatureValidator"],
            &["priority"],
            &[
                "admission.enable: there is no plugin \"Priorty\"",
                "admission.enable: NodeDeclaredFeatureValidator is not built yet",
                "admission.disable: there is no plugin \"priority\"",
            ],
        );
        check(&["Priority"], &["Priority"], &["admission: Priority is both enabled and disabled"]);
        assert!(Selection::new(&[], &names(&["NodeDeclaredFeatureValidator"])).is_ok(), "what is not built can be off");
    }
}
