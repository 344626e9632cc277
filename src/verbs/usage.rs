//! Error texts for an invalid command line, from clap's errors: which flag, which value, what to
//! do.
//! Never here: a secret. Values of secret flags are not repeated, nor passwords in URLs.

use std::ffi::OsString;
use std::num::ParseIntError;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::client::Failure;
use crate::client::parse::number;

/// Converts clap's error about these arguments to a failure. Where a verb is missing, programs are
/// told the verbs; people get the help.
pub fn of_arguments(
    command: &Command,
    arguments: &[OsString],
    error: clap::Error,
    secretive: bool,
) -> Failure {
    let words = || arguments.iter().skip(1).take_while(|word| *word != "--");
    let is_missing = matches!(
        error.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
    );
    if !is_missing || !words().any(|word| word == "--json") {
        return failure(command, error, secretive);
    }
    let (mut verb, mut path) = (command, command.get_name().to_owned());
    for word in words() {
        if let Some(further) = verb.find_subcommand(word) {
            path = format!("{path} {}", further.get_name());
            verb = further;
        }
    }
    let verbs = verb.get_subcommands().filter(|verb| !verb.is_hide_set());
    let verbs: Vec<&str> = verbs.map(Command::get_name).filter(|name| *name != "help").collect();
    let text = format!("error: `{path}` needs a verb: {}", verbs.join(", "));
    Failure::CommandLine(text)
}

/// Converts clap's error to a failure. Shows help and version, and ends the program.
pub fn failure(command: &Command, error: clap::Error, secretive: bool) -> Failure {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => Failure::CommandLine(without_passwords(&text_of(command, &error, secretive))),
    }
}

/// Clap's text, unless a value must be explained or hidden.
fn text_of(command: &Command, error: &clap::Error, secretive: bool) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (Some(flag), Some(value)) =
        (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue))
    else {
        return error.render().to_string();
    };
    let secret = secretive || holds_secret(command, &flag);
    let shown = if secret { "the value".to_owned() } else { format!("{value:?}") };
    let what = match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(known))) if !known.is_empty() => {
            format!("is not one of {}", known.join(", "))
        }
        (ErrorKind::InvalidValue, _) if value.is_empty() => "is empty".to_owned(),
        _ => match std::error::Error::source(error) {
            Some(source) => match source.downcast_ref::<ParseIntError>() {
                Some(error) => number(error).to_owned(),
                // Some libraries begin with the value.
                None => source.to_string().trim_start_matches(&value).trim_start().to_owned(),
            },
            None if secret => "is invalid".to_owned(),
            None => return error.render().to_string(),
        },
    };
    format!("error: {flag}: {shown} {what}\n\nFor more information, try '--help'.")
}

/// Whether the flag of this name, such as `--token <TOKEN>`, holds a secret, in any verb.
fn holds_secret(command: &Command, flag: &str) -> bool {
    let name = flag.split([' ', '=', '[']).next().unwrap_or_default().trim_start_matches("--");
    let named = |arg: &Arg| arg.get_long() == Some(name) || arg.get_id() == name;
    command.get_arguments().any(|arg| named(arg) && is_secret(arg))
        || command.get_subcommands().any(|command| holds_secret(command, flag))
}

/// Whether a flag holds a secret: those whose environment value is hidden in help.
pub fn is_secret(arg: &Arg) -> bool {
    // Addresses are hidden for what people may put in them, but they take no password.
    arg.is_hide_env_values_set() && !arg.get_long().is_some_and(|long| long.ends_with("-at"))
}

/// A text without the credentials of URLs.
pub fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ','));
        let (url, further) = after.split_at(end.unwrap_or(after.len()));
        match url.rsplit_once('@') {
            Some((_, host)) => {
                shown.push_str("…@");
                shown.push_str(host);
            }
            None => shown.push_str(url),
        }
        rest = further;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_not_shown() {
        for (text, shown) in [
            ("postgres://u:p@ss/w@host/db is none", "postgres://…@host/db is none"),
            ("0-7=postgres://u:p@a/o and redis://:x@b", "0-7=postgres://…@a/o and redis://…@b"),
            (
                "http://127.0.0.1:7400 'anna@example.com'",
                "http://127.0.0.1:7400 'anna@example.com'",
            ),
            ("no url", "no url"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
