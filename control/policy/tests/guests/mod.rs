//! The guests of these tests: built by cargo where they are not there yet, compiled in this process and kept.

#[path = "../../../../plugins/embed/guests.rs"]
mod build;

use build::Guest;
use sampan_env::Env;
use sampan_policy::{Live, Prepared, ProfileConfig, prepare};
use sampan_wasm_runtime::policy::PolicyComponent;
use sampan_wasm_runtime::{Compiler, Role, Runtime, RuntimeConfig, digest_of};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn guest(package: &'static str, file: &'static str) -> Vec<u8> {
    let guest = Guest { package, file, features: "" };
    let built = build::build(&root(), guest, &mut |note| println!("{note}"));
    let path = built.unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

static BUILT_IN: LazyLock<Vec<u8>> = LazyLock::new(|| guest("sampan-policies", "sampan_policies"));
static QUIET: LazyLock<Vec<u8>> = LazyLock::new(|| guest("quiet-nodes", "quiet_nodes"));
static HOSTILE: LazyLock<Vec<u8>> = LazyLock::new(|| guest("sampan-hostile-policy", "sampan_hostile_policy"));

/// Bytes of a guest's component. Cargo sees to it that they are fresh.
pub fn bytes(name: &str) -> Vec<u8> {
    match name {
        "sampan-policies" => BUILT_IN.clone(),
        "quiet-nodes" => QUIET.clone(),
        "sampan-hostile-policy" => HOSTILE.clone(),
        _ => panic!("there is no guest {name}"),
    }
}

/// Makes a policy live, of no object and not suspended.
pub fn install(live: &Live, name: &str, prepared: Prepared) {
    live.install(name, prepared, None, None).expect("there is room");
}

pub struct World {
    pub env: Env,
    pub runtime: Runtime,
}

impl World {
    pub fn new() -> Self {
        // It outlives the test, so that each guest is compiled once.
        let cache = root().join("target/tmp/policy-artefacts");
        let env = Env::system();
        let mut config = RuntimeConfig::new(&cache);
        // The workspace's own guests.
        config.compiler = Compiler::InProcess;
        config.workers = 1;
        let runtime = Runtime::new(config, env.clone()).expect("a runtime");
        Self { env, runtime }
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
