//! Compiling is hostile work: it happens in a child process with an address-space limit and a deadline.

mod child;
mod line;
mod worker;

pub use child::compile_child_main;
pub use worker::{CompileBounds, CompileClaim};
pub(crate) use worker::{CompilerPool, Job, over};

use crate::engine::{Cpu, Purpose, Role, engine};
use crate::error::Error;
use crate::inspect::{Form, inspect};
use std::path::PathBuf;
use wasi_preview1_component_adapter_provider as adapters;
use wasmtime::Engine;

/// The program that compiles components.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Compiler {
    /// A child process of this program, whose `main` calls [`compile_child_main`] first.
    Child { program: PathBuf },
    /// In this process, without any limit: for build scripts, which compile what the workspace itself holds.
    InProcess,
}

impl Default for Compiler {
    /// This program itself.
    fn default() -> Self {
        // /proc/self/exe stays this program even when its file is replaced on disk.
        Compiler::Child { program: PathBuf::from("/proc/self/exe") }
    }
}

/// Compiles for `role`; a module of preview 1 is made a component first. The input is hostile.
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let inspection = inspect(bytes).map_err(|e| e.to_string())?;
    match inspection.form {
        Form::Component => engine.precompile_component(bytes),
        Form::Preview1Module { command } => engine.precompile_component(&adapt(bytes, command)?),
    }
    .map_err(|e| format!("{e:#}"))
}

fn adapt(module: &[u8], command: bool) -> Result<Vec<u8>, String> {
    let adapter = if command {
        adapters::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        adapters::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.adapter(adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| format!("the module cannot be adapted to a component: {e:#}"))
}

/// An artefact made at build time, and what it was made for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Precompiled {
    /// The machine code, as the engine serialised it.
    pub artefact: Vec<u8>,
    /// Names the engine's settings; see [`crate::Seed`].
    pub engine_hash: u64,
    /// The worlds that the component exports.
    pub worlds: crate::inspect::Worlds,
}

/// For build scripts: compiles `bytes` for the stated baseline of the processor (x86-64-v3 on x86-64).
pub fn precompile(role: Role, bytes: &[u8]) -> Result<Precompiled, Error> {
    let worlds = inspect(bytes)?.worlds;
    let engine = engine(role, Purpose::Compile, Cpu::of_the_build())?;
    let artefact = compile(&engine, bytes).map_err(|message| Error::Compile { message })?;
    Ok(Precompiled { artefact, engine_hash: crate::engine::compatibility(&engine), worlds })
}
