//! Flags of Kubernetes' own programs: `--name=value`, `--name value`, and `--name` for a truth.

use anyhow::bail;
use std::collections::BTreeMap;

/// Flags by name; one that is given several times has several values.
#[derive(Debug, Default)]
pub struct Flags(BTreeMap<String, Vec<String>>);

/// A flag that is known.
pub struct Known {
    /// Without its dashes.
    pub name: &'static str,
    /// What it does here, for `--help`.
    pub help: &'static str,
    /// It needs no value: without one it is `true`.
    pub truth: bool,
}

impl Flags {
    /// Reads a command line.
    ///
    /// # Errors
    /// A flag that is not known, or has no value.
    pub fn read(arguments: &[String], known: &[Known]) -> anyhow::Result<Self> {
        let mut flags = Self::default();
        let mut left = arguments.iter().peekable();
        while let Some(argument) = left.next() {
            let Some(text) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
                bail!("unexpected argument {argument:?}");
            };
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text, None),
            };
            let Some(one) = known.iter().find(|one| one.name == name) else {
                bail!("unknown flag: --{name} (it is none of those that --help lists)");
            };
            let value = match value {
                Some(value) => value,
                None if one.truth => "true".to_owned(),
                None => match left.next_if(|next| !next.starts_with("--")) {
                    Some(value) => value.clone(),
                    None => bail!("flag needs an argument: --{name}"),
                },
            };
            flags.0.entry(name.to_owned()).or_default().push(value);
        }
        Ok(flags)
    }

    /// The last value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.last().map(String::as_str)
    }

    /// The parts of all values, which commas separate.
    pub fn list(&self, name: &str) -> Vec<String> {
        let values = self.0.get(name).into_iter().flatten().flat_map(|value| value.split(','));
        values.map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }
}

/// What is printed in place of running, where the command line asks for `--help` or `--version`.
pub fn asked(program: &str, version: &str, known: &[Known], arguments: &[String]) -> Option<String> {
    let has = |flags: &[&str]| arguments.iter().any(|one| flags.contains(&one.as_str()));
    match (has(&["--help", "-h"]), has(&["--version"])) {
        (true, _) => Some(help(program, known)),
        (_, true) => Some(format!("{version}\n")),
        _ => None,
    }
}

/// The text of `--help`, in the form in which envtest looks for flags.
pub fn help(program: &str, known: &[Known]) -> String {
    let lines: Vec<String> = known.iter().map(|one| format!("  --{}\n        {}\n", one.name, one.help)).collect();
    format!("{program}, as `sampan envtest` provides it. It takes these flags:\n\n{}", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Known] = &[
        Known { name: "port", help: "", truth: false },
        Known { name: "privileged", help: "", truth: true },
        Known { name: "plugins", help: "", truth: false },
    ];

    #[test]
    fn what_is_asked_of_a_program_is_said() {
        let check = |line: &str, part: Option<&str>| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let said = asked("it", "it v1", KNOWN, &words);
            assert_eq!(said.is_some(), part.is_some(), "{line}: {said:?}");
            assert!(said.unwrap_or_default().contains(part.unwrap_or_default()), "{line}");
        };
        check("--port=1 --help", Some("--privileged"));
        check("--version", Some("it v1\n"));
        check("--port=1", None);
    }

    #[test]
    fn flags_are_read_as_pflag_reads_them() {
        let check = |line: &str, expected: Result<&str, &str>| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let got = Flags::read(&words, KNOWN).map(|flags| {
                format!("{:?} {:?} {:?}", flags.get("port"), flags.get("privileged"), flags.list("plugins"))
            });
            match (got, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{line}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{line}: {error}"),
                (got, _) => panic!("{line}: {got:?}"),
            }
        };
        check("--port=1 --privileged --plugins=a,b --plugins c", Ok(r#"Some("1") Some("true") ["a", "b", "c"]"#));
        check("--port 1 --port 2 --privileged=false", Ok(r#"Some("2") Some("false") []"#));
        check("", Ok("None None []"));
        check("--port", Err("needs an argument"));
        check("--other=1", Err("unknown flag: --other"));
        check("word", Err("unexpected argument"));
    }
}
