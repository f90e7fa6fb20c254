//! Each form of a list, and the start of a watch that sends what is there first.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use sampan_client::Client;
use sampan_tests::measure::Measure;
use sampan_tests::{Sampan, now};
use std::time::Duration;

const LISTS: usize = 5;
const PAGE: usize = 500;
const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";

struct Form {
    name: &'static str,
    query: &'static str,
    accept: &'static str,
    paged: bool,
}

const FORMS: [Form; 7] = [
    Form { name: "whole", query: "", accept: JSON, paged: false },
    Form { name: "in pages of 500", query: "", accept: JSON, paged: true },
    Form { name: "by label, one in 100", query: "labelSelector=group%3Dg-1", accept: JSON, paged: false },
    Form { name: "by field, one", query: "fieldSelector=metadata.name%3Dfilled-1", accept: JSON, paged: false },
    Form { name: "as a table", query: "", accept: "application/json;as=Table;g=meta.k8s.io;v=v1", paged: false },
    Form { name: "as protobuf", query: "", accept: "application/vnd.kubernetes.protobuf", paged: false },
    Form {
        name: "metadata only",
        query: "",
        accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        paged: false,
    },
];

pub async fn run(client: &Client, sampan: &Sampan, size: usize) -> anyhow::Result<()> {
    for form in &FORMS {
        let mut times = Vec::new();
        let measure = Measure::begin(sampan.pid())?;
        let mut bytes = 0;
        for _ in 0..LISTS {
            let began = now();
            bytes = list(client, form).await?;
            times.push(now().duration_since(began));
        }
        let cost = measure.end(LISTS)?;
        times.sort();
        println!(
            "  LIST of {size}, {}: {:.1} MB, median {:.1} ms, {:.1} ms of the server's CPU",
            form.name,
            bytes as f64 / 1e6,
            times[LISTS / 2].as_secs_f64() * 1e3,
            cost.cpu_us / 1e3,
        );
    }
    let took = watch_list(client).await?;
    println!("  watch with initial events, to their end: {:.1} ms", took.as_secs_f64() * 1e3);
    Ok(())
}

/// Bytes that came.
async fn list(client: &Client, form: &Form) -> anyhow::Result<usize> {
    let (mut bytes, mut after) = (0, String::new());
    loop {
        let limit = if form.paged { format!("&limit={PAGE}") } else { String::new() };
        let request = Request::get(format!("{COLLECTION}?{}{limit}{after}", form.query)).header("accept", form.accept);
        let body = client.request_bytes(request.body(Bytes::new())?).await?;
        ensure!(!body.is_empty(), "an empty list");
        bytes += body.len();
        let head = String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned();
        match head.split("\"continue\":\"").nth(1).and_then(|rest| rest.split('"').next()) {
            Some(token) if form.paged && !token.is_empty() => after = format!("&continue={token}"),
            _ => return Ok(bytes),
        }
    }
}

/// Time until the bookmark that ends the initial events.
async fn watch_list(client: &Client) -> anyhow::Result<Duration> {
    let began = now();
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut body = client.stream(Request::get(format!("{COLLECTION}?{query}")).body(Bytes::new())?).await?;
    let mut last = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| anyhow::anyhow!("{error}"))?;
        let Some(data) = frame.data_ref() else { continue };
        last.extend_from_slice(data);
        if memchr::memmem::find(&last, b"k8s.io/initial-events-end").is_some() {
            return Ok(now().duration_since(began));
        }
        // The bookmark may be cut in two.
        last.drain(..last.len().saturating_sub(1_024));
    }
    None.context("the watch ended before its initial events did")
}
