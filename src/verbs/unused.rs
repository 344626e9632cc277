use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::client::Failure;
use crate::engine::databases::DatabaseArgs;
use crate::engine::services;

/// Flags of a verb that have an effect only beside one of others.
struct Needs {
    verb: &'static str,
    flags: &'static [&'static str],
    // Besides the databases, where they count.
    one_of: &'static [&'static str],
    databases: bool,
    without: &'static str,
}

const NEEDS: [Needs; 3] = [
    Needs {
        verb: "verify",
        flags: &["archive"],
        one_of: &[],
        databases: true,
        without: "without Postgres databases (--database-url)",
    },
    Needs {
        verb: "verify",
        flags: &["redis_url"],
        one_of: &["data"],
        databases: true,
        without: "without --data or a database: a client reads no streams",
    },
    Needs {
        verb: "verify",
        flags: &["redis_cluster", "redis_ca", "redis_prefix"],
        one_of: &["redis_url"],
        databases: false,
        without: "without --redis-url",
    },
];

/// The files beside that of the orders.
const OF_OLIST: [&str; 3] = ["items", "customers", "payments"];

/// Refuses flags on the command line that have no effect beside the others: a client verb's.
/// Variables may be there for other verbs.
///
/// # Errors
/// Usage with the flag.
pub fn check(path: &[&str], matches: &ArgMatches) -> Result<(), Failure> {
    let [verb] = path else { return Ok(()) };
    let databases = DatabaseArgs::ids(services::ALL);
    let databases = || databases.iter().map(String::as_str);
    let no_effect = |id: &str, why: &str| {
        let text = format!("--{} has no effect {why}", id.replace('_', "-"));
        Err(Failure::Usage(text))
    };
    for needs in NEEDS.iter().filter(|needs| needs.verb == *verb) {
        let others = needs.one_of.iter().copied();
        let mut others = others.chain(databases().filter(|_| needs.databases));
        let works = others.any(|id| source(matches, id).is_some());
        match needs.flags.iter().find(|id| is_said(matches, id)) {
            Some(id) if !works => return no_effect(id, needs.without),
            _ => {}
        }
    }
    if matches!(*verb, "verify" | "load") && is_said(matches, "address") {
        let mut here = ["data"].into_iter().chain(databases());
        if let Some(id) = here.find(|id| source(matches, id).is_some()) {
            let why = format!("beside --{}: no engine is called there", id.replace('_', "-"));
            return no_effect("address", &why);
        }
    }
    if *verb == "load" {
        let format = matches.get_raw("format").and_then(Iterator::last);
        let is_olist = format.is_some_and(|format| format == "olist");
        match OF_OLIST.iter().find(|id| is_said(matches, id)) {
            Some(id) if !is_olist => return no_effect(id, "without --format olist"),
            _ => {}
        }
    }
    Ok(())
}

/// Where the value of a flag is from, if the verb has the flag and something was said.
fn source(matches: &ArgMatches, id: &str) -> Option<ValueSource> {
    let known = matches.try_contains_id(id).unwrap_or(false);
    let source = if known { matches.value_source(id) } else { None };
    source.filter(|source| *source != ValueSource::DefaultValue)
}

fn is_said(matches: &ArgMatches, id: &str) -> bool {
    source(matches, id) == Some(ValueSource::CommandLine)
}
