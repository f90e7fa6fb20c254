//! The built-in kinds that are only kept: nothing acts on their objects yet, so that nobody need wait for them.

use sampan_api::Object;

/// Groups, each with its kinds on which nothing acts. README names them.
const KINDS: [(&str, &[&str]); 5] = [
    ("", &["PersistentVolume", "PersistentVolumeClaim"]),
    ("apps", &["DaemonSet", "StatefulSet"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("batch", &["CronJob", "Job"]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"]),
];
/// Groups of which nothing acts on any kind: those of devices and of storage.
const GROUPS: [&str; 2] = ["resource.k8s.io", "storage.k8s.io"];

/// What is told of an object of such a kind.
pub const TOLD: &str = "nothing acts on its kind yet: it is only kept";

/// Whether the object is of a kind on which nothing acts.
pub fn is_only_kept(object: &Object) -> bool {
    let group = object.api_version().split_once('/').map_or("", |(group, _)| group);
    GROUPS.contains(&group) || KINDS.iter().any(|(of, kinds)| *of == group && kinds.contains(&object.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn readme_names_them() {
        let readme = include_str!("../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, after) = readme.split_once("**Nothing acts yet on**").expect("README names them");
        let (named, _) = after.split_once('.').expect("a sentence");
        for kind in KINDS.iter().flat_map(|(_, kinds)| kinds.iter()) {
            let plural = [format!(" {kind}s"), format!(" {kind}es"), format!(" {}ies", kind.trim_end_matches('y'))];
            assert!(plural.iter().any(|one| named.contains(one.as_str())), "{kind} is not in {named}");
        }
        assert!(named.contains("device and storage kinds"), "{named}");
    }

    #[test]
    fn kinds_are_told_apart_by_their_groups() {
        let check = |version: &str, kind: &str, expected: bool| {
            let object = Object::from_value(json!({"apiVersion": version, "kind": kind})).expect("an object");
            assert_eq!(is_only_kept(&object), expected, "{version} {kind}");
        };
        check("apps/v1", "StatefulSet", true);
        check("apps/v1", "Deployment", false);
        check("v1", "PersistentVolumeClaim", true);
        check("v1", "Pod", false);
        check("storage.k8s.io/v1", "StorageClass", true);
        check("resource.k8s.io/v1", "ResourceClaim", true);
        check("example.io/v1", "StatefulSet", false);
        check("apps.example.io/v1", "StatefulSet", false);
    }
}
