//! A look at bytes before anything compiles them: a linear read of the outermost level, safe on hostile input.

use crate::limits::*;
use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentDefinedType, ComponentType, ComponentTypeDeclaration, Encoding, InstanceTypeDeclaration, Parser, Payload,
};

/// The reason why bytes cannot run here, in words for the user.
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
    #[error("the component has more than {max} {what}")]
    TooMany { what: &'static str, max: usize },
    #[error(
        "the core module imports {import:?}, which is not WASI preview 1: only such modules can be adapted to components"
    )]
    UnknownModule { import: String },
}

/// The findings about the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// A component, or a module to be made one.
    pub form: Form,
    /// The worlds that it exports and that run here.
    pub worlds: Worlds,
}

/// The two encodings of WebAssembly that are accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A component.
    Component,
    /// A core module of WASI preview 1: adapted when it is compiled.
    Preview1Module {
        /// Whether it exports `_start`.
        command: bool,
    },
}

/// The worlds of a component that this node knows, and whether it listens for termination.
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

/// The counts of a component's parts, at all of its levels together: compiling costs by them, not by bytes alone.
#[derive(Default)]
struct Structure {
    components: usize,
    modules: usize,
    types: usize,
    functions: usize,
    instances: usize,
    memories: usize,
    tables: usize,
    globals: usize,
    items: usize,
}

impl Structure {
    fn add(counter: &mut usize, more: usize, what: &'static str, max: usize) -> Result<(), InspectError> {
        *counter = counter.saturating_add(more);
        if *counter > max { Err(InspectError::TooMany { what, max }) } else { Ok(()) }
    }

    /// Counts one section. Most say how much they hold before it is read.
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), InspectError> {
        let many = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        match payload {
            Payload::ComponentSection { .. } => {
                Self::add(&mut self.components, 1, "nested components", COMPONENTS_NESTED_MAX)
            }
            Payload::ModuleSection { .. } => Self::add(&mut self.modules, 1, "core modules", MODULES_MAX),
            Payload::TypeSection(it) => {
                // A group may hold many.
                for group in it.clone() {
                    let group = group.map_err(damaged)?;
                    Self::add(&mut self.types, group.types().len(), "types", TYPES_MAX)?;
                }
                Ok(())
            }
            Payload::CoreTypeSection(it) => Self::add(&mut self.types, many(it.count()), "types", TYPES_MAX),
            Payload::ComponentTypeSection(it) => {
                for declared in it.clone() {
                    Self::add(&mut self.types, parts(&declared.map_err(damaged)?), "types", TYPES_MAX)?;
                }
                Ok(())
            }
            Payload::FunctionSection(it) => {
                Self::add(&mut self.functions, many(it.count()), "functions", FUNCTIONS_MAX)
            }
            Payload::ComponentCanonicalSection(it) => {
                Self::add(&mut self.functions, many(it.count()), "functions", FUNCTIONS_MAX)
            }
            Payload::InstanceSection(it) => {
                Self::add(&mut self.instances, many(it.count()), "instances", INSTANCES_MAX)
            }
            Payload::ComponentInstanceSection(it) => {
                Self::add(&mut self.instances, many(it.count()), "instances", INSTANCES_MAX)
            }
            Payload::MemorySection(it) => {
                Self::add(&mut self.memories, many(it.count()), "memories", MEMORIES_DECLARED_MAX)
            }
            Payload::TableSection(it) => Self::add(&mut self.tables, many(it.count()), "tables", TABLES_DECLARED_MAX),
            Payload::GlobalSection(it) => Self::add(&mut self.globals, many(it.count()), "globals", GLOBALS_MAX),
            Payload::ImportSection(it) => self.item(it.count()),
            Payload::ExportSection(it) => self.item(it.count()),
            Payload::ElementSection(it) => self.item(it.count()),
            Payload::DataSection(it) => self.item(it.count()),
            Payload::ComponentAliasSection(it) => self.item(it.count()),
            Payload::ComponentImportSection(it) => self.item(it.count()),
            Payload::ComponentExportSection(it) => self.item(it.count()),
            _ => Ok(()),
        }
    }

    fn item(&mut self, count: u32) -> Result<(), InspectError> {
        let more = usize::try_from(count).unwrap_or(usize::MAX);
        Self::add(&mut self.items, more, "imports, exports, aliases and segments", ITEMS_MAX)
    }
}

/// A type and what it is made of.
fn parts(declared: &ComponentType<'_>) -> usize {
    match declared {
        ComponentType::Defined(defined) => match defined {
            ComponentDefinedType::Record(fields) => 1 + fields.len(),
            ComponentDefinedType::Variant(cases) => 1 + cases.len(),
            ComponentDefinedType::Tuple(types) => 1 + types.len(),
            ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names) => 1 + names.len(),
            _ => 1,
        },
        ComponentType::Func(function) => 1 + function.params.len(),
        ComponentType::Component(declarations) => {
            let inner = declarations.iter().map(|declaration| match declaration {
                ComponentTypeDeclaration::Type(inner) => parts(inner),
                _ => 1,
            });
            1 + inner.sum::<usize>()
        }
        ComponentType::Instance(declarations) => {
            let inner = declarations.iter().map(|declaration| match declaration {
                InstanceTypeDeclaration::Type(inner) => parts(inner),
                _ => 1,
            });
            1 + inner.sum::<usize>()
        }
        ComponentType::Resource { .. } => 1,
    }
}

/// Says what `bytes` are. Reads names of the outermost level only, and how much there is at each; validation is the
/// compiler child's.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, InspectError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(InspectError::TooLarge { bytes: bytes.len(), max: COMPONENT_BYTES_MAX });
    }
    recognise(bytes)?;
    let mut outermost = Outermost::default();
    let mut structure = Structure::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(damaged)?;
        structure.count(&payload)?;
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            payload if depth == 0 => outermost.read(payload)?,
            _ => {}
        }
    }
    Ok(outermost.inspection())
}

/// The findings about the outermost level.
#[derive(Default)]
struct Outermost {
    worlds: Worlds,
    module: bool,
    start: bool,
    externs: usize,
}

impl Outermost {
    fn read(&mut self, payload: Payload<'_>) -> Result<(), InspectError> {
        match payload {
            Payload::Version { encoding, .. } => self.module = encoding == Encoding::Module,
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    self.count()?;
                    self.worlds.export(export.map_err(damaged)?.name.name);
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    self.count()?;
                    self.worlds.import(import.map_err(damaged)?.name.name);
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    self.count()?;
                    let import = import.map_err(damaged)?;
                    if import.module != "wasi_snapshot_preview1" {
                        return Err(InspectError::UnknownModule {
                            import: format!("{}.{}", import.module, import.name),
                        });
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    self.count()?;
                    self.start |= export.map_err(damaged)?.name == "_start";
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), InspectError> {
        Structure::add(&mut self.externs, 1, "imports and exports", EXTERNS_MAX)
    }

    fn inspection(self) -> Inspection {
        if self.module {
            let worlds = Worlds { command: self.start, ..Worlds::default() };
            return Inspection { form: Form::Preview1Module { command: self.start }, worlds };
        }
        Inspection { form: Form::Component, worlds: self.worlds }
    }
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

    fn leb(mut n: usize, out: &mut Vec<u8>) {
        loop {
            let byte = (n & 0x7f) as u8;
            n >>= 7;
            if n == 0 {
                return out.push(byte);
            }
            out.push(byte | 0x80);
        }
    }

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![id];
        leb(content.len(), &mut out);
        out.extend_from_slice(content);
        out
    }

    /// A section of `count` items, each of the same bytes.
    fn items(id: u8, count: usize, item: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        leb(count, &mut content);
        content.extend(item.iter().copied().cycle().take(item.len() * count));
        section(id, &content)
    }

    #[test]
    fn each_part_of_a_structure_is_bounded() {
        const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
        const MODULE: &[u8] = b"\0asm\x01\0\0\0";
        let core = |id: u8, count: usize, item: &[u8]| section(1, &[MODULE, &items(id, count, item)].concat());
        let enums = || {
            const CASES: usize = 10_000;
            let mut item = vec![0x6d];
            leb(CASES, &mut item);
            item.extend(b"\x01a".iter().copied().cycle().take(2 * CASES));
            items(7, TYPES_MAX / CASES, &item)
        };
        for (what, max, body) in [
            ("nested components", COMPONENTS_NESTED_MAX, section(4, COMPONENT).repeat(COMPONENTS_NESTED_MAX + 1)),
            ("core modules", MODULES_MAX, section(1, MODULE).repeat(MODULES_MAX + 1)),
            ("types", TYPES_MAX, core(1, TYPES_MAX + 1, &[0x60, 0, 0])),
            ("types", TYPES_MAX, items(7, TYPES_MAX + 1, &[0x7f])),
            ("types", TYPES_MAX, enums()),
            ("functions", FUNCTIONS_MAX, core(3, FUNCTIONS_MAX + 1, &[0])),
            ("memories", MEMORIES_DECLARED_MAX, core(5, MEMORIES_DECLARED_MAX + 1, &[0, 0])),
            ("tables", TABLES_DECLARED_MAX, core(4, TABLES_DECLARED_MAX + 1, &[0x70, 0, 0])),
            ("globals", GLOBALS_MAX, core(6, GLOBALS_MAX + 1, &[0x7f, 0, 0x41, 0, 0x0b])),
            ("instances", INSTANCES_MAX, items(2, INSTANCES_MAX + 1, &[1, 0])),
            ("instances", INSTANCES_MAX, items(5, INSTANCES_MAX + 1, &[1, 0])),
            ("imports, exports, aliases and segments", ITEMS_MAX, core(7, ITEMS_MAX + 1, &[1, b'a', 0, 0])),
        ] {
            let bytes = [COMPONENT, &body].concat();
            assert_eq!(inspect(&bytes), Err(InspectError::TooMany { what, max }), "{what}");
        }
        let nested = (0..5000).fold(COMPONENT.to_vec(), |inner, _| [COMPONENT, &section(4, &inner)].concat());
        let max = COMPONENTS_NESTED_MAX;
        assert_eq!(inspect(&nested), Err(InspectError::TooMany { what: "nested components", max }));
    }
}
