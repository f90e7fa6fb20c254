//! `sampan completion` and `sampan man`: what shells and `man` show of the commands. Both are made of the commands themselves.

use crate::{Cli, config, image};
use anyhow::Context;
use clap::CommandFactory;
use clap_complete::env::{CompleteEnv, Shells};
use sampan_cli::complete::{Known, with_names};
use sampan_cli::session::say;
use sampan_env::files;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Set by the script of [`completion`]: the program is asked to complete a line, in this shell's form.
const VARIABLE: &str = "SAMPAN_COMPLETE";

/// The arguments whose values stand in files of this host, by their ids.
const KNOWN: [Known; 2] = [("cluster", |_| Ok(config::clusters()?)), ("references", image::removable)];

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// Elvish.
    Elvish,
    /// fish.
    Fish,
    /// PowerShell.
    Powershell,
    /// zsh.
    Zsh,
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Elvish => "elvish",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Zsh => "zsh",
        }
    }
}

/// The flags of `sampan completion`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "In ~/.bashrc:   source <(sampan completion bash)\n\
                        In ~/.zshrc:    source <(sampan completion zsh)\n\
                        For fish:       sampan completion fish > ~/.config/fish/completions/sampan.fish")]
pub struct CompletionFlags {
    /// The shell that is to complete
    #[arg(value_enum)]
    shell: Shell,
}

/// The flags of `sampan man`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "To read one:       sampan man up | man -l -\n\
                        To install all:    sampan man --dir ~/.local/share/man/man1")]
pub struct ManFlags {
    /// The command, as `up` or `image import` [default: sampan itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write the pages of all commands into this folder instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Answers a shell that asks for completions. `false`: none does.
pub fn completed() -> bool {
    if std::env::var_os(VARIABLE).is_none() {
        return false;
    }
    let here = std::env::current_dir().ok();
    match CompleteEnv::with_factory(|| with_names(Cli::command, &KNOWN))
        .var(VARIABLE)
        .try_complete(std::env::args_os(), here.as_deref())
    {
        Ok(answered) => answered,
        Err(error) => error.exit(),
    }
}

/// Prints the script.
///
/// # Errors
/// The path of this program is not known, or the output cannot be written.
pub fn completion(flags: &CompletionFlags) -> anyhow::Result<()> {
    let shells = Shells::builtins();
    let shell = shells.completer(flags.shell.name()).context("this shell is not known")?;
    // The program that made the script answers it, whatever the path is when it is asked.
    let own = std::env::current_exe().context("the path of this program")?;
    let own = own.to_str().context("the path of this program is no text")?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "sampan", "sampan", own, &mut script)?;
    say(&String::from_utf8_lossy(&script))
}

/// Prints a page, or writes all.
///
/// # Errors
/// There is no such command, or files cannot be written.
pub fn man(flags: &ManFlags) -> anyhow::Result<()> {
    let mut whole = Cli::command().disable_help_subcommand(true);
    whole.build();
    if let Some(dir) = &flags.dir {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        write_pages(&whole, dir)?;
        return say(&format!("the pages are in {}\n", dir.display()));
    }
    let mut command = &whole;
    for name in &flags.command {
        let found = command.find_subcommand(name);
        command = found.with_context(|| format!("there is no command {name:?}; `sampan help` lists them"))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    say(&String::from_utf8_lossy(&page))
}

/// The pages of a command and of all below it, for everybody to read.
fn write_pages(command: &clap::Command, dir: &Path) -> anyhow::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    let path = dir.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text)?;
    let written = std::fs::write(&path, text);
    let written = written.and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(files::PUBLIC)));
    written.with_context(|| path.display().to_string())?;
    command.get_subcommands().try_for_each(|inner| write_pages(inner, dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;

    /// Each command of the tree with the words that name it.
    fn walk(command: &Command, words: &str, visit: &mut impl FnMut(&Command, &str)) {
        visit(command, words);
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            walk(inner, &format!("{words} {}", inner.get_name()), visit);
        }
    }

    #[test]
    fn every_command_and_every_argument_says_what_it_is_for() {
        let mut whole = Cli::command();
        whole.build();
        let (mut commands, mut arguments, mut silent) = (0, 0, Vec::new());
        walk(&whole, "sampan", &mut |command, words| {
            commands += 1;
            if command.get_about().is_none() {
                silent.push(words.to_owned());
            }
            for argument in command.get_arguments() {
                arguments += 1;
                if argument.get_help().is_none_or(|help| help.to_string().trim().is_empty()) {
                    silent.push(format!("{words} {argument}"));
                }
                let values = argument.get_possible_values();
                let takes = argument.get_action().takes_values() && !values.is_empty();
                assert!(!takes || argument.get_value_names().is_some(), "{words} {argument} names no value");
            }
        });
        assert!(silent.is_empty(), "no help for: {}", silent.join(", "));
        assert!(commands > 15 && arguments > 60, "{commands} commands, {arguments} arguments");
        whole.debug_assert();
    }

    #[test]
    fn arguments_that_complete_are_there() {
        let mut whole = Cli::command();
        whole.build();
        let mut found = std::collections::BTreeSet::new();
        walk(&whole, "sampan", &mut |command, _| {
            found.extend(command.get_arguments().map(|argument| argument.get_id().to_string()));
        });
        for (id, _) in KNOWN {
            assert!(found.contains(id), "{id}");
        }
    }

    #[test]
    fn every_shell_has_a_script_and_every_command_a_page() {
        use clap::ValueEnum;
        for shell in Shell::value_variants() {
            assert!(Shells::builtins().completer(shell.name()).is_some(), "{shell:?}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        man(&ManFlags { command: Vec::new(), dir: Some(folder.path().to_owned()) }).expect("written");
        let mut whole = Cli::command();
        whole.build();
        walk(&whole, "sampan", &mut |_, words| {
            let page = folder.path().join(format!("{}.1", words.replace(' ', "-")));
            assert!(page.exists(), "{} is not there", page.display());
        });
        assert!(man(&ManFlags { command: vec!["nosuch".into()], dir: None }).is_err());
    }
}
