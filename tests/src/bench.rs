//! `cargo xtask bench`: the binary's figures on this machine, over TLS, with the load on the same cores.
//!
//! Absolute figures depend on the machine and on what else runs; the server's CPU per request does so least, and is what to
//! compare. Rates beside another API server come from the same load against both, in turn.

use anyhow::bail;
use futures::stream::{self, StreamExt};
use sampan_api::k8s::api::core::v1::{ConfigMap, Node, Pod};
use sampan_api::{GroupVersionResource, Object};
use sampan_client::{Client, ListParams, Patch};
use sampan_tests::measure::{Measure, connect, creates, gets, resident_kib};
use sampan_tests::{Sampan, now};
use serde_json::json;
use std::time::{Duration, Instant};

const OBJECTS: usize = 2_000;
const NODES: usize = 1_000;
const PODS: usize = 2_000;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    startup(folder.path());
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver,scheduler"]);
    println!("idle memory, API server and scheduler: {} MiB", resident_kib(sampan.pid())? / 1024);
    runtime.block_on(async {
        let client = connect(&sampan)?;
        creates_and_gets(&client, &sampan).await?;
        scheduling(&client, &sampan).await
    })
}

fn startup(folder: &std::path::Path) {
    for what in ["first", "restart"] {
        let began = now();
        let sampan = Sampan::up(folder, &[]);
        println!(
            "exec to ready, {what}: {} ms, {} MiB with all parts",
            millis(began),
            resident_kib(sampan.pid()).unwrap_or(0) / 1024
        );
        sampan.interrupt();
    }
}

fn millis(since: Instant) -> u128 {
    now().duration_since(since).as_millis()
}

async fn creates_and_gets(client: &Client, sampan: &Sampan) -> anyhow::Result<()> {
    for clients in [1, 16, 64] {
        let count = if clients == 1 { OBJECTS / 4 } else { OBJECTS };
        let cost = creates(client, sampan.pid(), &format!("bench-{clients}"), count, clients).await?;
        println!("creates, {clients} at once: {cost}");
    }
    for clients in [16, 64] {
        let cost = gets(client, sampan.pid(), "bench-16", OBJECTS, OBJECTS * 2, clients).await?;
        println!("GETs, {clients} at once: {cost}");
    }
    let began = now();
    let maps = client.namespaced::<ConfigMap>("default");
    let listed = maps.list_records(&ListParams::default()).await?.items.len();
    println!("LIST of {listed} objects, decoded: {} ms", millis(began));
    Ok(())
}

async fn scheduling(client: &Client, sampan: &Sampan) -> anyhow::Result<()> {
    let nodes = client.dynamic(&GroupVersionResource::new("", "v1", "nodes"), None);
    let made = stream::iter(0..NODES).map(|i| {
        let (nodes, client) = (nodes.clone(), client.clone());
        async move {
            let name = format!("bench-{i}");
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
            nodes.create(&Object::from_value(node).unwrap_or_default()).await?;
            let resources = json!({"cpu": "32", "memory": "128Gi", "pods": "110"});
            let status = json!({"status": {
                "capacity": resources, "allocatable": resources,
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            }});
            client.all::<Node>().patch_status(&name, &Patch::Merge(status)).await
        }
    });
    let failed = made.buffer_unordered(32).filter(|result| std::future::ready(result.is_err())).count().await;
    if failed > 0 {
        bail!("{failed} nodes could not be made");
    }
    let pods = client.namespaced::<Pod>("default");
    let measure = Measure::begin(sampan.pid())?;
    let made = stream::iter(0..PODS).map(|i| {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": format!("bench-{i}")},
            "spec": {"containers": [{"name": "c", "image": "sampan/hello:v1", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]},
        }))
        .unwrap_or_default();
        let pods = pods.clone();
        async move { pods.create(&pod).await }
    });
    let failed = made.buffer_unordered(16).filter(|result| std::future::ready(result.is_err())).count().await;
    if failed > 0 {
        bail!("{failed} pods could not be made");
    }
    loop {
        let waiting = pods.list_records(&ListParams::fields("spec.nodeName=")).await?.items.len();
        if waiting == 0 {
            break;
        }
        if now().duration_since(measure.began) > Duration::from_secs(120) {
            bail!("{waiting} pods were still not bound after two minutes");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("pods made and scheduled onto {NODES} nodes: {}", measure.end(PODS)?);
    Ok(())
}
