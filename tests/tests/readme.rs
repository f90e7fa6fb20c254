//! What README.md and docs/ tell people to type is typed here, as it stands there: their shell blocks are run against a
//! cluster, in order, and their configuration is given to a server. A block that is neither fails, so that none goes
//! untested.

use sampan_tests::{Sampan, check_all, command, eventually, root, tool};
use std::path::Path;
use std::process::Command;

/// How the README starts a cluster out of a checkout: what comes after is told to the binary.
const FROM_CHECKOUT: &str = "cargo run --release -- ";
/// Longest a command that follows something is listened to, as `timeout` reads it.
const FOLLOWED: &str = "10";

/// A block of code: where it is, what language it says it is (`""`: an indented one), and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    place: String,
    language: String,
    text: String,
}

/// The blocks of a Markdown text: fenced ones, and those that are indented by four spaces after an empty line.
fn blocks(file: &str, text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut fence: Option<usize> = None;
    let mut indented = false;
    let mut after_empty = true;
    for (at, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", at + 1);
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = match fence {
                Some(_) => None,
                None => {
                    found.push(Block { place, language: language.trim().to_owned(), text: String::new() });
                    Some(found.len() - 1)
                }
            };
            continue;
        }
        let own = match (fence, line.strip_prefix("    ")) {
            (Some(_), _) => Some(line),
            (None, Some(rest)) if indented || after_empty => {
                if !indented {
                    found.push(Block { place, language: String::new(), text: String::new() });
                }
                indented = true;
                Some(rest)
            }
            _ => {
                indented = indented && line.is_empty();
                None
            }
        };
        after_empty = line.is_empty();
        if let (Some(line), Some(block)) = (own, found.last_mut()) {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    found
}

/// The files whose blocks are tested, with their text.
fn documents() -> Vec<(String, String)> {
    let mut files = vec!["README.md".to_owned()];
    let docs = std::fs::read_dir(root().join("docs")).expect("docs/");
    for entry in docs {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            files.push(format!("docs/{name}"));
        }
    }
    files.sort();
    let text = |file: &String| std::fs::read_to_string(root().join(file)).expect("readable");
    files.iter().map(|file| (file.clone(), text(file))).collect()
}

/// What a block is for, by its language or else by what it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Shell,
    /// The file that `--config` names.
    Config,
    Manifest,
    /// Output, diagrams, other languages: they say so themselves, by the language of their fence.
    Shown,
}

const PROGRAMS: [&str; 8] = ["kubectl", "curl", "sampan", "cargo", "rustup", "SAMPAN_", "cd", "#"];
const SHOWN: [&str; 7] = ["text", "rust", "toml", "json", "wit", "console", "go"];

fn purpose(block: &Block) -> Option<Purpose> {
    let first = block.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let is_shell = PROGRAMS.iter().any(|program| first.starts_with(program));
    match block.language.as_str() {
        "sh" | "bash" | "shell" => Some(Purpose::Shell),
        language if SHOWN.contains(&language) => Some(Purpose::Shown),
        "" if is_shell => Some(Purpose::Shell),
        "" | "yaml" if block.text.contains("apiVersion:") => Some(Purpose::Manifest),
        "" | "yaml" if first.contains(": ") => Some(Purpose::Config),
        _ => None,
    }
}

fn of(wanted: Purpose) -> Vec<Block> {
    let all = documents().into_iter().flat_map(|(file, text)| blocks(&file, &text));
    all.filter(|block| purpose(block) == Some(wanted)).collect()
}

/// The commands of a shell block: joined where a line goes on, without comments.
fn commands(block: &Block) -> Vec<String> {
    let joined = block.text.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn every_block_is_tested_or_says_that_it_is_only_shown() {
    let mut count = 0;
    for (file, text) in documents() {
        for block in blocks(&file, &text) {
            count += 1;
            assert!(
                purpose(&block).is_some(),
                "{} is neither a command nor a configuration:\n{}",
                block.place,
                block.text
            );
        }
    }
    assert!(count >= 4, "only {count} blocks were found");
    assert!(!of(Purpose::Shell).is_empty() && !of(Purpose::Config).is_empty());
}

/// A folder with the names that the documents use for programs.
fn programs(folder: &Path) -> std::path::PathBuf {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    for (name, program) in [("kubectl", tool("kubectl-1.35")), ("sampan", sampan_tests::binary())] {
        std::os::unix::fs::symlink(program, bin.join(name)).expect("a link");
    }
    bin
}

/// Runs a line as a person would, in the checkout, and returns what it printed.
fn run(sampan: &Sampan, bin: &Path, line: &str) -> Result<String, String> {
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    // What follows is listened to for a while, and has to have said something by then.
    let follows = line.split(' ').any(|word| matches!(word, "-f" | "--follow")) && line.contains(" logs ");
    let follows = follows || line.split(' ').any(|word| matches!(word, "-w" | "--watch"));
    let mut shell = if follows { Command::new("timeout") } else { Command::new("bash") };
    if follows {
        shell.args([FOLLOWED, "bash"]);
    }
    let output = shell
        .args(["-e", "-o", "pipefail", "-c", line])
        .current_dir(root())
        .env("PATH", path)
        .env("HOME", &sampan.folder)
        .env("KUBECONFIG", &sampan.kubeconfig)
        .output()
        .expect("a shell");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let done = if follows { output.status.code() == Some(124) } else { output.status.success() };
    if done && (!follows || !text.is_empty()) {
        return Ok(text.into_owned());
    }
    Err(format!("{line}\n{}\n{text}{errors}", output.status))
}

/// A line with the placeholders that people fill in.
fn filled(sampan: &Sampan, line: &str) -> String {
    if !line.contains("NAME") {
        return line.to_owned();
    }
    let pod = sampan.kubectl("1.35", &["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
    line.replace("NAME", pod.trim())
}

/// `cargo` builds and tests what it is told to; that is not done again here, but what it names must be there.
fn cargo_names_what_is_there(line: &str) {
    let words: Vec<&str> = line.split_whitespace().skip_while(|word| *word != "cargo").collect();
    let after = |flags: &[&str]| words.windows(2).find(|pair| flags.contains(&pair[0])).map(|pair| pair[1]);
    if words.get(1) == Some(&"xtask") {
        let tasks = std::fs::read_to_string(root().join("xtask/src/main.rs")).expect("xtask");
        let task = words.get(2).copied().unwrap_or_default();
        let variant = task.chars().next().map(|c| c.to_uppercase().collect::<String>() + &task[c.len_utf8()..]);
        let variant = variant.unwrap_or_default();
        assert!(tasks.contains(&format!("Task::{variant}")), "{line}: xtask has no {task}");
    }
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    if let Some(package) = after(&["-p", "--package"]) {
        assert!(lock.contains(&format!("name = \"{package}\"")), "{line}: there is no package {package}");
    }
    if let Some(path) = after(&["--path"]) {
        assert!(root().join(path).join("Cargo.toml").exists(), "{line}: {path} is no package");
    }
    if let Some(test) = after(&["--test"]) {
        let mut listing = Command::new("git");
        listing.args(["ls-files", &format!("*tests/{test}.rs"), &format!("*tests/{test}/main.rs")]).current_dir(root());
        assert!(!listing.output().expect("git").stdout.is_empty(), "{line}: there is no test {test}");
    }
}

#[test]
fn commands_do_what_they_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = root().join("examples/hello.yaml");
    let started = of(Purpose::Shell)
        .iter()
        .flat_map(commands)
        .any(|line| line == format!("{FROM_CHECKOUT}up -f examples/hello.yaml"));
    assert!(started, "README.md starts a cluster with examples/hello.yaml, as this test does");
    let sampan = Sampan::up(folder.path(), &["-f", &manifest.to_string_lossy()]);
    let bin = programs(folder.path());
    let mut failed = Vec::new();
    for block in of(Purpose::Shell) {
        for line in commands(&block) {
            if let Some(arguments) = line.strip_prefix(FROM_CHECKOUT).or_else(|| line.strip_prefix("sampan up")) {
                // A second cluster would stand beside the first: only that it is understood is looked at.
                let arguments = arguments.trim_start_matches("up");
                for file in arguments.split_whitespace().filter(|word| word.ends_with(".yaml")) {
                    let there = root().join(file).exists() || !file.contains('/');
                    assert!(there, "{}: {file} is not there", block.place);
                }
                continue;
            }
            if line.split_whitespace().any(|word| word == "cargo") {
                cargo_names_what_is_there(&line);
                continue;
            }
            if line.starts_with("cd ") || line.starts_with("rustup ") {
                continue;
            }
            if let Err(why) = run(&sampan, &bin, &filled(&sampan, &line)) {
                failed.push(format!("{}: {why}", block.place));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    eventually("hello runs", || sampan.kubectl("1.35", &["get", "pods"]).contains("Running").then_some(()));
    assert!(sampan.interrupt().success());
}

#[test]
fn configurations_are_taken() {
    for block in of(Purpose::Config) {
        let folder = tempfile::tempdir().expect("a folder");
        // The files that it names.
        std::fs::write(folder.path().join("tokens.csv"), "token,user,1,\"group\"\n").expect("written");
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, &block.text).expect("written");
        let arguments = ["--components", "apiserver", "--config", &config.to_string_lossy()];
        let started = Sampan::try_up(folder.path(), &arguments);
        match started {
            Ok(sampan) => assert!(sampan.interrupt().success(), "{}", block.place),
            Err(why) => panic!("{} is refused: {why}", block.place),
        }
    }
}

#[test]
fn manifests_are_taken() {
    let manifests = of(Purpose::Manifest);
    if manifests.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let sampan = Sampan::up(folder.path(), &["--components", "apiserver"]);
    for block in manifests {
        sampan.kubectl_stdin("1.35", &["create", "--dry-run=server", "-f", "-"], &block.text);
    }
}

/// Commands of ours that stand within sentences: the command is there, and has the flags.
#[test]
fn commands_in_sentences_are_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let spans = documents().into_iter().flat_map(|(file, text)| {
        let outside: String = text.split("```").step_by(2).collect();
        let spans: Vec<String> = outside.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        spans.into_iter().map(move |span| (file.clone(), span))
    });
    let ours: Vec<(String, String)> = spans.filter(|(_, span)| span.starts_with("sampan ")).collect();
    assert!(!ours.is_empty(), "no sentence names a command");
    for (file, span) in ours {
        let words: Vec<&str> = span.split_whitespace().skip(1).collect();
        let names: Vec<&str> = words.iter().copied().take_while(|word| word.chars().all(char::is_lowercase)).collect();
        // `sampan explain pod NAME`: the longest beginning that is a command, at least its first word.
        let help = (1..=names.len()).rev().find_map(|length| {
            let output = command(folder.path()).args(&names[..length]).arg("--help").output().expect("it starts");
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        let help = help.unwrap_or_else(|| panic!("{file}: `{span}` is no command"));
        for flag in words.iter().filter(|word| word.starts_with("--") && **word != "--help") {
            let flag = flag.split('=').next().unwrap_or_default();
            assert!(help.contains(flag), "{file}: `{span}`: there is no {flag}");
        }
    }
}

/// Other languages tell people to type the same.
#[test]
fn translations_have_the_same_blocks() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let without_place = |file: &str, text: &str| -> Vec<(String, String)> {
        blocks(file, text).into_iter().map(|block| (block.language, block.text)).collect()
    };
    let names = std::fs::read_dir(root()).expect("the checkout").map(|entry| entry.expect("an entry").file_name());
    let translations = names.map(|name| name.to_string_lossy().into_owned());
    let translations =
        translations.filter(|name| name.starts_with("README.") && name.ends_with(".md") && name != "README.md");
    let translations: Vec<String> = translations.collect();
    assert!(!translations.is_empty(), "there is no translation to compare");
    check_all(translations.into_iter().map(|name| {
        let readme = &readme;
        ("README in another language", move || {
            let text = std::fs::read_to_string(root().join(&name)).expect("readable");
            assert_eq!(without_place(&name, &text), without_place("README.md", readme), "{name}");
        })
    }));
}

#[test]
fn blocks_are_found() {
    let text = "A\n\n    one\n    two\n\nB\n```sh\nthree\n```\n- item\n    not code\n\n    four\n";
    let found: Vec<(String, String)> =
        blocks("x.md", text).into_iter().map(|block| (block.language, block.text)).collect();
    let expected = [("", "one\ntwo\n"), ("sh", "three\n"), ("", "four\n")];
    assert_eq!(found, expected.map(|(language, text)| (language.to_owned(), text.to_owned())));
}
