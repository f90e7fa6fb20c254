//! What somebody types at a cluster, and what must be said to it: a text file a topic.
//!
//! A line that begins with `$` is a command that succeeds, with `!` one that fails, with `?` one that is given again until all that is
//! expected of it holds. Below it stand the parts that its output has (`>`) and has not (`<`), its errors included. `#` is a
//! comment. At the end stand files, each behind its name in a line of the form `-- NAME --`. Commands are a shell's, which has `kubectl` and `sampan`; in its
//! environment are `NS`, a namespace of the transcript's own named as the transcript, `NODE`, a node, and `SERVER`, the address,
//! and nothing of the environment of who runs the tests but `PATH`. A transcript ends at its first step that goes otherwise, and
//! with it what its commands left running.

use crate::{PATIENCE, Sampan, binary, now, tool};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Between two tries of a command that is given again.
const AGAIN: Duration = Duration::from_millis(50);
/// Between two looks whether a command has ended.
const ENDED: Duration = Duration::from_millis(5);

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
    /// When a step of any went otherwise, after all have ended; when the folder or one of them cannot be read; when there is none.
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

    /// Gives its commands, with that kubectl, in a folder of their own. Panics at the first step that goes otherwise.
    fn run(&self, sampan: &Sampan, version: &str) {
        let shell = Shell::new(self, sampan, version);
        for step in &self.steps {
            if let Err(wrong) = shell.take(step) {
                panic!("{}.txt:{}: {}\n{wrong}", self.name, step.line, step.command);
            }
        }
    }
}

/// The process group of one transcript: its commands, and what they leave running. All of it ends with this.
struct Group {
    /// Does nothing. Until it is reaped no other group has its id.
    leader: Child,
}

impl Group {
    fn start() -> Self {
        // It reads from a pipe into which nothing is written, and so ends with the test at the latest.
        let mut leader = Command::new("cat");
        leader.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self { leader: leader.spawn().expect("cat starts") }
    }

    fn id(&self) -> i32 {
        i32::try_from(self.leader.id()).expect("a process id")
    }

    /// Kills all that is in it.
    fn kill(&self) {
        let id = Pid::from_raw(self.id()).expect("a process id");
        kill_process_group(id, Signal::KILL).unwrap_or_default();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        // Reaped; its status says only that it was killed.
        drop(self.leader.wait());
    }
}

/// Where the commands of one transcript are given.
struct Shell {
    folder: PathBuf,
    /// All of it.
    environment: Vec<(&'static str, String)>,
    group: Group,
}

impl Shell {
    fn new(transcript: &Transcript, sampan: &Sampan, version: &str) -> Self {
        let name = &transcript.name;
        let folder = sampan.folder.join(format!("transcript-{name}"));
        for own in ["bin", "tmp"] {
            std::fs::create_dir_all(folder.join(own)).expect("a folder");
        }
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
            ("TMPDIR", text(&folder.join("tmp"))),
            // kubectl runs editors by it.
            ("SHELL", "/bin/sh".to_owned()),
            ("KUBECONFIG", text(&kubeconfig)),
            ("NS", name.clone()),
            ("NODE", node),
            ("SERVER", sampan.server.clone()),
        ];
        let shell = Self { folder, environment, group: Group::start() };
        // Controllers make a namespace's account.
        let namespace = "kubectl create namespace $NS && kubectl config set-context --current --namespace=$NS && \
                         kubectl wait serviceaccount/default --for=create --timeout=50s";
        let (made, output) = shell.run(namespace, PATIENCE).unwrap_or_else(|wrong| panic!("{namespace}: {wrong}"));
        assert!(made, "{output}");
        shell
    }

    /// Whether it succeeded, and all that it printed. `Err`: it did not end within `patience`, and was killed with all that was
    /// left running.
    fn run(&self, command: &str, patience: Duration) -> Result<(bool, String), String> {
        // Files, for what stays in the background may keep them open.
        let file = || tempfile::tempfile().expect("a file");
        let into = |file: &std::fs::File| Stdio::from(file.try_clone().expect("a file"));
        let outputs = [file(), file()];
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&self.folder).process_group(self.group.id());
        shell.env_clear().envs(self.environment.iter().cloned());
        shell.stdin(Stdio::null()).stdout(into(&outputs[0])).stderr(into(&outputs[1]));
        let mut shell = shell.spawn().expect("sh starts");
        let end = now() + patience;
        let status = loop {
            match shell.try_wait().expect("a child") {
                Some(status) => break Some(status),
                None if now() >= end => break None,
                None => std::thread::sleep(ENDED),
            }
        };
        if status.is_none() {
            self.group.kill();
            drop(shell.wait());
        }
        let mut text = Vec::new();
        for mut output in outputs {
            output.rewind().expect("a file");
            output.read_to_end(&mut text).expect("what it printed");
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        match status {
            Some(status) => Ok((status.success(), text)),
            None => {
                Err(format!("it had not ended after {} s and was killed, having printed:\n{text}", patience.as_secs()))
            }
        }
    }

    /// `Err`: what the command printed, and what is wrong with it.
    fn take(&self, step: &Step) -> Result<(), String> {
        let end = now() + PATIENCE;
        loop {
            let (succeeds, output) = self.run(&step.command, PATIENCE)?;
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
    fn what_does_not_end_is_killed_and_what_stays_in_the_background_ends_with_the_transcript() {
        let folder = tempfile::tempdir().expect("a folder");
        let shell = || {
            let environment = vec![("PATH", std::env::var("PATH").unwrap_or_default())];
            Shell { folder: folder.path().to_owned(), environment, group: Group::start() }
        };
        let wrong = shell().run("echo begun; sleep 600", Duration::from_secs(1)).expect_err("it does not end");
        assert!(wrong.contains("it had not ended after 1 s"), "{wrong}");
        let other = shell();
        let (succeeded, printed) =
            other.run("sleep 600 & echo $!; echo wrong >&2; exit 1", PATIENCE).expect("it does not wait for the sleep");
        let id = printed.strip_suffix("\nwrong\n").expect("both outputs");
        assert!(!succeeded && std::fs::exists(format!("/proc/{id}")).expect("asked"), "{printed}");
        drop(other);
        // Of one that is dead and not reaped nothing can be read.
        let gone = || std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default().is_empty().then_some(());
        crate::eventually("the end of what stayed", gone);
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
