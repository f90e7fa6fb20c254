//! Pods as a kubelet's: logs, exit codes, back-off, limits, stopping.

use sampan_tests::{Sampan, eventually};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn example(name: &str) -> String {
    format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

#[test]
fn a_batch_succeeds_a_worker_is_followed_and_a_bomb_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    for name in ["batch/manifest.yaml", "worker/manifest.yaml", "memory-bomb/manifest.yaml"] {
        sampan.kubectl("1.35", &["apply", "-f", &example(name)]);
    }
    // The batch: Succeeded, its log is there.
    let batch = eventually("the batch has succeeded", || {
        sampan.get(&["pod", "batch"]).filter(|pod| pod["status"]["phase"] == "Succeeded")
    });
    assert_eq!(container(&batch)["state"]["terminated"]["exitCode"], 0);
    assert_eq!(container(&batch)["state"]["terminated"]["reason"], "Completed");
    assert!(!sampan.kubectl("1.35", &["logs", "batch"]).is_empty());

    // The bomb: OOMKilled with 137, then it waits longer and longer.
    let bomb = eventually("the bomb backs off", || {
        let pod = sampan.get(&["pod", "memory-bomb"])?;
        (container(&pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff").then_some(pod)
    });
    let last = &container(&bomb)["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&137.into(), &"OOMKilled".into()));
    assert!(container(&bomb)["restartCount"].as_i64() >= Some(1), "{bomb}");
    let described = sampan.kubectl("1.35", &["describe", "pod", "memory-bomb"]);
    assert!(described.contains("Back-off restarting failed container"), "{described}");
    let previous = sampan.kubectl("1.35", &["logs", "memory-bomb", "--previous"]);
    assert!(!previous.trim().is_empty(), "the run that was killed wrote something");

    // The worker: its log is followed as it is written.
    sampan.kubectl("1.35", &["rollout", "status", "deployment/worker", "--timeout=60s"]);
    let mut follow = sampan
        .kubectl_command("1.35")
        .args(["logs", "-f", "deployment/worker"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl starts");
    let mut lines = BufReader::new(follow.stdout.take().expect("a pipe")).lines();
    let followed: Vec<String> = lines.by_ref().take(3).map_while(Result::ok).collect();
    assert_eq!(followed.len(), 3, "{followed:?}");
    let tail = sampan.kubectl("1.35", &["logs", "deployment/worker", "--tail=1", "--timestamps"]);
    assert_eq!(tail.lines().count(), 1, "{tail}");
    assert!(tail.starts_with("20") && tail.contains('Z'), "{tail}");
    sampan.kubectl("1.35", &["delete", "deployment", "worker"]);
    // The log ends with the container, and so does who follows it.
    eventually("the follower has ended", || follow.try_wait().expect("a child"));
}

#[test]
fn what_cannot_run_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    let pod = |name: &str, image: &str, more: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n  - {{name: c, image: \"{image}\"{more}}}\n"
        )
    };
    let check = |name: &str, image: &str, more: &str, reason: &str, part: &str| {
        sampan.kubectl_stdin("1.35", &["apply", "-f", "-"], &pod(name, image, more));
        let found = eventually(&format!("{name} waits for {reason}"), || {
            let pod = sampan.get(&["pod", name])?;
            (container(&pod)["state"]["waiting"]["reason"] == reason).then_some(pod)
        });
        let message = container(&found)["state"]["waiting"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(part), "{message}");
        let described = sampan.kubectl("1.35", &["describe", "pod", name]);
        assert!(described.contains("Warning"), "{described}");
    };
    check("missing", "sampan/none:v1", "", "ErrImagePull", "not found");
    check("foreign", "docker.io/library/nginx:1", "", "ErrImagePull", "sampan image import");
    check("misnamed", "NOT/An Image", "", "InvalidImageName", "invalid image name");
    check(
        "probed",
        "sampan/hello:v1",
        ", readinessProbe: {tcpSocket: {port: 80}}",
        "CreateContainerConfigError",
        "readinessProbe",
    );
    // And what is no component is not even stored.
    let file = folder.path().join("layer.tar.gz");
    std::fs::write(&file, [0x1f, 0x8b, 8, 0]).expect("written");
    let import = sampan_tests::command(folder.path())
        .args(["image", "import", &file.to_string_lossy(), "team/app:v1", "--data-dir"])
        .arg(folder.path().join("data"))
        .output()
        .expect("it starts");
    assert!(!import.status.success());
    assert!(String::from_utf8_lossy(&import.stderr).contains("layer.tar.gz"), "{import:?}");
}

#[test]
fn after_a_kill_long_lived_pods_run_again_and_finished_ones_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    sampan.kubectl("1.35", &["apply", "-f", &example("batch/manifest.yaml")]);
    sampan.kubectl("1.35", &["apply", "-f", &example("worker/manifest.yaml")]);
    let never = "apiVersion: v1\nkind: Pod\nmetadata: {name: never}\nspec:\n  restartPolicy: Never\n  containers:\n  - {name: c, image: \"sampan/worker:v1\"}\n";
    sampan.kubectl_stdin("1.35", &["apply", "-f", "-"], never);
    sampan.kubectl("1.35", &["rollout", "status", "deployment/worker", "--timeout=60s"]);
    sampan.kubectl("1.35", &["wait", "pod/never", "--for=condition=Ready", "--timeout=60s"]);
    let batch = |sampan: &Sampan| {
        eventually("the batch has succeeded", || {
            sampan.get(&["pod", "batch"]).filter(|pod| pod["status"]["phase"] == "Succeeded")
        })
    };
    let before = container(&batch(&sampan))["state"]["terminated"].clone();
    sampan.kill();

    let sampan = Sampan::up(folder.path(), &[]);
    let worker = eventually("the worker runs again", || {
        let pods = sampan.get(&["pods", "-l", "app=worker"])?;
        let pod = pods["items"].as_array()?.first()?.clone();
        let again = container(&pod)["restartCount"].as_i64() == Some(1) && container(&pod)["ready"] == true;
        again.then_some(pod)
    });
    assert_eq!(container(&worker)["lastState"]["terminated"]["exitCode"], 137);
    let never = eventually("a pod that is never restarted has failed", || {
        sampan.get(&["pod", "never"]).filter(|pod| pod["status"]["phase"] == "Failed")
    });
    assert_eq!(container(&never)["state"]["terminated"]["exitCode"], 137);
    assert_eq!(container(&batch(&sampan))["state"]["terminated"], before, "the batch was not run again");
}
