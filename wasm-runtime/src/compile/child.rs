//! The compiler child: reads jobs from stdin, writes artefacts to stdout, ends when stdin does.
//!
//! A job is one byte of role, eight of length (little endian), the component. An answer is one byte (0: an artefact,
//! 1: an error's text), eight of length, the content.

use super::compile;
use crate::engine::{Cpu, Purpose, Role, engine};
use crate::limits::{COMPILE_NICE, COMPONENT_BYTES_MAX};
use std::io::{Read, Write};

/// Set in the environment of a compiler child.
pub(super) const CHILD_ENV: &str = "SAMPAN_COMPILER_CHILD";
pub(super) const ANSWER_ARTEFACT: u8 = 0;
pub(super) const ANSWER_ERROR: u8 = 1;

/// Every `main` of a program that makes a [`crate::Runtime`] calls this first. In a compiler child it works and never
/// returns; everywhere else it returns at once.
pub fn compile_child_main() {
    if std::env::var_os(CHILD_ENV).is_none() {
        return;
    }
    let code = match serve(&mut std::io::stdin().lock(), &mut std::io::stdout().lock()) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("compiler child: {error}");
            1
        }
    };
    std::process::exit(code);
}

fn serve(input: &mut impl Read, output: &mut impl Write) -> std::io::Result<()> {
    // A parent that was killed leaves no compiler behind; and compiling goes after everything else.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    rustix::process::nice(COMPILE_NICE)?;
    let mut engines = [None, None, None];
    loop {
        let mut role = [0u8];
        if input.read(&mut role)? == 0 {
            return Ok(());
        }
        let mut length = [0u8; 8];
        input.read_exact(&mut length)?;
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        let (Some(role), true) = (Role::from_byte(role[0]), length <= COMPONENT_BYTES_MAX) else {
            return Err(std::io::Error::other("a job that is no job"));
        };
        let mut bytes = vec![0; length];
        input.read_exact(&mut bytes)?;

        let slot = &mut engines[usize::from(role.to_byte())];
        let engine = match slot {
            Some(engine) => engine,
            None => slot.insert(engine(role, Purpose::Compile, Cpu::of_this_machine()).map_err(std::io::Error::other)?),
        };
        let (answer, content) = match compile(engine, &bytes) {
            Ok(artefact) => (ANSWER_ARTEFACT, artefact),
            Err(message) => (ANSWER_ERROR, message.into_bytes()),
        };
        output.write_all(&[answer])?;
        output.write_all(&(content.len() as u64).to_le_bytes())?;
        output.write_all(&content)?;
        output.flush()?;
    }
}
