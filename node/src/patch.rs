//! Patches of what this node writes: strategic merges, as a kubelet's.

use serde_json::{Value, json};

/// A list that takes the place of the one before. Without the directive a merge by key keeps elements whose keys are no
/// longer meant: a second address beside the new one.
pub(crate) fn whole(elements: impl IntoIterator<Item = Value>) -> Value {
    std::iter::once(json!({"$patch": "replace"})).chain(elements).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sampan_schema::{Schema, patch};

    /// An object of that kind of the core group after a patch of it, as the API server applies it.
    pub(crate) fn patched(kind: &str, current: &Value, patch: &Value) -> Value {
        let id = Schema::builtin().find("", "v1", kind).expect(kind);
        patch::strategic(Schema::builtin(), id, current.clone(), patch.clone()).expect("it applies")
    }

    #[test]
    fn a_whole_list_leaves_nothing_of_the_one_before() {
        let pod = |ips: Value| json!({"apiVersion": "v1", "kind": "Pod", "status": {"podIPs": ips}});
        let before = pod(json!([{"ip": "127.64.0.1"}, {"ip": "127.64.0.2"}]));
        for after in [json!([{"ip": "127.64.9.1"}]), json!([{"ip": "127.64.0.2"}])] {
            let patch = json!({"status": {"podIPs": whole(after.as_array().expect("a list").clone())}});
            assert_eq!(patched("Pod", &before, &patch), pod(after));
        }
    }
}
