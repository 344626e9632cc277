//! Settings of `serve` from a file: each key is a flag by its long name. A flag wins over the
//! environment, the environment over the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::{Command, CommandFactory as _, FromArgMatches as _};
use figment::Figment;
use figment::providers::{Format as _, Toml};
use serde::Deserialize;

use super::Failure;
use super::args::{Cli, Verb};

/// What a key may hold.
#[derive(Deserialize)]
#[serde(untagged)]
enum Setting {
    Flag(bool),
    Number(i64),
    Text(String),
    List(Vec<String>),
}

/// Reads the command line, and the file that it or the environment names.
///
/// # Errors
/// Usage where the file cannot be read or names what is no setting. Wrong flags end the program
/// with clap's own message.
pub fn command_line(arguments: &[OsString]) -> Result<Cli, Failure> {
    let cli = parse(Cli::command(), arguments);
    let Verb::Serve(args) = &cli.verb else { return Ok(cli) };
    let Some(path) = args.config() else { return Ok(cli) };
    Ok(parse(with_file(Cli::command(), path)?, arguments))
}

fn parse(mut command: Command, arguments: &[OsString]) -> Cli {
    let matches = command.try_get_matches_from_mut(arguments).unwrap_or_else(|error| error.exit());
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// The command line with the file's settings as its defaults.
fn with_file(mut command: Command, path: &Path) -> Result<Command, Failure> {
    let wrong = |what: String| Failure::Usage(format!("--config {}: {what}", path.display()));
    let settings: BTreeMap<String, Setting> = Figment::from(Toml::file_exact(path))
        .extract()
        .map_err(|error| wrong(error.to_string()))?;
    for (key, setting) in settings {
        let values = match setting {
            Setting::Flag(flag) => vec![flag.to_string()],
            Setting::Number(number) => vec![number.to_string()],
            Setting::Text(text) => vec![text],
            Setting::List(values) => values,
        };
        let serve = command.find_subcommand("serve");
        let known = serve.into_iter().flat_map(Command::get_arguments);
        let id = known
            .filter(|argument| argument.get_id() != "config")
            .find(|argument| argument.get_long() == Some(key.as_str()))
            .map(|argument| argument.get_id().clone())
            .ok_or_else(|| wrong(format!("{key} is no setting; see `ordinal serve --help`")))?;
        command = command.mut_subcommand("serve", |serve| {
            serve.mut_arg(id, |argument| argument.default_values(values))
        });
    }
    Ok(command)
}
