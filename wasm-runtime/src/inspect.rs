//! What bytes are, before anything compiles them: a linear read of the outermost level, safe on hostile input.

use crate::limits::{COMPONENT_BYTES_MAX, EXTERNS_MAX};
use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

/// Why bytes cannot run here, in words for the user.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InspectError {
    #[error(
        "the image is a Linux container image ({what}); this node runs WebAssembly components: build the program for wasm32-wasip2 and push the component as an OCI artifact, or alias the image in imageAliases"
    )]
    LinuxImage { what: &'static str },
    #[error("the content is not WebAssembly: it begins with {begins}")]
    NotWasm { begins: String },
    #[error("the WebAssembly is damaged: {message}")]
    Damaged { message: String },
    #[error("the content has {bytes} bytes; at most {max} are taken")]
    TooLarge { bytes: usize, max: usize },
    #[error("the component has more than {max} imports and exports")]
    TooManyExterns { max: usize },
    #[error(
        "the core module imports {import:?}, which is not WASI preview 1: only such modules can be adapted to components"
    )]
    UnknownModule { import: String },
}

/// What the bytes hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inspection {
    pub form: Form,
    pub worlds: Worlds,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Component,
    /// A core module of WASI preview 1: adapted when it is compiled.
    Preview1Module {
        command: bool,
    },
}

/// What a component exports that this node knows, and whether it listens for termination.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Worlds {
    /// `wasi:cli/run@0.2`.
    pub command: bool,
    /// `wasi:http/incoming-handler@0.2`.
    pub service: bool,
    /// Any interface of `sampan:scheduling@1`.
    pub policy: bool,
    /// Imports `sampan:lifecycle/termination@1`.
    pub termination: bool,
}

impl Worlds {
    /// For messages: "wasi:cli/run and wasi:http/incoming-handler", or "nothing that runs here".
    pub fn describe(self) -> String {
        let names: Vec<&str> = [
            (self.command, "wasi:cli/run"),
            (self.service, "wasi:http/incoming-handler"),
            (self.policy, "sampan:scheduling"),
        ]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect();
        if names.is_empty() { "nothing that runs here".to_owned() } else { names.join(" and ") }
    }

    fn export(&mut self, name: &str) {
        self.command |= is(name, "wasi:cli/run", "0.2.");
        self.service |= is(name, "wasi:http/incoming-handler", "0.2.");
        self.policy |= name.starts_with("sampan:scheduling/") && name.contains("@1.");
    }

    fn import(&mut self, name: &str) {
        self.termination |= is(name, "sampan:lifecycle/termination", "1.");
    }
}

fn is(name: &str, interface: &str, version: &str) -> bool {
    name.strip_prefix(interface).and_then(|rest| rest.strip_prefix('@')).is_some_and(|v| v.starts_with(version))
}

/// Says what `bytes` are. Reads names of the outermost level only; validation is the compiler child's.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, InspectError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(InspectError::TooLarge { bytes: bytes.len(), max: COMPONENT_BYTES_MAX });
    }
    recognise(bytes)?;
    let mut worlds = Worlds::default();
    let mut core = None;
    let mut start = false;
    let mut depth = 0usize;
    let mut externs = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::Version { encoding, .. } if depth == 0 => core = Some(encoding == Encoding::Module),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    count(&mut externs)?;
                    worlds.export(export.map_err(damaged)?.name.name);
                }
            }
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    count(&mut externs)?;
                    worlds.import(import.map_err(damaged)?.name.name);
                }
            }
            Payload::ImportSection(imports) if depth == 0 => {
                for import in imports.into_imports() {
                    count(&mut externs)?;
                    let import = import.map_err(damaged)?;
                    if import.module != "wasi_snapshot_preview1" {
                        return Err(InspectError::UnknownModule {
                            import: format!("{}.{}", import.module, import.name),
                        });
                    }
                }
            }
            Payload::ExportSection(exports) if depth == 0 => {
                for export in exports {
                    count(&mut externs)?;
                    start |= export.map_err(damaged)?.name == "_start";
                }
            }
            _ => {}
        }
    }
    Ok(match core {
        Some(true) => Inspection {
            form: Form::Preview1Module { command: start },
            worlds: Worlds { command: start, ..Worlds::default() },
        },
        _ => Inspection { form: Form::Component, worlds },
    })
}

fn count(externs: &mut usize) -> Result<(), InspectError> {
    *externs += 1;
    if *externs > EXTERNS_MAX { Err(InspectError::TooManyExterns { max: EXTERNS_MAX }) } else { Ok(()) }
}

fn damaged(error: wasmparser::BinaryReaderError) -> InspectError {
    InspectError::Damaged { message: error.to_string() }
}

fn recognise(bytes: &[u8]) -> Result<(), InspectError> {
    let what = match bytes {
        [0x1f, 0x8b, ..] => "a gzip layer",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "a zstd layer",
        [0x7f, b'E', b'L', b'F', ..] => "an ELF executable",
        _ if bytes.get(257..262) == Some(b"ustar") => "a tar layer",
        [0, b'a', b's', b'm', ..] => return Ok(()),
        _ => {
            let begins = match bytes.get(..8.min(bytes.len())) {
                Some(head) if !head.is_empty() => format!("{:?}", String::from_utf8_lossy(head)),
                _ => "nothing: it is empty".to_owned(),
            };
            return Err(InspectError::NotWasm { begins });
        }
    };
    Err(InspectError::LinuxImage { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_wasm_is_named() {
        let mut tar = vec![0u8; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08rest"[..], "gzip layer"),
            (&b"\x7fELF\x02"[..], "ELF executable"),
            (&tar[..], "tar layer"),
            (&b"#!/bin/sh"[..], "not WebAssembly"),
            (&b""[..], "empty"),
            (&b"\0asm\x0d\0\x01"[..], "damaged"),
        ] {
            let error = inspect(bytes).expect_err("nothing to run").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_module_is_told_from_a_component() {
        let module = inspect(b"\0asm\x01\0\0\0").expect("an empty module");
        assert_eq!(module.form, Form::Preview1Module { command: false });
        let component = inspect(b"\0asm\x0d\0\x01\0").expect("an empty component");
        assert_eq!((component.form, component.worlds), (Form::Component, Worlds::default()));
        assert_eq!(component.worlds.describe(), "nothing that runs here");
    }

    #[test]
    fn versions_match_as_the_linker_matches_them() {
        for (name, expected) in [
            ("wasi:cli/run@0.2.0", true),
            ("wasi:cli/run@0.2.12", true),
            ("wasi:cli/run@0.3.0", false),
            ("wasi:cli/run", false),
            ("wasi:cli/running@0.2.0", false),
        ] {
            let mut worlds = Worlds::default();
            worlds.export(name);
            assert_eq!(worlds.command, expected, "{name}");
        }
    }
}
