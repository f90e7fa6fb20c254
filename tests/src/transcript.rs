//! What somebody types at a cluster, and what must be said to it: a text file a topic.
//!
//! A line that begins with `$` is a command that succeeds, with `!` one that fails, with `?` one that is given again until all that is
//! expected of it holds. Below it stand the parts that its output has (`>`) and has not (`<`), its errors included. `#` is a
//! comment. At the end stand files, each behind its name in a line of the form `-- NAME --`. Commands are a shell's, which has `kubectl` and `sampan`; in its
//! environment are `NS`, a namespace of the transcript's own named as the transcript, `NODE`, a node, and `SERVER`, the address.

use crate::{PATIENCE, Sampan, binary, now, tool};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Between two tries of a command that is given again.
const AGAIN: Duration = Duration::from_millis(50);

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Succeeds,
    Fails,
    SucceedsAtLast,
}

/// A command, and what its output has and has not.
#[derive(Debug)]
struct Step {
    /// Of the file, from 1.
    line: usize,
    end: End,
    command: String,
    present: Vec<String>,
    absent: Vec<String>,
}

/// A file, read.
#[derive(Debug)]
pub struct Transcript {
    name: String,
    steps: Vec<Step>,
    files: Vec<(String, String)>,
}

impl Transcript {
    /// Runs all transcripts of a folder, at the same time.
    ///
    /// # Panics
    /// When a step of any went otherwise, after all were run; when the folder or one of them cannot be read; when there is none.
    pub fn run_all(folder: &Path, sampan: &Sampan, version: &str) {
        let all = Self::all(folder);
        let failed: Vec<&str> = std::thread::scope(|scope| {
            let started: Vec<_> = all.iter().map(|one| (one, scope.spawn(|| one.run(sampan, version)))).collect();
            let ended = started.into_iter().map(|(one, run)| (one.name.as_str(), run.join()));
            ended.filter_map(|(name, outcome)| outcome.is_err().then_some(name)).collect()
        });
        assert!(failed.is_empty(), "{} of {} transcripts failed: {}", failed.len(), all.len(), failed.join(", "));
    }

    fn all(folder: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
        paths.sort();
        assert!(!paths.is_empty(), "no transcripts in {}", folder.display());
        let read = |path: &PathBuf| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            Self::parse(&name, &std::fs::read_to_string(path).expect("a transcript"))
        };
        paths.iter().map(read).collect()
    }

    /// Reads one. Panics on a line that has none of the forms.
    fn parse(name: &str, text: &str) -> Self {
        let mut found = Self { name: name.to_owned(), steps: Vec::new(), files: Vec::new() };
        for (line, content) in (1..).zip(text.lines()) {
            if let Some(file) = content.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
                found.files.push((file.to_owned(), String::new()));
            } else if let Some((_, file)) = found.files.last_mut() {
                file.push_str(content);
                file.push('\n');
            } else {
                found.line(line, content).unwrap_or_else(|| panic!("{name}:{line}: {content:?}"));
            }
        }
        found
    }

    fn line(&mut self, line: usize, content: &str) -> Option<()> {
        if content.is_empty() || content.starts_with('#') {
            return Some(());
        }
        let (mark, rest) = content.split_once(' ')?;
        let mut begin = |end| {
            let (present, absent) = (Vec::new(), Vec::new());
            self.steps.push(Step { line, end, command: rest.to_owned(), present, absent });
        };
        match mark {
            "$" => begin(End::Succeeds),
            "!" => begin(End::Fails),
            "?" => begin(End::SucceedsAtLast),
            ">" => self.steps.last_mut()?.present.push(rest.to_owned()),
            "<" => self.steps.last_mut()?.absent.push(rest.to_owned()),
            _ => return None,
        }
        Some(())
    }

    /// Gives all its commands, with that kubectl, in a folder of their own. Panics with every step that went otherwise, after all
    /// were taken.
    fn run(&self, sampan: &Sampan, version: &str) {
        let shell = Shell::new(self, sampan, version);
        let mut wrong = Vec::new();
        for step in &self.steps {
            // What follows a failure may wait for what will never be.
            let patience = if wrong.is_empty() { PATIENCE } else { Duration::ZERO };
            if let Err(output) = shell.take(step, patience) {
                wrong.push(format!("{}.txt:{}: {}\n{output}", self.name, step.line, step.command));
            }
        }
        assert!(wrong.is_empty(), "{} of {} steps:\n{}", wrong.len(), self.steps.len(), wrong.join("\n"));
    }
}

/// Where the commands of one transcript are given.
struct Shell {
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Shell {
    fn new(transcript: &Transcript, sampan: &Sampan, version: &str) -> Self {
        let name = &transcript.name;
        let folder = sampan.folder.join(format!("transcript-{name}"));
        std::fs::create_dir_all(folder.join("bin")).expect("a folder");
        for (file, content) in &transcript.files {
            std::fs::write(folder.join(file), content).expect("written");
        }
        for (name, program) in [("kubectl", tool(&format!("kubectl-{version}"))), ("sampan", binary())] {
            std::os::unix::fs::symlink(program, folder.join("bin").join(name)).expect("a link");
        }
        let kubeconfig = folder.join("kubeconfig");
        std::fs::copy(&sampan.kubeconfig, &kubeconfig).expect("copied");
        let path = std::env::var("PATH").unwrap_or_default();
        let node = sampan.kubectl(version, &["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let environment = vec![
            ("PATH", format!("{}:{path}", text(&folder.join("bin")))),
            ("HOME", text(&folder)),
            ("KUBECONFIG", text(&kubeconfig)),
            ("NS", name.clone()),
            ("NODE", node),
            ("SERVER", sampan.server.clone()),
        ];
        let shell = Self { folder, environment };
        let namespace = "kubectl create namespace $NS && kubectl config set-context --current --namespace=$NS";
        let (made, output) = shell.run(namespace);
        assert!(made, "{output}");
        shell
    }

    /// Whether it succeeded, and all that it printed.
    fn run(&self, command: &str) -> (bool, String) {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&self.folder).stdin(Stdio::null());
        let output = shell.envs(self.environment.iter().cloned()).output().expect("sh starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// `Err`: what the command printed, and what is wrong with it.
    fn take(&self, step: &Step, patience: Duration) -> Result<(), String> {
        let end = now() + patience;
        loop {
            let (succeeds, output) = self.run(&step.command);
            let Err(wrong) = step.judge(succeeds, &output) else { return Ok(()) };
            if step.end != End::SucceedsAtLast || now() >= end {
                return Err(format!("{wrong} in:\n{output}"));
            }
            std::thread::sleep(AGAIN);
        }
    }
}

impl Step {
    fn judge(&self, succeeds: bool, output: &str) -> Result<(), String> {
        if succeeds == (self.end == End::Fails) {
            return Err(format!("it should have {}", if succeeds { "failed" } else { "succeeded" }));
        }
        if let Some(part) = self.present.iter().find(|part| !output.contains(part.as_str())) {
            return Err(format!("{part:?} is not"));
        }
        match self.absent.iter().find(|part| output.contains(part.as_str())) {
            Some(part) => Err(format!("{part:?} is")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_judged_by_its_end_and_its_output() {
        let check = |text: &str, succeeds: bool, output: &str, right: bool| {
            let read = Transcript::parse("name", text);
            assert_eq!(read.steps[0].judge(succeeds, output).is_ok(), right, "{text}: {output}");
        };
        check("$ a", true, "", true);
        check("$ a", false, "", false);
        check("! a\n> no", false, "oh no", true);
        check("! a\n> no", true, "oh no", false);
        check("? a\n> x\n> y", true, "x y", true);
        check("? a\n> x\n> y", true, "x", false);
        check("$ a\n< x", true, "y", true);
        check("$ a\n< x", true, "x", false);
    }

    #[test]
    fn files_stand_behind_the_steps() {
        let read = Transcript::parse("name", "# why\n$ cat a\n> b\n\n-- a --\nb\n-- c --\n-- d\n");
        assert_eq!((read.steps.len(), read.steps[0].line), (1, 2));
        let files: Vec<_> = read.files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        assert_eq!(files, [("a", "b\n"), ("c", "-- d\n")]);
    }

    #[test]
    #[should_panic(expected = "name:2")]
    fn a_line_of_no_form_is_refused() {
        Transcript::parse("name", "$ a\nand then\n");
    }
}
