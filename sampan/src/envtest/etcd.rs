//! `etcd`: envtest starts one, waits until it is healthy, and gives its address to the API server. Ours keeps its log itself, so that
//! this answers health alone, and says so to everything else.

use super::flags::{Flags, Known, asked};
use anyhow::{Context, bail};
use sampan_env::{Env, Tasks};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

/// Head of a request, bytes.
const HEAD_MAX: usize = 8 * 1024;
/// Time for a whole exchange.
const EXCHANGE_MAX: Duration = Duration::from_secs(5);
/// Time to end.
const DRAIN: Duration = Duration::from_secs(2);

const KNOWN: &[Known] = &[
    Known { name: "listen-client-urls", help: "where to answer: http://127.0.0.1:2379", truth: false },
    Known { name: "advertise-client-urls", help: "taken, and not needed", truth: false },
    Known { name: "listen-peer-urls", help: "taken, and not needed: there are no peers", truth: false },
    Known { name: "initial-advertise-peer-urls", help: "taken, and not needed", truth: false },
    Known { name: "initial-cluster", help: "taken, and not needed", truth: false },
    Known { name: "name", help: "taken, and not needed", truth: false },
    Known { name: "data-dir", help: "taken, and not needed: nothing is kept here", truth: false },
    Known { name: "unsafe-no-fsync", help: "taken, and not needed: nothing is kept here", truth: true },
    Known { name: "quota-backend-bytes", help: "taken, and not needed: nothing is kept here", truth: false },
    Known { name: "auto-compaction-mode", help: "taken, and not needed: nothing is kept here", truth: false },
    Known { name: "auto-compaction-retention", help: "taken, and not needed: nothing is kept here", truth: false },
    Known { name: "snapshot-count", help: "taken, and not needed: nothing is kept here", truth: false },
    Known { name: "max-request-bytes", help: "taken, and not needed: nothing is kept here", truth: false },
    Known { name: "logger", help: "taken, and not needed", truth: false },
    Known { name: "log-outputs", help: "taken, and not needed", truth: false },
    Known { name: "log-level", help: "taken, and not needed", truth: false },
];

/// Answers until it is told to end.
pub async fn run(arguments: &[String], env: &Env) -> anyhow::Result<()> {
    if let Some(text) = asked("etcd", "etcd Version: 3.6.0, answered by sampan", KNOWN, arguments) {
        return sampan_cli::session::say(&text);
    }
    let flags = Flags::read(arguments, KNOWN)?;
    let tasks = Tasks::new("etcd");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let urls = flags.list("listen-client-urls");
    for url in if urls.is_empty() { vec!["http://127.0.0.1:2379".to_owned()] } else { urls } {
        let Some(address) = url.strip_prefix("http://") else {
            bail!("--listen-client-urls: {url}: only http is served")
        };
        let listener = TcpListener::bind(address.trim_end_matches('/')).await.with_context(|| url.clone())?;
        let (env, owner) = (env.clone(), tasks.clone());
        tasks.spawn_until_cancelled(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        // A client that goes away, or says nothing, is no failure of ours.
                        let exchange = tokio::time::timeout(EXCHANGE_MAX, answer(stream));
                        owner.spawn_until_cancelled(async move { drop(exchange.await) });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be taken");
                        env.sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        });
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tasks.drain(DRAIN).await.context("the end")
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < HEAD_MAX {
        match stream.read(&mut piece).await? {
            0 => return Ok(()),
            read => head.extend_from_slice(&piece[..read]),
        }
    }
    let (status, body) = response(&String::from_utf8_lossy(&head));
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn response(head: &str) -> (&'static str, &'static str) {
    let path = head.split_whitespace().nth(1).unwrap_or_default();
    match path.split('?').next().unwrap_or_default() {
        "/health" | "/livez" | "/readyz" => ("200 OK", r#"{"health":"true","reason":""}"#),
        "/version" => ("200 OK", r#"{"etcdserver":"3.6.0","etcdcluster":"3.6.0"}"#),
        _ => (
            "501 Not Implemented",
            r#"{"error":"sampan's kube-apiserver keeps its log itself: this etcd answers /health alone"}"#,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_answered_and_all_else_is_said_to_be_elsewhere() {
        let check = |head: &str, expected: &str| assert!(response(head).0.starts_with(expected), "{head}");
        check("GET /health HTTP/1.1\r\n\r\n", "200");
        check("GET /health?serializable=true HTTP/1.1\r\n\r\n", "200");
        check("POST /v3/kv/range HTTP/1.1\r\n\r\n", "501");
        check("", "501");
    }
}
