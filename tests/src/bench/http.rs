//! Requests to a `wasi:http` component: a pod's, and `wasmtime serve`'s with the same component, in turn.

use anyhow::{Context, bail, ensure};
use sampan_env::Tasks;
use sampan_tests::measure::{Cost, Measure};
use sampan_tests::{Sampan, eventually, http_get, root};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 16;
const REQUESTS: usize = 20_000;
const COMPONENT: &str = "target/guests/wasm32-wasip2/guest/example_hello.wasm";
/// Ours, the peer's, the peer's, ours: a machine that gets slower meanwhile favours neither.
const TURNS: [bool; 4] = [true, false, false, true];

pub async fn run(tasks: &Tasks, wasmtime: Option<&Path>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let manifest = root().join("examples/hello.yaml");
    let sampan = Sampan::up(folder.path(), &["-f", &manifest.to_string_lossy()]);
    let addresses = sampan.kubectl("1.35", &["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"]);
    let ours = format!("{}:8080", addresses.split(' ').next().unwrap_or_default());
    load(tasks, &ours, sampan.pid()).await?;
    let Some(wasmtime) = wasmtime else {
        println!("HTTP component, {CONNECTIONS} connections: {}", load(tasks, &ours, sampan.pid()).await?);
        return Ok(());
    };
    let peer = Peer::start(wasmtime)?;
    load(tasks, &peer.address, peer.child.id()).await?;
    let mut costs = [Vec::new(), Vec::new()];
    for our_turn in TURNS {
        let (address, pid) = if our_turn { (&ours, sampan.pid()) } else { (&peer.address, peer.child.id()) };
        costs[usize::from(our_turn)].push(load(tasks, address, pid).await?);
    }
    let mean = |costs: &[Cost]| Cost {
        per_second: costs.iter().map(|cost| cost.per_second).sum::<f64>() / costs.len() as f64,
        cpu_us: costs.iter().map(|cost| cost.cpu_us).sum::<f64>() / costs.len() as f64,
    };
    let [theirs, ours] = costs.map(|costs| mean(&costs));
    println!(
        "HTTP component, {CONNECTIONS} connections: {ours}; `wasmtime serve` in turn: {theirs}; {:.2} of its requests",
        ours.per_second / theirs.per_second
    );
    Ok(())
}

/// A `wasmtime serve` on a port that it chose.
struct Peer {
    child: Child,
    address: String,
}

impl Peer {
    fn start(wasmtime: &Path) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(wasmtime);
        command.args(["serve", "-Scli", "--addr", &address]).arg(root().join(COMPONENT));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("wasmtime serve")?;
        let peer = Self { child, address };
        let answer = eventually("wasmtime serve answers", || http_get(&peer.address, "/"));
        ensure!(answer.0 == 200, "wasmtime serve: {answer:?}");
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

async fn load(tasks: &Tasks, address: &str, pid: u32) -> anyhow::Result<Cost> {
    let measure = Measure::begin(pid)?;
    let workers: Vec<_> = (0..CONNECTIONS).map(|_| tasks.spawn(requests(address.to_owned()))).collect();
    for worker in workers {
        worker.await??;
    }
    measure.end(REQUESTS)
}

async fn requests(address: String) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut buffer = [0; 4096];
    for _ in 0..REQUESTS / CONNECTIONS {
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // hello's answer is chunked: it ends with an empty chunk.
        while !answer.ends_with(b"0\r\n\r\n") {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                bail!("closed after {}", String::from_utf8_lossy(&answer));
            }
            answer.extend_from_slice(&buffer[..read]);
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
