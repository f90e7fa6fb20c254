//! ClusterRoleBindings: grants of a ClusterRole in every namespace and on cluster-scoped objects.

use super::super::columns::Tabled;
use crate::resource::{HistoryClass, Resource};

pub(super) fn row() -> Resource {
    Resource::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding")
        .cluster_scoped()
        .history(HistoryClass::Ample)
        .strategy(super::binding_rules::<false>())
        .table(super::SUBJECT_CELLS)
}
