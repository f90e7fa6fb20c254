use super::index::Index;
use super::model::{Binding, Role, RoleRef, Subject};
use super::rules::PolicyRule;
use crate::limits::{CLUSTER_ROLE_SHAPE_BYTES, RBAC_CHANGE_BYTES_MIN};
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use sampan_api::k8s::api::rbac::v1 as rbac;
use sampan_api::user::{Attributes, Authorizer, Decision};
use sampan_api::{LabelSelector, Path, RecordKey, UserInfo};
use sampan_client::{Change, Informer, Informers};
use sampan_env::Tasks;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// Answers out of an [`Index`] that a task changes as roles and bindings do. Until it is complete for the first time it
/// allows what has been read.
pub struct RbacAuthorizer {
    sources: Arc<Sources>,
}

struct Sources {
    cluster_roles: Informer,
    roles: Informer,
    cluster_role_bindings: Informer,
    role_bindings: Informer,
    index: Index,
    /// What is not in force yet.
    changes: Mutex<Changes>,
    changed: Notify,
    /// One pass at a time, so that an older state never comes after a newer.
    pass: Mutex<()>,
}

#[derive(Default)]
struct Changes {
    /// Objects, and the revision of each one's last change.
    objects: HashMap<(Kind, RecordKey), u64>,
    /// Of all of them, before and after.
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    ClusterRole,
    Role,
    ClusterRoleBinding,
    RoleBinding,
}

impl RbacAuthorizer {
    /// Starts to follow the four resources. `informers` should read as `system:apiserver`.
    pub fn start(informers: &Informers, tasks: &Tasks) -> Result<Arc<Self>, sampan_client::Error> {
        let sources = Arc::new(Sources {
            cluster_roles: informers.of::<rbac::ClusterRole>()?,
            roles: informers.of::<rbac::Role>()?,
            cluster_role_bindings: informers.of::<rbac::ClusterRoleBinding>()?,
            role_bindings: informers.of::<rbac::RoleBinding>()?,
            index: Index::default(),
            changes: Mutex::default(),
            changed: Notify::new(),
            pass: Mutex::new(()),
        });
        for (kind, informer) in sources.all() {
            // The informer lives in what the handler is told of: it must not keep it.
            let sources = Arc::downgrade(&sources);
            informer.add_handler(move |change| {
                if let Some(sources) = sources.upgrade() {
                    sources.note(kind, change);
                }
            });
        }
        let of = sources.clone();
        tasks.spawn_until_cancelled(async move {
            loop {
                of.changed.notified().await;
                // A change that comes during this pass leaves a permit behind: the next pass sees it.
                if of.is_long() {
                    of.clone().refresh_aside().await;
                } else {
                    of.refresh();
                }
            }
        });
        Ok(Arc::new(Self { sources }))
    }

    /// Returns once roles and bindings have been read whole and the answers include them.
    pub async fn wait_synced(&self) -> Result<(), sampan_client::Error> {
        for (_, informer) in self.sources.all() {
            informer.wait_synced().await?;
        }
        self.sources.clone().refresh_aside().await;
        Ok(())
    }

    /// A `SubjectRulesReviewStatus`: see [`Index::review`].
    pub fn review(&self, user: &UserInfo, namespace: &str) -> serde_json::Value {
        self.sources.index.review(user, namespace)
    }

    /// Why a user may not give rights away: see [`Index::escalation`].
    pub fn escalation(&self, user: &UserInfo, namespace: &str, rules: &[PolicyRule]) -> Option<String> {
        self.sources.index.escalation(user, namespace, rules)
    }

    /// As [`Index::compiled`].
    pub fn compiled(&self) -> u64 {
        self.sources.index.compiled()
    }
}

impl Authorizer for RbacAuthorizer {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        std::future::ready(self.sources.index.authorize(attributes)).boxed()
    }
}

impl Sources {
    fn all(&self) -> [(Kind, &Informer); 4] {
        [
            (Kind::ClusterRole, &self.cluster_roles),
            (Kind::Role, &self.roles),
            (Kind::ClusterRoleBinding, &self.cluster_role_bindings),
            (Kind::RoleBinding, &self.role_bindings),
        ]
    }

    fn note(&self, kind: Kind, change: &Change) {
        let (last, before) = match change {
            Change::Applied { old, new } => (new, old.as_ref().map_or(0, |old| old.json.len())),
            Change::Deleted { last } => (last, 0),
            // The state that follows is told anew, and what is not in it as deleted.
            Change::Synced | Change::Lost => return,
        };
        {
            let mut changes = self.changes.lock();
            changes.objects.insert((kind, last.key.clone()), last.mod_revision);
            changes.bytes += before + last.json.len();
            if kind == Kind::ClusterRole {
                changes.bytes += self.cluster_roles.store().len() * CLUSTER_ROLE_SHAPE_BYTES;
            }
        }
        self.changed.notify_one();
    }

    /// Whether the changes take too long for a thread that serves.
    fn is_long(&self) -> bool {
        self.pass.is_locked() || self.changes.lock().bytes >= RBAC_CHANGE_BYTES_MIN
    }

    async fn refresh_aside(self: Arc<Self>) {
        match sampan_env::blocking(move || self.refresh()).await {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Otherwise the runtime is being shut down: nobody asks any more.
            Ok(()) | Err(_) => {}
        }
    }

    /// Puts all changes in force, in the order in which they were made.
    fn refresh(&self) {
        let _pass = self.pass.lock();
        let changes = std::mem::take(&mut *self.changes.lock());
        let mut objects: Vec<_> = changes.objects.into_iter().map(|(object, revision)| (revision, object)).collect();
        objects.sort_unstable_by_key(|(revision, _)| *revision);
        for (_, (kind, key)) in objects {
            self.put_in_force(kind, &key);
        }
        self.index.settle();
    }

    fn put_in_force(&self, kind: Kind, key: &RecordKey) {
        let index = &self.index;
        match kind {
            Kind::ClusterRole => match read(&self.cluster_roles, key) {
                Some(one) => index.set_role(cluster_role(one)),
                None => index.remove_role("", &key.name),
            },
            Kind::Role => match read(&self.roles, key) {
                Some(one) => index.set_role(role(one)),
                None => index.remove_role(&key.namespace, &key.name),
            },
            Kind::ClusterRoleBinding => match read::<rbac::ClusterRoleBinding>(&self.cluster_role_bindings, key) {
                Some(one) => index.set_binding(binding("", one.metadata.name, one.role_ref, one.subjects)),
                None => index.remove_binding("", &key.name),
            },
            Kind::RoleBinding => match read::<rbac::RoleBinding>(&self.role_bindings, key) {
                Some(one) => {
                    index.set_binding(binding(&key.namespace, one.metadata.name, one.role_ref, one.subjects));
                }
                None => index.remove_binding(&key.namespace, &key.name),
            },
        }
    }
}

/// The object as it is now; `None`: it is gone. One that cannot be read grants nothing: an API server never serves such.
fn read<K: DeserializeOwned>(informer: &Informer, key: &RecordKey) -> Option<K> {
    let record = informer.store().get(key)?;
    serde_json::from_slice(&record.json)
        .inspect_err(|error| tracing::error!(%error, kind = %record.kind, ?key, "an object cannot be read"))
        .ok()
}

fn rules(rules: Option<Vec<rbac::PolicyRule>>) -> Vec<PolicyRule> {
    let own = |rule: rbac::PolicyRule| PolicyRule {
        verbs: rule.verbs,
        api_groups: rule.api_groups.unwrap_or_default(),
        resources: rule.resources.unwrap_or_default(),
        resource_names: rule.resource_names.unwrap_or_default(),
        non_resource_urls: rule.non_resource_urls.unwrap_or_default(),
    };
    rules.into_iter().flatten().map(own).collect()
}

fn cluster_role(role: rbac::ClusterRole) -> Role {
    let selectors = role.aggregation_rule.and_then(|rule| rule.cluster_role_selectors);
    // A selector that cannot be read selects nothing: fewer rights, never more.
    let read = |selector| {
        let value = serde_json::to_value(selector).ok()?;
        LabelSelector::from_v1(&value, &Path::root()).ok()
    };
    Role {
        namespace: String::new(),
        name: role.metadata.name.unwrap_or_default(),
        labels: role.metadata.labels.unwrap_or_default(),
        aggregates: selectors.map(|list| list.into_iter().filter_map(read).collect()),
        rules: rules(role.rules),
    }
}

fn role(role: rbac::Role) -> Role {
    Role {
        namespace: role.metadata.namespace.unwrap_or_default(),
        name: role.metadata.name.unwrap_or_default(),
        rules: rules(role.rules),
        ..Role::default()
    }
}

fn binding(
    namespace: &str,
    name: Option<String>,
    role: rbac::RoleRef,
    subjects: Option<Vec<rbac::Subject>>,
) -> Binding {
    let subject = |subject: rbac::Subject| match subject.kind.as_str() {
        "User" => Some(Subject::User(subject.name)),
        "Group" => Some(Subject::Group(subject.name)),
        "ServiceAccount" => Some(Subject::ServiceAccount {
            namespace: subject.namespace.unwrap_or_else(|| namespace.to_owned()),
            name: subject.name,
        }),
        _ => None,
    };
    Binding {
        namespace: namespace.to_owned(),
        name: name.unwrap_or_default(),
        role: match role.kind.as_str() {
            "Role" => RoleRef::Role(role.name),
            _ => RoleRef::ClusterRole(role.name),
        },
        subjects: subjects.into_iter().flatten().filter_map(subject).collect(),
    }
}
