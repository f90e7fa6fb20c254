//! Facts of Go's struct declarations that no Rust crate keeps; see the head of `tests/golden-testdata/go-forms.go`.

use std::collections::HashMap;
use std::path::Path;

#[derive(Clone, Default)]
pub struct Form {
    pub pointer: bool,
    pub by_value: bool,
    pub emit_empty: bool,
    pub omit_zero: bool,
    pub go_type: String,
}

pub struct GoType {
    pub name: String,
    pub fields: HashMap<String, Form>,
}

/// Go's types by (package path in k8s-pb's form, name in lower case).
pub type Forms = HashMap<(String, String), GoType>;

pub fn read(path: &Path) -> Forms {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut forms = Forms::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(package), Some(name)) = (words.next(), words.next()) else { panic!("go-forms: {line}") };
        let fields = words.map(|word| field(word).unwrap_or_else(|| panic!("go-forms: {word}"))).collect();
        // The Rust crates spell a dash as an underscore.
        let package = package.replace('-', "_");
        forms.insert((package, name.to_ascii_lowercase()), GoType { name: name.to_string(), fields });
    }
    forms
}

fn field(word: &str) -> Option<(String, Form)> {
    let (name, rest) = word.split_once('=')?;
    let (flags, go_type) = rest.split_once(':').unwrap_or((rest, ""));
    let form = Form {
        pointer: flags.contains('p'),
        by_value: flags.contains('v'),
        emit_empty: flags.contains('e'),
        omit_zero: flags.contains('z'),
        go_type: go_type.to_string(),
    };
    Some((name.to_string(), form))
}
