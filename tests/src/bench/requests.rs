//! Creates, GETs and LISTs, what they cost the server, and how many syncs they take.

use Page::{Of, Whole};
use anyhow::{Context, ensure};
use sampan_client::Client;
use sampan_env::Tasks;
use sampan_tests::measure::{connections, counters, creates, gets, stored_syncs};
use sampan_tests::{Sampan, now};
use std::time::Duration;

const OBJECTS: usize = 4_000;
const LISTED: usize = 10_000;
const LISTS: usize = 7;
/// Creates under strace, which slows them: counts are wanted, not rates.
const COUNTED: usize = 3_000;

pub async fn run(tasks: &Tasks) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver,scheduler"]);
    let (clients, pid) = (connections(&sampan, tasks, 64)?, sampan.pid());
    for at_once in [1, 16, 64] {
        let cost = creates(&clients[..at_once], pid, &format!("bench-{at_once}"), OBJECTS).await?;
        println!("creates, {at_once} clients: {cost}");
    }
    for at_once in [1, 16, 64] {
        let cost = gets(&clients[..at_once], pid, "bench-16", OBJECTS, OBJECTS * 4).await?;
        println!("GETs, {at_once} clients: {cost}");
    }
    lists(&clients[0], &sampan).await?;
    syncs(&clients[..16], &sampan).await
}

enum Page {
    Whole,
    Of(usize),
}

async fn lists(client: &Client, sampan: &Sampan) -> anyhow::Result<()> {
    let there = OBJECTS * 3;
    ensure!(there >= LISTED, "fewer objects than the figure is for");
    for page in [Whole, Of(500)] {
        let mut times = Vec::new();
        for _ in 0..LISTS {
            let began = now();
            let (objects, bytes) = list(client, &page).await?;
            ensure!(objects >= there, "{objects} listed of {there}");
            times.push((now().duration_since(began), objects, bytes));
        }
        times.sort();
        let (time, objects, bytes) = times[LISTS / 2];
        let what = match page {
            Whole => "whole".to_owned(),
            Of(size) => format!("in pages of {size}"),
        };
        let scaled = time.mul_f64(LISTED as f64 / objects as f64);
        println!(
            "LIST, {what}: {objects} objects, {:.1} MB in {:.1} ms, so {:.1} ms for {LISTED} (median of {LISTS})",
            bytes as f64 / 1e6,
            millis(time),
            millis(scaled),
        );
    }
    println!("memory after it: {} MiB", sampan_tests::measure::resident_kib(sampan.pid())? / 1024);
    Ok(())
}

/// Reads the answers and no more, as the load generators of other servers do.
async fn list(client: &Client, page: &Page) -> anyhow::Result<(usize, usize)> {
    let (mut objects, mut bytes, mut after) = (0, 0, String::new());
    loop {
        let query = match page {
            Whole => String::new(),
            Of(size) => format!("?limit={size}{after}"),
        };
        let path = format!("/api/v1/namespaces/default/configmaps{query}");
        let body = client.request_bytes(http::Request::get(path).body(bytes::Bytes::new())?).await?;
        bytes += body.len();
        objects += memchr_count(&body, b"\"uid\":");
        let head = String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned();
        let token = head.split("\"continue\":\"").nth(1).and_then(|rest| rest.split('"').next());
        match token {
            Some(token) if !token.is_empty() => after = format!("&continue={token}"),
            _ => return Ok((objects, bytes)),
        }
    }
}

fn memchr_count(body: &[u8], what: &[u8]) -> usize {
    memchr::memmem::find_iter(body, what).count()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

async fn syncs(clients: &[Client], sampan: &Sampan) -> anyhow::Result<()> {
    let before = counters(&clients[0]).await?;
    let counting = stored_syncs(sampan.pid())?;
    creates(clients, sampan.pid(), "counted", COUNTED).await?;
    let syncs = counting.end()?;
    let after = counters(&clients[0]).await?;
    let grown = |name: &str| -> anyhow::Result<f64> {
        let value = |all: &std::collections::HashMap<String, f64>| all.get(name).copied().context(name.to_owned());
        Ok(value(&after)? - value(&before)?)
    };
    let batches = grown("sampan_store_batches_total")?;
    let checkpoints = grown("sampan_store_checkpoints_total")?;
    let transactions = grown("sampan_store_transactions_total")?;
    println!(
        "syncs: {syncs} for {transactions} writes in {batches} batches and {checkpoints} checkpoints ({:.3} a batch)",
        f64::from(syncs) / batches
    );
    ensure!(f64::from(syncs) <= batches + 3.0 * checkpoints + 1.0, "more than a sync a batch and three a checkpoint");
    Ok(())
}
