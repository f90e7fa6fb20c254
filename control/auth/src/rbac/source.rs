use super::index::{Binding, Index, Role, RoleRef, Subject};
use super::rules::PolicyRule;
use arc_swap::ArcSwap;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use sampan_api::k8s::api::rbac::v1 as rbac;
use sampan_api::user::{Attributes, Authorizer, Decision};
use sampan_api::{LabelSelector, Path, UserInfo};
use sampan_client::{Informer, Informers};
use sampan_env::Tasks;
use std::sync::Arc;
use tokio::sync::Notify;

/// Answers out of an [`Index`] that a task rebuilds whenever a role or a binding has changed. Until the first one is
/// complete it allows nothing.
pub struct RbacAuthorizer {
    index: Arc<ArcSwap<Index>>,
    sources: Arc<Sources>,
}

struct Sources {
    cluster_roles: Informer,
    roles: Informer,
    cluster_role_bindings: Informer,
    role_bindings: Informer,
    /// One pass at a time, so that an older one never comes after a newer.
    pass: Mutex<()>,
}

impl RbacAuthorizer {
    /// Starts to follow the four resources. `informers` should read as `system:apiserver`.
    pub fn start(informers: &Informers, tasks: &Tasks) -> Result<Arc<Self>, sampan_client::Error> {
        let sources = Arc::new(Sources {
            cluster_roles: informers.of::<rbac::ClusterRole>()?,
            roles: informers.of::<rbac::Role>()?,
            cluster_role_bindings: informers.of::<rbac::ClusterRoleBinding>()?,
            role_bindings: informers.of::<rbac::RoleBinding>()?,
            pass: Mutex::new(()),
        });
        let index = Arc::new(ArcSwap::from_pointee(Index::default()));
        let changed = Arc::new(Notify::new());
        for informer in sources.all() {
            let changed = changed.clone();
            informer.add_handler(move |_| changed.notify_one());
        }
        let (of, into) = (sources.clone(), index.clone());
        tasks.spawn_until_cancelled(async move {
            loop {
                changed.notified().await;
                // A change that comes during this pass leaves a permit behind: the next pass sees it.
                of.refresh(&into);
            }
        });
        Ok(Arc::new(Self { index, sources }))
    }

    /// Returns once roles and bindings have been read whole and the answers include them.
    pub async fn wait_synced(&self) -> Result<(), sampan_client::Error> {
        for informer in self.sources.all() {
            informer.wait_synced().await?;
        }
        self.sources.refresh(&self.index);
        Ok(())
    }

    pub fn rules_of(&self, user: &UserInfo, namespace: &str) -> Vec<PolicyRule> {
        self.index.load().rules_of(user, namespace)
    }
}

impl Authorizer for RbacAuthorizer {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        std::future::ready(self.index.load().authorize(attributes)).boxed()
    }
}

impl Sources {
    fn all(&self) -> [&Informer; 4] {
        [&self.cluster_roles, &self.roles, &self.cluster_role_bindings, &self.role_bindings]
    }

    /// Reads everything and puts it in force.
    fn refresh(&self, into: &ArcSwap<Index>) {
        let _pass = self.pass.lock();
        into.store(Arc::new(self.index()));
    }

    fn index(&self) -> Index {
        let cluster_roles = self.cluster_roles.lister::<rbac::ClusterRole>().list();
        let roles = self.roles.lister::<rbac::Role>().list();
        let cluster_bindings = self.cluster_role_bindings.lister::<rbac::ClusterRoleBinding>().list();
        let bindings = self.role_bindings.lister::<rbac::RoleBinding>().list();
        let roles: Vec<Role> =
            cluster_roles.iter().map(|role| cluster_role(role)).chain(roles.iter().map(|one| role(one))).collect();
        let bindings: Vec<Binding> = cluster_bindings
            .iter()
            .map(|one| binding("", one.metadata.name.as_deref(), &one.role_ref, one.subjects.as_deref()))
            .chain(bindings.iter().map(|one| {
                let namespace = one.metadata.namespace.as_deref().unwrap_or_default();
                binding(namespace, one.metadata.name.as_deref(), &one.role_ref, one.subjects.as_deref())
            }))
            .collect();
        Index::new(&roles, &bindings)
    }
}

fn rules(rules: Option<&[rbac::PolicyRule]>) -> Vec<PolicyRule> {
    let own = |rule: &rbac::PolicyRule| PolicyRule {
        verbs: rule.verbs.clone(),
        api_groups: rule.api_groups.clone().unwrap_or_default(),
        resources: rule.resources.clone().unwrap_or_default(),
        resource_names: rule.resource_names.clone().unwrap_or_default(),
        non_resource_urls: rule.non_resource_urls.clone().unwrap_or_default(),
    };
    rules.into_iter().flatten().map(own).collect()
}

fn cluster_role(role: &rbac::ClusterRole) -> Role {
    let selectors = role.aggregation_rule.as_ref().and_then(|rule| rule.cluster_role_selectors.as_ref());
    // A selector that cannot be read selects nothing: fewer rights, never more.
    let read = |selector| {
        let value = serde_json::to_value(selector).ok()?;
        LabelSelector::from_v1(&value, &Path::root()).ok()
    };
    Role {
        namespace: String::new(),
        name: role.metadata.name.clone().unwrap_or_default(),
        labels: role.metadata.labels.clone().unwrap_or_default(),
        aggregates: selectors.map(|list| list.iter().filter_map(read).collect()),
        rules: rules(role.rules.as_deref()),
    }
}

fn role(role: &rbac::Role) -> Role {
    Role {
        namespace: role.metadata.namespace.clone().unwrap_or_default(),
        name: role.metadata.name.clone().unwrap_or_default(),
        rules: rules(role.rules.as_deref()),
        ..Role::default()
    }
}

fn binding(namespace: &str, name: Option<&str>, role: &rbac::RoleRef, subjects: Option<&[rbac::Subject]>) -> Binding {
    let subject = |subject: &rbac::Subject| match subject.kind.as_str() {
        "User" => Some(Subject::User(subject.name.clone())),
        "Group" => Some(Subject::Group(subject.name.clone())),
        "ServiceAccount" => Some(Subject::ServiceAccount {
            namespace: subject.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
            name: subject.name.clone(),
        }),
        _ => None,
    };
    Binding {
        namespace: namespace.to_owned(),
        name: name.unwrap_or_default().to_owned(),
        role: match role.kind.as_str() {
            "Role" => RoleRef::Role(role.name.clone()),
            _ => RoleRef::ClusterRole(role.name.clone()),
        },
        subjects: subjects.into_iter().flatten().filter_map(subject).collect(),
    }
}
