//! The guests that the binary carries: sample workloads and the built-in scheduling policies, as components and as
//! artefacts that the build precompiled for a stated baseline of the processor.
//!
//! Allowed dependencies: `sampan-wasm-runtime` (the build script compiles with the very engine that runs). Only the
//! binary depends on this crate, and hands the bytes down.
//!
//! Invariant: nothing here is trusted by its name: artefacts are used by digest, and only where the engine's hash agrees.

use sampan_wasm_runtime::{Role, Seed, Worlds};

/// One component.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    /// Its name in the embedded registry: `sampan/<name>:v<n>`.
    pub reference: &'static str,
    pub bytes: &'static [u8],
    pub seed: Seed,
}

impl Component {
    /// `sha256:<hex>` of the bytes.
    pub fn digest(&self) -> &'static str {
        self.seed.digest
    }
}

include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// The component that holds all built-in policies.
pub const POLICIES_REFERENCE: &str = "sampan/policies:v1";

/// The artefacts for `Runtime::seed`.
pub fn seeds() -> Vec<Seed> {
    COMPONENTS.iter().map(|component| component.seed).collect()
}

/// A component by its name.
pub fn component(reference: &str) -> Option<&'static Component> {
    COMPONENTS.iter().find(|component| component.reference == reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_env::Env;
    use sampan_wasm_runtime::{Compiler, Runtime, RuntimeConfig, digest_of, inspect};

    #[test]
    fn every_component_is_what_its_seed_says() {
        for it in COMPONENTS {
            assert_eq!(digest_of(it.bytes), it.digest(), "{}", it.reference);
            let worlds = inspect(it.bytes).expect("a component").worlds;
            assert_eq!(worlds, it.seed.worlds, "{}", it.reference);
            let exported = match it.seed.role {
                Role::Command => worlds.command,
                Role::Service => worlds.service,
                Role::Policy => worlds.policy,
            };
            assert!(exported, "{} exports {}", it.reference, worlds.describe());
        }
        assert!(component(POLICIES_REFERENCE).is_some());
        let (v1, v2) = (component("sampan/hello:v1"), component("sampan/hello:v2"));
        assert_ne!(v1.map(Component::digest), v2.map(Component::digest));
        assert!(component("sampan/worker:v1").is_some_and(|worker| worker.seed.worlds.termination));
    }

    /// On a machine below the baseline the child compiles, and this test has nothing to say.
    #[tokio::test]
    async fn seeds_need_no_compiler() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = RuntimeConfig { compiler: Compiler::InProcess, ..RuntimeConfig::new(dir.path()) };
        let runtime = Runtime::new(config, Env::system()).expect("a runtime");
        runtime.seed(&seeds());
        if !runtime.takes(&COMPONENTS[0].seed) {
            println!("this machine's processor is below the baseline of the build: 0 of {} compared", COMPONENTS.len());
            return;
        }
        for it in COMPONENTS {
            let loaded = runtime.load(it.seed.role, it.digest(), || async { Err("fetched".to_owned()) }).await;
            assert!(loaded.is_ok(), "{}: {loaded:?}", it.reference);
        }
        assert_eq!(runtime.metrics().compiles, 0);
    }
}
