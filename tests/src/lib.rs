//! The harness of the end-to-end tests: the real binary in a directory of its own, and unmodified clients against it.
//!
//! Programs are found where `cargo xtask tools` puts them (`SAMPAN_TOOLS`, else `target/tools`), the binary where cargo
//! does. Every process that is started here is ended here, by its id.

pub mod exchange;
pub mod expressions;
pub mod measure;
pub mod policies;
pub mod program;
pub mod scheduling;
pub mod transcript;

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long anything may take to come about before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The binary under test.
pub fn binary() -> PathBuf {
    target().join("release/sampan")
}

/// The user that the binary under test runs as where the tests run as root (`nobody`): the product needs no root, and
/// with another user's id a process has no capability left.
const UNPRIVILEGED: u32 = 65_534;

/// The binary under test, to be run in `folder`, which is its home too. It has no capability, whoever runs the tests.
///
/// # Panics
/// When the folder cannot be given to its user.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder).env("HOME", folder).env_remove("XDG_DATA_HOME").env_remove("KUBECONFIG");
    if rustix::process::geteuid().is_root() {
        give(folder).expect("the folder can be given away");
        // The groups of root go with its id: std drops them.
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    command
}

/// Makes the unprivileged user the owner of all that is in a folder, some of which may go meanwhile.
fn give(path: &Path) -> std::io::Result<()> {
    let given = std::os::unix::fs::lchown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED));
    match given.and_then(|()| path.symlink_metadata()) {
        Ok(metadata) if metadata.is_dir() => {
            for entry in std::fs::read_dir(path)? {
                give(&entry?.path())?;
            }
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn tools() -> PathBuf {
    std::env::var_os("SAMPAN_TOOLS").map_or_else(|| target().join("tools"), PathBuf::from)
}

/// A program that `cargo xtask tools` made.
pub fn tool(name: &str) -> PathBuf {
    let path = tools().join(name);
    assert!(path.exists(), "{} is not there: run `cargo xtask tools` first", path.display());
    path
}

/// The folder of Kubernetes' own `kube-apiserver` and `etcd`: SAMPAN_KUBERNETES, else that of the tools. `None`: it says `none`,
/// or nothing is there.
pub fn kubernetes() -> Option<PathBuf> {
    let folder = std::env::var_os("SAMPAN_KUBERNETES").map_or_else(|| tools().join("kubernetes"), PathBuf::from);
    folder.join("kube-apiserver").exists().then_some(folder)
}

/// Whether the long oracles are asked for: SAMPAN_TIER=nightly.
pub fn is_nightly() -> bool {
    std::env::var("SAMPAN_TIER").is_ok_and(|tier| tier == "nightly")
}

/// A table of `bench/ratchet.toml`: names and numbers. Fails the test where there is none.
pub fn ratchet(table: &str) -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(root().join("bench/ratchet.toml")).expect("bench/ratchet.toml");
    let head = format!("[{table}]");
    let body = text.lines().skip_while(|line| line.trim() != head).skip(1).take_while(|line| !line.starts_with('['));
    let entries = body.filter_map(|line| line.split_once('='));
    let found: BTreeMap<String, f64> =
        entries.map(|(name, value)| (name.trim().to_owned(), value.trim().parse().expect("a number"))).collect();
    assert!(!found.is_empty(), "bench/ratchet.toml has no table {table}");
    found
}

/// Runs every check and fails with all that failed: none hides another.
///
/// # Panics
/// When a check panics, after all have been run.
pub fn check_all<C: FnOnce()>(checks: impl IntoIterator<Item = (&'static str, C)>) {
    let mut failed = Vec::new();
    for (name, check) in checks {
        // A check that fails leaves nothing behind that the next one looks at.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{} checks failed: {}", failed.len(), failed.join(", "));
}

#[allow(clippy::disallowed_methods, reason = "tests of real programs live in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Asks again and again until `probe` answers, or fails the test.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(now() < end, "{what}: not after {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A running `sampan up`.
pub struct Sampan {
    child: Child,
    pub folder: PathBuf,
    pub server: String,
    pub kubeconfig: PathBuf,
    /// What it said when it was ready.
    pub ready: Value,
    /// What it wrote to standard error, for the report of a failure.
    log: PathBuf,
}

impl Sampan {
    /// Starts in `folder` with a free port, and waits until it says that it is ready.
    pub fn up(folder: &Path, arguments: &[&str]) -> Self {
        Self::try_up(folder, arguments).unwrap_or_else(|output| panic!("sampan up did not become ready: {output}"))
    }

    /// As [`Sampan::up`]; `Err`: what it said instead of becoming ready.
    pub fn try_up(folder: &Path, arguments: &[&str]) -> Result<Self, String> {
        Self::ready(Self::start(folder, arguments, true))
    }

    /// Starts as a user whose home is `home` does: with the default kubeconfig and data directory.
    pub fn up_at_home(home: &Path, arguments: &[&str]) -> Self {
        Self::ready(Self::start(home, arguments, false))
            .unwrap_or_else(|output| panic!("sampan up did not become ready: {output}"))
    }

    fn ready((mut sampan, said): (Self, Option<Value>)) -> Result<Self, String> {
        match said {
            Some(ready) if ready["event"] == "ready" => {
                ready["server"].as_str().unwrap_or_default().clone_into(&mut sampan.server);
                sampan.ready = ready;
                Ok(sampan)
            }
            other => Err(format!("{other:?}\n{}", sampan.log())),
        }
    }

    /// Starts with objects that do not become ready: the cluster, and what it said of them.
    pub fn up_unready(folder: &Path, arguments: &[&str]) -> (Self, Value) {
        let (mut sampan, said) = Self::start(folder, arguments, true);
        let said = said.unwrap_or_else(|| panic!("it said nothing: {}", sampan.log()));
        assert_eq!(said["event"], "notReady", "{said}");
        said["server"].as_str().unwrap_or_default().clone_into(&mut sampan.server);
        (sampan, said)
    }

    /// Starts, and waits for the last event of the start. `apart`: with files of its own; otherwise with those that it finds in
    /// the home.
    fn start(folder: &Path, arguments: &[&str], apart: bool) -> (Self, Option<Value>) {
        let kubeconfig = if apart { folder.join("kubeconfig") } else { folder.join(".kube/config") };
        let unique = sampan_env::Env::system().name_suffix(5);
        let log = folder.join(if apart { "stderr.log".to_owned() } else { format!("stderr-{unique}.log") });
        let stderr = std::fs::File::create(&log).expect("a log file");
        let mut command = self::command(folder);
        command.args(["up", "--output", "json"]);
        if apart {
            command.arg("--data-dir").arg(folder.join("data")).arg("--kubeconfig").arg(&kubeconfig);
        } else {
            command.env("HOME", folder).env_remove("XDG_DATA_HOME").env_remove("KUBECONFIG");
        }
        if !arguments.contains(&"--port") {
            command.args(["--port", "0"]);
        }
        command.args(arguments).stdout(Stdio::piped()).stderr(stderr).stdin(Stdio::null());
        let mut child = command.spawn().expect("the binary is built: cargo build --release");
        let stdout = child.stdout.take().expect("a pipe");
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let said = last_event(&lines);
        let ready = Value::Null;
        (Self { child, folder: folder.to_owned(), server: String::new(), kubeconfig, ready, log }, said)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn port(&self) -> &str {
        self.server.rsplit(':').next().unwrap_or_default()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("a running process");
    }

    /// Ctrl-C, and the wait for the end. Returns the exit status.
    pub fn interrupt(self) -> std::process::ExitStatus {
        self.end(rustix::process::Signal::INT)
    }

    /// The terminal is closed. Returns the exit status.
    pub fn hang_up(self) -> std::process::ExitStatus {
        self.end(rustix::process::Signal::HUP)
    }

    fn end(mut self, signal: rustix::process::Signal) -> std::process::ExitStatus {
        self.signal(signal);
        eventually("the end after a signal", || self.child.try_wait().expect("a child"))
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("a running process");
        self.child.wait().expect("a child");
    }

    /// A command of the binary under test against it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self::command(&self.folder);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        command
    }

    /// Runs a command of the binary under test and returns what it printed on its outputs. Fails the test if it failed.
    pub fn sampan(&self, arguments: &[&str]) -> (String, String) {
        let output = self.command(arguments).output().expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "sampan {arguments:?}: {out}{err}");
        (out, err)
    }

    /// What it says on standard error when it fails. Fails the test if it does not.
    pub fn sampan_refused(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("it starts");
        assert!(!output.status.success(), "sampan {arguments:?} should have failed");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs a kubectl against it and returns what it printed. Fails the test if it failed.
    pub fn kubectl(&self, version: &str, arguments: &[&str]) -> String {
        let output = self.kubectl_output(version, arguments);
        assert!(
            output.status.success(),
            "kubectl-{version} {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Both streams of a kubectl, whether it succeeded or not.
    pub fn kubectl_output(&self, version: &str, arguments: &[&str]) -> Output {
        self.kubectl_command(version).args(arguments).output().expect("kubectl starts")
    }

    /// What kubectl says on standard error when it fails. Fails the test if it does not.
    pub fn kubectl_refused(&self, version: &str, arguments: &[&str]) -> String {
        let output = self.kubectl_output(version, arguments);
        assert!(!output.status.success(), "kubectl-{version} {arguments:?} should have failed");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub fn kubectl_command(&self, version: &str) -> Command {
        let mut command = Command::new(tool(&format!("kubectl-{version}")));
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.folder).stdin(Stdio::null());
        command.arg("--cache-dir").arg(self.folder.join("cache"));
        command
    }

    /// As kubectl, with a manifest on standard input.
    pub fn kubectl_stdin(&self, version: &str, arguments: &[&str], input: &str) -> String {
        let mut command = self.kubectl_command(version);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let both = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl-{version} {arguments:?}: {both}");
        both
    }

    /// An object as JSON.
    pub fn get(&self, what: &[&str]) -> Option<Value> {
        let mut arguments = vec!["get", "-o", "json"];
        arguments.extend(what);
        let output = self.kubectl_output("1.35", &arguments);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    }
}

/// The event with which a start ends.
fn last_event(lines: &mpsc::Receiver<String>) -> Option<Value> {
    let end = now() + PATIENCE;
    loop {
        let line = lines.recv_timeout(end.saturating_duration_since(now())).ok()?;
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        match event["event"].as_str() {
            Some("ready" | "notReady" | "error") => return Some(event),
            _ => assert!(event["afterMs"].is_number(), "{event}"),
        }
    }
}

/// What a test started does not outlive it.
impl Drop for Sampan {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().unwrap_or_default();
            // Reaped; its status says only that it was killed.
            drop(self.child.wait());
        }
        if std::thread::panicking() {
            eprintln!("--- what sampan wrote ---\n{}", self.log());
        }
    }
}

/// `GET` of an HTTP server on loopback: the status line's code and the body. `None`: nobody answers.
///
/// HTTP/1.0 has no chunks: the body is what stands behind the head.
pub fn http_get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let code = text.split_whitespace().nth(1)?.parse().ok()?;
    Some((code, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}
