//! The order of versions' names: `v2`, `v1`, `v1beta1`, `v1alpha1`, then all others by name.

use std::cmp::Ordering;

/// A name as Kubernetes reads it: its major number, its stage (3: none, 2: beta, 1: alpha), and the number within that.
fn parse(name: &str) -> Option<(u64, u8, u64)> {
    let number = |digits: &str| {
        let plain = !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| plain)
    };
    let rest = name.strip_prefix('v')?;
    for (word, stage) in [("alpha", 1), ("beta", 2)] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((number(major)?, stage, number(minor)?));
        }
    }
    Some((number(rest)?, 3, 0))
}

/// Which of two versions is preferred: `Less` comes first.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse(a), parse(b)) {
        (Some((a_major, a_stage, a_minor)), Some((b_major, b_stage, b_minor))) => {
            (b_stage, b_major, b_minor).cmp(&(a_stage, a_major, a_minor))
        }
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_kubernetes_order() {
        let mut names = ["foo1", "v1alpha1", "v10", "v1beta2", "v11beta2", "v2", "v1", "v3beta1", "v12alpha1", "foo10"];
        names.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            names,
            ["v10", "v2", "v1", "v11beta2", "v3beta1", "v1beta2", "v12alpha1", "v1alpha1", "foo1", "foo10"]
        );
    }
}
