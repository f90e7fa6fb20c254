use super::*;
use serde_json::json;

/// `security`: of the pod; `context`: of its one container.
fn pod(security: Value, context: Value, more: Value) -> Object {
    let mut pod = json!({"metadata": {"name": "p"}, "spec": {"securityContext": security,
        "containers": [{"name": "c", "image": "i", "securityContext": context}]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    Object::from_value(pod).expect("a pod")
}

#[test]
fn standards_forbid_by_level_and_version() {
    let check = |standard: &str, pod: &Object, expected: Option<&str>| {
        assert_eq!(forbidden_by(standard, pod), Ok(expected.map(str::to_owned)), "{standard}");
    };
    let plain = pod(json!({}), json!({}), json!({}));
    check("privileged:latest", &plain, None);
    check("baseline:latest", &plain, None);
    let all = "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
        unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
        runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
        seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
    check("restricted:latest", &plain, Some(all));
    let non_root = "runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true)";
    check("restricted:v1.0", &plain, Some(non_root));
    let good = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let seccomp = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    check("restricted:latest", &pod(seccomp, good, json!({})), None);
    let shared = pod(json!({}), json!({"privileged": true}), json!({"hostPID": true}));
    let text =
        "host namespaces (hostPID=true), privileged (container \"c\" must not set securityContext.privileged=true)";
    check("baseline:latest", &shared, Some(text));
    let unmasked = pod(json!({}), json!({"procMount": "Unmasked"}), json!({"hostUsers": false}));
    let text = "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")";
    check("baseline:latest", &unmasked, None);
    check("baseline:v1.34", &unmasked, Some(text));
    assert!(forbidden_by("strict:latest", &plain).is_err());
}

#[test]
fn only_what_can_change_the_judgement_is_judged_again() {
    let check = |new: Value, expected: bool| {
        let old = json!({"spec": {"containers": [{"name": "a", "image": "x"}], "ephemeralContainers": [{"name": "e", "image": "y"}]}});
        let mut pod = old.clone();
        for (key, value) in new.as_object().into_iter().flatten() {
            pod["spec"][key] = value.clone();
        }
        let object = |value: Value| Object::from_value(value).expect("a pod");
        assert_eq!(has_new_images(&object(pod), &object(old)), expected, "{new}");
    };
    check(json!({"activeDeadlineSeconds": 5}), false);
    check(json!({"containers": [{"name": "a", "image": "z"}]}), true);
    check(json!({"ephemeralContainers": [{"name": "e", "image": "y"}, {"name": "f", "image": "y"}]}), true);
}
