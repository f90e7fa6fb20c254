//! Types of versions that Kubernetes no longer serves and still reads.

/// By version the kinds, of kube-apiserver v1.35's scheme.
const TYPES: &str = include_str!("../data/retired.tsv");

/// Whether a type is one of these.
pub fn is_retired(group: &str, version: &str, kind: &str) -> bool {
    let lines = TYPES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
    let mut of_version = lines.filter(|(of, _)| of.split_once('/').unwrap_or(("", *of)) == (group, version));
    of_version.any(|(_, kinds)| kinds.split(' ').any(|one| one == kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_retired_is_known_by_its_version() {
        assert!(is_retired("extensions", "v1beta1", "Ingress") && is_retired("", "v1", "RangeAllocation"));
        assert!(!is_retired("networking.k8s.io", "v1", "Ingress") && !is_retired("", "v1beta1", "Ingress"));
        assert!(!is_retired("extensions", "v1beta1", "Ing") && !is_retired("", "", ""));
    }
}
