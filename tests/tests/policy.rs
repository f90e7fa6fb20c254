//! A user's scheduling policy decides the next pod of a running cluster, and is gone when its object is.

use sampan_tests::policies::{HOSTILE, QUIET, import};
use sampan_tests::{Sampan, eventually, root};

fn pod(name: &str, noisy: bool) -> String {
    let annotations = if noisy { "annotations: {example.com/noisy: \"true\"}" } else { "" };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  {annotations}\nspec:\n  containers:\n  - {{name: c, image: \"sampan/hello:v1\"}}\n"
    )
}

#[test]
fn a_hostile_policy_is_named_and_pods_go_on_being_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    import(&sampan, HOSTILE, "example/hostile:v1");
    for what in ["trap", "loop", "wait", "grow"] {
        let policy = format!(
            "apiVersion: scheduling.sampan.dev/v1alpha1\nkind: SchedulingPolicy\nmetadata: {{name: {what}}}\nspec:\n  \
             component: example/hostile:v1\n  failurePolicy: Ignore\n  args: {{what: {what}, at: filter}}\n"
        );
        sampan.kubectl_stdin("1.35", &["apply", "-f", "-"], &policy);
        sampan.kubectl("1.35", &["wait", "schedulingpolicy", what, "--for=condition=Ready", "--timeout=60s"]);
        for i in 0..4 {
            let name = format!("{what}-{i}");
            sampan.kubectl_stdin("1.35", &["apply", "-f", "-"], &pod(&name, false));
            sampan.kubectl("1.35", &["wait", &format!("pod/{name}"), "--for=condition=Ready", "--timeout=60s"]);
        }
        let suspended = eventually(&format!("{what} is suspended"), || {
            let policy = sampan.get(&["schedulingpolicy", what])?;
            let conditions = policy["status"]["conditions"].as_array()?.clone();
            conditions.into_iter().find(|one| one["type"] == "Ready" && one["reason"] == "Suspended")
        });
        assert_eq!(suspended["status"], "False");
        let selector = format!("involvedObject.name={what}");
        let events = eventually(&format!("an event names {what}"), || {
            let events = sampan.kubectl("1.35", &["get", "events", "-A", "--field-selector", &selector]);
            events.contains("Suspended").then_some(events)
        });
        assert!(events.contains("PolicyFault"), "{events}");
        sampan.kubectl("1.35", &["delete", "schedulingpolicy", what]);
    }
}

#[test]
fn a_policy_goes_live_and_goes_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    import(&sampan, QUIET, "example/quiet-nodes:v1");
    let manifest = root().join("examples/policy/manifest.yaml");
    sampan.kubectl("1.35", &["apply", "-f", &manifest.to_string_lossy()]);
    let ready = ["wait", "schedulingpolicy/quiet-nodes", "--for=condition=Ready", "--timeout=60s"];
    sampan.kubectl("1.35", &ready);

    let node = sampan.kubectl("1.35", &["get", "nodes", "-o", "name"]).trim().to_owned();
    sampan.kubectl("1.35", &["label", &node, "example.com/quiet=true"]);
    sampan.kubectl_stdin("1.35", &["apply", "-f", "-"], &pod("noisy", true));
    let refused = eventually("the noisy pod is refused", || {
        let pod = sampan.get(&["pod", "noisy"])?;
        let conditions = pod["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False")
    });
    assert_eq!(refused["reason"], "Unschedulable");
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("0/1 nodes are available: 1 node(s) wanted to be left in peace"), "{message}");
    eventually("an event tells it too", || {
        let events = sampan.kubectl("1.35", &["get", "events", "--field-selector", "reason=FailedScheduling"]);
        events.contains("wanted to be left in peace").then_some(())
    });
    // What was recorded, and the whole computed again from the same inputs, agree.
    let explained = eventually("the refusal is explained", || {
        let output = sampan_tests::command(&sampan.folder)
            .args(["explain", "pod", "noisy", "--kubeconfig"])
            .arg(&sampan.kubeconfig)
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains("wanted to be left in peace").then_some(text)
    });
    assert!(explained.contains("Computed again from the recorded inputs: the same result."), "{explained}");

    // A calm pod goes on being placed; and without the policy the noisy one is too.
    sampan.kubectl_stdin("1.35", &["apply", "-f", "-"], &pod("calm", false));
    sampan.kubectl("1.35", &["wait", "pod/calm", "--for=condition=Ready", "--timeout=60s"]);
    sampan.kubectl("1.35", &["delete", "schedulingpolicy", "quiet-nodes"]);
    sampan.kubectl_stdin("1.35", &["apply", "-f", "-"], &pod("noisy-too", true));
    sampan.kubectl("1.35", &["wait", "pod/noisy-too", "--for=condition=Ready", "--timeout=60s"]);
}
