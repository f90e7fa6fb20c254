//! The guests of these tests: built by cargo where they are not there yet, compiled in this process.

use sampan_env::Env;
use sampan_policy::{Live, Prepared, ProfileConfig, prepare};
use sampan_wasm_runtime::policy::PolicyComponent;
use sampan_wasm_runtime::{Compiler, Role, Runtime, RuntimeConfig, digest_of};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const GUESTS: [&str; 3] = ["sampan-policies", "quiet-nodes", "sampan-hostile-policy"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Bytes of a guest's component. Cargo sees to it that they are fresh.
pub fn bytes(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<()> = OnceLock::new();
    let target = root().join("target/guests");
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root()).args(["build", "--quiet", "--profile", "guest", "--target", "wasm32-wasip2"]);
        cargo.arg("--target-dir").arg(&target);
        GUESTS.iter().for_each(|guest| {
            cargo.args(["-p", guest]);
        });
        assert!(cargo.status().expect("cargo runs").success(), "the guests build");
    });
    let file = target.join("wasm32-wasip2/guest").join(format!("{}.wasm", name.replace('-', "_")));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Makes a policy live, of no object and not suspended.
pub fn install(live: &Live, name: &str, prepared: Prepared) {
    live.install(name, prepared, None, None).expect("there is room");
}

pub struct World {
    pub env: Env,
    pub runtime: Runtime,
    _cache: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let cache = tempfile::tempdir().expect("a directory");
        let env = Env::system();
        let mut config = RuntimeConfig::new(cache.path());
        // The workspace's own guests.
        config.compiler = Compiler::InProcess;
        config.workers = 1;
        let runtime = Runtime::new(config, env.clone()).expect("a runtime");
        Self { env, runtime, _cache: cache }
    }

    pub async fn component(&self, name: &str) -> PolicyComponent {
        let bytes = bytes(name);
        let digest = digest_of(&bytes);
        let fetch = || async { Ok(bytes.into()) };
        let artifact = self.runtime.load(Role::Policy, &digest, fetch).await.expect("it compiles");
        self.runtime.policy(&artifact).expect("it links")
    }

    pub fn live(&self) -> Live {
        let live = Live::new(&self.env, vec![ProfileConfig::default()]);
        live.set_ready();
        live
    }

    /// The built-ins, live.
    pub async fn with_built_ins(&self) -> Live {
        let live = self.live();
        let component = self.component("sampan-policies").await;
        for object in sampan_policy::built_in_policies() {
            let prepared = prepare(&component, &object.spec).expect("a built-in policy");
            install(&live, object.metadata.name.as_deref().expect("a name"), prepared);
        }
        live
    }
}
