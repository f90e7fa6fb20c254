//! Pods as a kubelet's: logs, exit codes, back-off, limits, stopping.

use futures::StreamExt;
use sampan_api::k8s::api::core::v1::Pod;
use sampan_client::DeleteParams;
use sampan_env::{Env, Tasks};
use sampan_tests::measure::connect;
use sampan_tests::{PATIENCE, Sampan, eventually, http_get};
use serde_json::{Value, json};
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

fn pod(name: &str, image: &str, spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{spec}  containers:\n  - {{name: c, image: \"{image}\"{container}}}\n"
    )
}

/// The text of each event of a pod.
fn events(sampan: &Sampan, name: &str) -> Vec<String> {
    let selector = format!("involvedObject.name={name}");
    let list = sampan.get(&["events", "--field-selector", &selector]).expect("events");
    let messages = list["items"].as_array().into_iter().flatten().filter_map(|event| event["message"].as_str());
    messages.map(str::to_owned).collect()
}

#[test]
fn of_two_hundred_pods_that_are_deleted_at_any_moment_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    let images = ["sampan/hello:v1", "sampan/worker:v1", "sampan/none:v1", "sampan/batch:v1"];
    // The first of each image is compiled or found; the descriptors of a server that runs are open.
    for (n, image) in images.iter().enumerate() {
        sampan.kubectl_stdin("1.35", &["create", "-f", "-"], &pod(&format!("warm-{n}"), image, "", ""));
    }
    let none = |sampan: &Sampan| {
        eventually("no pod is left", || {
            let pods = sampan.get(&["pods"])?;
            pods["items"].as_array().is_some_and(Vec::is_empty).then_some(())
        });
    };
    sampan.kubectl("1.35", &["wait", "pod/warm-0", "--for=condition=Ready", "--timeout=60s"]);
    sampan.kubectl("1.35", &["delete", "pods", "--all", "--wait=false"]);
    none(&sampan);
    let network = sampan.ready["podCIDR"].as_str().expect("the node's block").to_owned();
    let block: Vec<u8> = network.split('.').take(3).map(|part| part.parse().expect("a number")).collect();
    let block: [u8; 3] = block.try_into().expect("three numbers");
    let sockets = || {
        let text = std::fs::read_to_string("/proc/net/tcp").expect("sockets");
        // Little endian: of 127.64.3.9 it says 0903407F.
        let [a, b, c] = block;
        let tail = format!("{c:02X}{b:02X}{a:02X}:");
        let listens = |line: &&str| line.contains(" 00000000:0000 0A ");
        let of_block =
            |line: &&str| line.split_whitespace().nth(1).is_some_and(|at| at.get(2..9) == Some(tail.as_str()));
        text.lines().filter(listens).filter(of_block).count()
    };
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", sampan.pid())).expect("its files").count();
    let before = descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let random = Env::simulated(7, std::time::SystemTime::UNIX_EPOCH);
    runtime.block_on(async {
        let tasks = Tasks::new("pods");
        let client = connect(&sampan, &tasks).expect("a client");
        let lives = (0..200).map(|n| {
            let (client, random) = (client.clone(), random.clone());
            async move {
                let name = format!("p-{n}");
                let mut spec = json!({"containers": [{"name": "c", "image": images[n % images.len()]}]});
                if n % 2 == 1 {
                    spec["terminationGracePeriodSeconds"] = i64::MAX.into();
                }
                let object = json!({"metadata": {"name": name}, "spec": spec});
                let object: Pod = serde_json::from_value(object).expect("a pod");
                let pods = client.namespaced::<Pod>("default");
                pods.create(&object).await.expect("created");
                random.sleep(std::time::Duration::from_millis(random.random_u64() % 60)).await;
                let grace_period_seconds = [None, Some(0), Some(1)][n % 3];
                let params = DeleteParams { grace_period_seconds, ..DeleteParams::default() };
                pods.delete(&name, &params).await.expect("deleted");
            }
        });
        futures::stream::iter(lives).buffer_unordered(20).collect::<Vec<()>>().await;
        // Its connections are files of the server's.
        drop(client);
        tasks.drain(PATIENCE).await.expect("the client ends");
    });
    none(&sampan);
    eventually("no row of the ledger is left", || {
        (std::fs::read_dir(folder.path().join("data/node/ledger")).expect("the ledger").count() == 0).then_some(())
    });
    eventually("no pod listens", || (sockets() == 0).then_some(()));
    eventually("the files are as many as before", || (descriptors() <= before + 16).then_some(()));
}

#[test]
fn a_changed_image_restarts_its_container_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    for policy in ["Always", "Never"] {
        let name = format!("changed-{}", policy.to_lowercase());
        let spec = format!("  restartPolicy: {policy}\n");
        let two = pod(&name, "sampan/hello:v1", &spec, "") + "  - {name: beside, image: \"sampan/worker:v1\"}\n";
        sampan.kubectl_stdin("1.35", &["create", "-f", "-"], &two);
        sampan.kubectl("1.35", &["wait", &format!("pod/{name}"), "--for=condition=Ready", "--timeout=60s"]);
        let ip = sampan.kubectl("1.35", &["get", "pod", &name, "-o", "jsonpath={.status.podIP}"]);
        let says = |part: &str| {
            eventually(&format!("{name} says {part:?}"), || {
                http_get(&format!("{ip}:8080"), "/").filter(|(code, body)| *code == 200 && body.starts_with(part))
            });
        };
        says("Hello from");
        sampan.kubectl("1.35", &["set", "image", &format!("pod/{name}"), "c=sampan/hello:v2"]);
        says("Hello again (v2)");
        let found = eventually("the status says so", || {
            let found = sampan.get(&["pod", &name])?;
            (container(&found)["image"] == "sampan/hello:v2" && container(&found)["ready"] == true).then_some(found)
        });
        let of = |name: &str| {
            let statuses = found["status"]["containerStatuses"].as_array().expect("statuses");
            statuses.iter().find(|status| status["name"] == name).expect(name)["restartCount"].clone()
        };
        assert_eq!((of("c"), of("beside")), (1.into(), 0.into()), "{found}");
        assert_eq!(found["status"]["phase"], "Running");
        let expected = "Container c definition changed, will be restarted".to_owned();
        eventually("an event tells of it", || events(&sampan, &name).contains(&expected).then_some(()));
        // A change that asks nothing of the node is seen all the same.
        let tolerations =
            r#"[{"op": "add", "path": "/spec/tolerations/-", "value": {"key": "a", "operator": "Exists"}}]"#;
        sampan.kubectl("1.35", &["patch", "pod", &name, "--type=json", "-p", tolerations]);
        eventually("the node has seen it", || {
            let found = sampan.get(&["pod", &name])?;
            (found["status"]["observedGeneration"] == found["metadata"]["generation"]).then_some(())
        });
    }
    // What waits for an image that is not there takes the next one at once.
    sampan.kubectl_stdin("1.35", &["create", "-f", "-"], &pod("mended", "sampan/none:v1", "", ""));
    eventually("it waits", || {
        let pod = sampan.get(&["pod", "mended"])?;
        container(&pod)["state"]["waiting"]["reason"].as_str().filter(|reason| reason.contains("Pull")).map(drop)
    });
    sampan.kubectl("1.35", &["set", "image", "pod/mended", "c=sampan/hello:v1"]);
    sampan.kubectl("1.35", &["wait", "pod/mended", "--for=condition=Ready", "--timeout=5s"]);
}

#[test]
fn a_pod_with_a_grace_without_end_ends_and_its_container_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    let spec = format!("  terminationGracePeriodSeconds: {}\n", i64::MAX);
    for force in [false, true] {
        sampan.kubectl_stdin("1.35", &["create", "-f", "-"], &pod("endless", "sampan/hello:v1", &spec, ""));
        sampan.kubectl("1.35", &["wait", "pod/endless", "--for=condition=Ready", "--timeout=60s"]);
        let ip = sampan.kubectl("1.35", &["get", "pod", "endless", "-o", "jsonpath={.status.podIP}"]);
        let address = format!("{ip}:8080");
        assert!(http_get(&address, "/").is_some());
        let arguments: &[&str] = if force { &["--force", "--grace-period=0"] } else { &["--wait=false"] };
        sampan.kubectl("1.35", &[&["delete", "pod", "endless"], arguments].concat());
        eventually("it is gone", || sampan.get(&["pod", "endless"]).is_none().then_some(()));
        eventually("nobody answers", || http_get(&address, "/").is_none().then_some(()));
    }
    assert!(!sampan.log().contains("panicked"), "{}", sampan.log());
}

#[test]
fn logs_are_told_and_refused_in_kubectls_own_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let hello = format!("{}/../examples/hello.yaml", env!("CARGO_MANIFEST_DIR"));
    let sampan = Sampan::up(folder.path(), &["-f", &hello]);
    sampan.kubectl_stdin("1.35", &["create", "-f", "-"], &pod("waits", "sampan/none:v1", "", ""));
    eventually("it waits", || {
        let pod = sampan.get(&["pod", "waits"])?;
        (container(&pod)["state"]["waiting"]["reason"] == "ErrImagePull").then_some(())
    });
    let refused = sampan.kubectl_refused("1.35", &["logs", "waits"]);
    let why = ["image can't be pulled", "trying and failing to pull image"].map(|why| {
        format!("Error from server (BadRequest): container \"c\" in pod \"waits\" is waiting to start: {why}\n")
    });
    assert!(why.contains(&refused), "{refused}");
    let refused = sampan.kubectl_refused("1.35", &["logs", "waits", "--previous"]);
    let why = "Error from server (BadRequest): previous terminated container \"c\" in pod \"waits\" not found\n";
    assert_eq!(refused, why);
    // A service tells of its requests.
    let pods = sampan.get(&["pods", "-l", "app=hello"]).expect("pods");
    for pod in pods["items"].as_array().expect("a list") {
        let ip = pod["status"]["podIP"].as_str().expect("an address");
        assert!(http_get(&format!("{ip}:8080"), "/some/path").is_some());
    }
    let log = eventually("its log has the request", || {
        Some(sampan.kubectl("1.35", &["logs", "deployment/hello"])).filter(|log| !log.is_empty())
    });
    assert_eq!(log, "GET /some/path\n");
}

#[test]
fn privileges_are_none_to_give_and_the_owner_hears_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &[]);
    let privileged = ", securityContext: {privileged: true}";
    let output = {
        let mut command = sampan.kubectl_command("1.35");
        command.args(["create", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl starts");
        let text = pod("privileged", "sampan/worker:v1", "", privileged);
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), text.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends")
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    sampan.kubectl("1.35", &["wait", "pod/privileged", "--for=condition=Ready", "--timeout=60s"]);
    eventually("an event tells of it", || {
        events(&sampan, "privileged").iter().any(|text| text.contains("has no privileges to give")).then_some(())
    });
}
