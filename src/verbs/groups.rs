//! The grouping of verbs in the help, and which of them call an engine.
//! Never here: what a verb does.

use std::fmt::Write as _;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::client::Failure;
use crate::client::output::wrapped;

/// The verbs as `ordinal --help` shows them.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "Orders, stock, messages and money",
        &[
            "order",
            "return",
            "stock",
            "notification",
            "ledger",
            "wallet",
            "payment",
            "payout",
            "settlement",
        ],
    ),
    ("The journal", &["events", "verify", "journal", "read-model", "quarantined"]),
    (
        "Operating an engine",
        &[
            "status",
            "overview",
            "lookup",
            "health",
            "top",
            "followers",
            "follower",
            "dead-letter",
            "shards",
            "timers",
            "operations",
        ],
    ),
    ("Running an engine", &["serve", "token", "tls", "migrate", "backup", "load"]),
    ("Trying it", &["demo", "psp", "cluster", "chaos"]),
    ("This program", &["completions", "version"]),
];

/// Verbs that call no engine, by the beginning of their path.
const CALL_NO_ENGINE: [&[&str]; 16] = [
    &["serve"],
    &["token", "key"],
    &["token", "issue"],
    &["tls"],
    &["migrate"],
    &["backup"],
    &["demo"],
    &["psp"],
    &["cluster"],
    &["chaos"],
    &["top"],
    &["completions"],
    &["version"],
    &["journal", "archive"],
    &["journal", "show"],
    &["journal", "move"],
];

/// Those of them that record who it was: of the flags for calling an engine they take the caller.
const TAKE_CALLER: [&[&str]; 2] = [&["journal", "archive"], &["journal", "move"]];

/// Those of them that accept flags for calling an engine and ignore them.
const IGNORE_CONNECTION: [&[&str]; 2] = [&["completions"], &["version"]];

/// Flags of [`crate::client::Connection`], by their ids.
const CONNECTION: [&str; 8] =
    ["address", "caller", "token", "token_file", "ca", "cert", "cert_key", "timeout"];

/// Whether a verb calls no engine.
pub fn calls_no_engine(path: &[&str]) -> bool {
    CALL_NO_ENGINE.iter().any(|verb| path.starts_with(verb))
}

/// Refuses flags without effect: those for calling an engine, on a verb that calls none.
///
/// # Errors
/// Usage with the flag.
pub fn check(path: &[&str], matches: &ArgMatches) -> Result<(), Failure> {
    if !calls_no_engine(path) || IGNORE_CONNECTION.contains(&path) {
        return Ok(());
    }
    let mut matches = matches;
    while let Some((_, further)) = matches.subcommand() {
        matches = further;
    }
    let is_given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    match without_effect(path).find(is_given) {
        None => Ok(()),
        Some(id) => {
            let flag = if id == "caller" { "as".to_owned() } else { id.replace('_', "-") };
            let verb = path.join(" ");
            Err(Failure::Usage(format!("--{flag} has no effect: `ordinal {verb}` calls no engine")))
        }
    }
}

/// The flags of a connection that have no effect on a verb that calls no engine, by their ids.
fn without_effect(path: &[&str]) -> impl Iterator<Item = &'static str> {
    let takes_caller = TAKE_CALLER.contains(&path);
    CONNECTION.into_iter().filter(move |id| !(takes_caller && *id == "caller"))
}

/// Groups the verbs in the help, and hides flags from the help of verbs on which they have no
/// effect.
pub fn arranged(command: Command) -> Command {
    let mut groups = String::new();
    for (heading, verbs) in GROUPS {
        let _ = writeln!(groups, "{heading}:");
        for name in verbs {
            let verb = command.find_subcommand(name);
            let about = verb.and_then(Command::get_about).map(ToString::to_string);
            let about = about.unwrap_or_default();
            let mut lines = wrapped(&about, 80).into_iter();
            let _ = writeln!(groups, "  {name:<13} {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(groups, "  {:<13} {line}", "");
            }
        }
        groups.push('\n');
    }
    // The usual help without the verbs.
    let mut flags = command.clone().mut_subcommands(|verb| verb.hide(true));
    flags = flags.help_template("{all-args}").disable_help_subcommand(true);
    let flags = flags.render_help().to_string();
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{flags}\n{{after-help}}"
    );
    let connection: Vec<Arg> = command
        .get_arguments()
        .filter(|flag| CONNECTION.contains(&flag.get_id().as_str()))
        .map(|flag| flag.clone().hide(true))
        .collect();
    let arranged = CALL_NO_ENGINE.iter().fold(command, |command, path| {
        let is_hidden = |flag: &&Arg| without_effect(path).any(|id| flag.get_id().as_str() == id);
        let hidden: Vec<Arg> = connection.iter().filter(is_hidden).cloned().collect();
        without(command, path, &hidden)
    });
    arranged.help_template(template)
}

fn without(command: Command, path: &[&str], hidden: &[Arg]) -> Command {
    match path {
        [] => command.args(hidden.to_vec()),
        [verb, further @ ..] => command.mut_subcommand(verb, |verb| without(verb, further, hidden)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::args::Cli;
    use super::*;

    #[test]
    fn every_verb_is_in_exactly_one_group() {
        let mut verbs: Vec<String> =
            Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        let mut shown: Vec<String> =
            GROUPS.iter().flat_map(|(_, verbs)| verbs.iter()).map(ToString::to_string).collect();
        verbs.sort();
        shown.sort();
        assert_eq!(verbs, shown);
        for path in CALL_NO_ENGINE {
            let command = Cli::command();
            let found =
                path.iter().try_fold(&command, |command, verb| command.find_subcommand(verb));
            assert!(found.is_some(), "{path:?}");
        }
    }

    #[test]
    fn a_verb_that_records_who_it_was_takes_the_caller_alone() {
        for verb in ["archive", "move"] {
            let mut command = arranged(Cli::command());
            command.build();
            let journal = command.find_subcommand("journal").unwrap();
            let help = journal.find_subcommand(verb).unwrap().clone().render_help().to_string();
            assert!(help.contains("--as "), "{verb}: {help}");
            assert!(!help.contains("--address "), "{verb}: {help}");
            assert!(TAKE_CALLER.contains(&&["journal", verb][..]));
        }
        assert!(TAKE_CALLER.iter().all(|path| calls_no_engine(path)));
    }
}
