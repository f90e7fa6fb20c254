//! From exec to an answer, and what an idle cluster holds.

use anyhow::ensure;
use sampan_tests::measure::resident_kib;
use sampan_tests::{Sampan, http_get, now, root};

pub fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for what in ["first start", "restart"] {
        let began = now();
        let sampan = Sampan::up(folder.path(), &[]);
        println!("exec to ready, {what}: {} ms", now().duration_since(began).as_millis());
        if what == "restart" {
            println!("idle memory, all parts: {} MiB", resident_kib(sampan.pid())? / 1024);
        }
        sampan.interrupt();
    }
    let folder = tempfile::tempdir()?;
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver,scheduler"]);
    println!("idle memory, API server and scheduler: {} MiB", resident_kib(sampan.pid())? / 1024);
    sampan.interrupt();

    let folder = tempfile::tempdir()?;
    let manifest = root().join("examples/hello.yaml");
    let began = now();
    let sampan = Sampan::up(folder.path(), &["-f", &manifest.to_string_lossy()]);
    println!("exec to three pods Running and Ready (up -f hello.yaml): {} ms", now().duration_since(began).as_millis());
    let addresses = sampan.kubectl("1.35", &["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"]);
    let address = addresses.split(' ').next().unwrap_or_default();
    ensure!(http_get(&format!("{address}:8080"), "/").is_some_and(|(code, _)| code == 200), "hello does not answer");
    sampan.interrupt();
    Ok(())
}
