//! Variables of the environment that are no settings.
//! Never here: their values.

use std::collections::BTreeSet;

use clap::{Arg, Command, CommandFactory as _};

use super::args::Cli;
use super::config::with_secret_files;
use crate::flags::similar;

/// Warns of variables that look like settings and are not: a typo would go unnoticed.
pub(super) fn warn_of_unknown() {
    let mut known = BTreeSet::from([crate::logs::FORMAT.to_owned()]);
    variables(&with_secret_files(Cli::command()), &mut known);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| name.starts_with("ORDINAL_") && !known.contains(name)) {
        if is_from_elsewhere(&name) {
            continue;
        }
        match similar(&name, known.iter().map(String::as_str)) {
            Some(meant) => {
                tracing::warn!("{name} in the environment is not a setting; did you mean {meant}?")
            }
            None => tracing::warn!("{name} in the environment is not a setting"),
        }
    }
}

/// Kubernetes sets variables for services named `ordinal…`; tests have their own.
fn is_from_elsewhere(name: &str) -> bool {
    let linked = name.contains("_SERVICE_") || name.ends_with("_PORT") || name.contains("_PORT_");
    linked
        || name.starts_with("ORDINAL_TEST_")
        || name == "ORDINAL_PLANTED_BUG"
        || name == "ORDINAL_CHAOS_OWN_MOUNTS"
}

fn variables(command: &Command, known: &mut BTreeSet<String>) {
    let named = command.get_arguments().filter_map(Arg::get_env);
    known.extend(named.filter_map(|name| name.to_str().map(str::to_owned)));
    for verb in command.get_subcommands() {
        variables(verb, known);
    }
}
