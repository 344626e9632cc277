//! Combines the command line from arguments, the environment, files with secrets, and the settings
//! file of `serve`, whose keys are flags by their long names. Flags win over the environment, the
//! environment over the file.
//!
//! Values from files are passed to clap as further arguments, so that all values and conflicts are
//! checked in one place.
//! Never here: showing a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use figment::Figment;
use figment::providers::{Format as _, Toml};
use figment::value::Value;

use super::args::Cli;
use super::settings::{self, Settings};
use super::usage::{self, is_secret};
use super::{groups, unused, variables};
use crate::client::Failure;
use crate::flags::similar;

/// The parsed command line.
pub struct Parsed {
    /// The command line.
    pub cli: Cli,
    /// The effective settings of `serve`, for that verb.
    pub settings: Option<Settings>,
}

/// The origin of a value; later ones win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The default.
    Default,
    /// The file that `--config` names.
    File,
    /// An environment variable.
    Environment,
    /// A flag.
    Flag,
}

/// Parses the command line and reads the files that it or the environment names.
///
/// # Errors
/// Usage if it is invalid or a file cannot be read. `--help` and `--version` end the program.
pub fn command_line(arguments: &[OsString]) -> Result<Parsed, Failure> {
    variables::warn_of_unknown();
    let command = groups::arranged(with_secret_files(Cli::command()));
    let matches = parse(&command, arguments, false)?;
    let (path, leaf) = leaf(&command, &matches);
    let mut said = Said::new(&command, &matches);
    let config = leaf.1.try_get_one::<PathBuf>("config").ok().flatten();
    if let Some(file) = config.filter(|_| path == ["serve"]) {
        said.settle(settings_in(file, leaf.0)?, leaf.0);
    }
    let mut unread = if path == ["serve"] { said.of_others(leaf.1) } else { BTreeSet::new() };
    if groups::calls_no_engine(&path) {
        // It may not exist yet.
        unread.insert("token".to_owned());
    }
    said.secrets(leaf.1, &unread)?;
    let matches = parse(&command, &said.arguments(arguments), true)?;
    groups::check(&path, &matches)?;
    unused::check(&path, self::leaf(&command, &matches).1.1)?;
    let settings = (path == ["serve"])
        .then(|| Settings::new(leaf.0, self::leaf(&command, &matches).1.1, &said.origins));
    if let Some(settings) = &settings {
        settings.check()?;
    }
    let cli =
        Cli::from_arg_matches(&matches).map_err(|error| usage::failure(&command, error, true))?;
    Ok(Parsed { cli, settings })
}

fn parse(
    command: &Command,
    arguments: &[OsString],
    secretive: bool,
) -> Result<ArgMatches, Failure> {
    let parsed = command.clone().try_get_matches_from(arguments);
    parsed.map_err(|error| usage::of_arguments(command, arguments, error, secretive))
}

/// The verb's path, with its own part of the command line.
fn leaf<'a>(
    mut command: &'a Command,
    mut matches: &'a ArgMatches,
) -> (Vec<&'a str>, (&'a Command, &'a ArgMatches)) {
    let mut path = Vec::new();
    while let Some((name, further)) = matches.subcommand() {
        let Some(verb) = command.find_subcommand(name) else { break };
        (command, matches) = (verb, further);
        path.push(name);
    }
    (path, (command, matches))
}

/// The flags of a verb, with the origins of their values.
struct Said<'a> {
    flags: BTreeMap<String, &'a Arg>,
    origins: BTreeMap<String, Origin>,
    // Values from files.
    more: BTreeMap<String, Vec<String>>,
}

impl<'a> Said<'a> {
    fn new(command: &'a Command, matches: &'a ArgMatches) -> Self {
        let (_, (leaf, matches)) = leaf(command, matches);
        let all = command.get_arguments().filter(|arg| arg.is_global_set());
        let mut flags: BTreeMap<String, &Arg> = BTreeMap::new();
        for arg in all.chain(leaf.get_arguments()) {
            if arg.get_long().is_some() {
                flags.insert(arg.get_id().to_string(), arg);
            }
        }
        let origin = |id: &String| match matches.try_contains_id(id) {
            Ok(true) => match matches.value_source(id) {
                Some(ValueSource::CommandLine) => Origin::Flag,
                Some(ValueSource::EnvVariable) => Origin::Environment,
                _ => Origin::Default,
            },
            _ => Origin::Default,
        };
        let origins = flags.keys().map(|id| (id.clone(), origin(id))).collect();
        Self { flags, origins, more: BTreeMap::new() }
    }

    fn origin(&self, id: &str) -> Origin {
        self.origins.get(id).copied().unwrap_or(Origin::Default)
    }

    /// Takes values from the settings file, unless a flag or variable sets the same flag or one
    /// that conflicts with it.
    fn settle(&mut self, settings: Vec<(String, Vec<String>)>, serve: &Command) {
        for (id, values) in settings {
            let Some(flag) = self.flags.get(&id) else { continue };
            let is_set = |other: &Arg| self.origin(other.get_id().as_str()) > Origin::File;
            let overruled = self.flags.values().any(|other| {
                is_set(other)
                    && (other.get_id() == flag.get_id()
                        || conflicts(serve, flag, other)
                        || conflicts(serve, other, flag))
            });
            if !overruled {
                self.origins.insert(id.clone(), Origin::File);
                self.more.insert(id, values);
            }
        }
    }

    /// The settings of services that the role does not run: their files may be in other processes.
    fn of_others(&self, matches: &ArgMatches) -> BTreeSet<String> {
        let role = match self.more.get("role") {
            Some(values) => values.first().cloned(),
            None => matches
                .get_raw("role")
                .and_then(Iterator::last)
                .map(|role| role.to_string_lossy().into_owned()),
        };
        let is_set =
            |id: &str| [id, &file_of(id)].into_iter().any(|id| self.origin(id) > Origin::Default);
        let others = settings::of_others(&role.unwrap_or_default(), is_set);
        others.into_iter().map(|(id, _)| id).collect()
    }

    /// Reads the files with secrets, but not of these settings.
    fn secrets(&mut self, matches: &ArgMatches, unread: &BTreeSet<String>) -> Result<(), Failure> {
        for (id, flag) in self.flags.clone() {
            let file = file_of(&id);
            let (own, by_file) = (self.origin(&id), self.origin(&file));
            if !self.flags.contains_key(&file)
                || by_file == Origin::Default
                || own > by_file
                || unread.contains(&id)
            {
                continue;
            }
            let long = flag.get_long().unwrap_or_default();
            if own == by_file {
                let text = format!("--{long} and --{long}-file are both given; use one of them");
                return Err(Failure::Usage(text));
            }
            let path = match self.more.get(&file) {
                Some(values) => values.first().map(PathBuf::from),
                None => matches.get_one::<PathBuf>(&file).cloned(),
            };
            let values = read_secret(long, flag, &path.unwrap_or_default())?;
            self.more.insert(id.clone(), values);
            self.origins.insert(id, by_file);
        }
        Ok(())
    }

    /// The arguments with the values from files.
    fn arguments(&self, arguments: &[OsString]) -> Vec<OsString> {
        let mut all = arguments.to_vec();
        let end = all.iter().position(|argument| argument == "--").unwrap_or(all.len());
        let more = self.more.iter().flat_map(|(id, values)| {
            let flag = self.flags.get(id);
            let long = flag.and_then(|flag| flag.get_long()).unwrap_or_default();
            let is_switch = flag.is_some_and(|flag| is_switch(flag));
            values.iter().filter_map(move |value| match (is_switch, value.as_str()) {
                (true, "true") => Some(OsString::from(format!("--{long}"))),
                (true, _) => None,
                (false, value) => Some(OsString::from(format!("--{long}={value}"))),
            })
        });
        all.splice(end..end, more.collect::<Vec<_>>());
        all
    }
}

/// Whether one flag is declared to conflict with another.
fn conflicts(command: &Command, one: &Arg, other: &Arg) -> bool {
    !one.is_global_set()
        && command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
}

fn is_switch(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
}

/// The id of the flag that names a file with another flag's value.
pub(super) fn file_of(id: &str) -> String {
    format!("{id}_file")
}

/// Adds to each flag with a secret another flag that names a file with it: all users of a machine
/// can see command lines.
pub(super) fn with_secret_files(command: Command) -> Command {
    let groups: Vec<(String, String)> = command
        .get_groups()
        .flat_map(|group| group.get_args().map(|id| (id.to_string(), group.get_id().to_string())))
        .collect();
    let flags: Vec<Arg> = command.get_arguments().cloned().collect();
    let known: BTreeSet<&str> = flags.iter().filter_map(Arg::get_long).collect();
    let mut arranged = command.clone();
    for flag in flags.iter().filter(|flag| is_secret(flag)) {
        let Some(long) = flag.get_long() else { continue };
        let (file, id) = (format!("{long}-file"), file_of(flag.get_id().as_str()));
        if known.contains(file.as_str()) {
            continue;
        }
        let lines = if flag.get_value_delimiter().is_some() {
            "from the lines"
        } else {
            "from the first line"
        };
        let mut by_file = Arg::new(id.clone())
            .long(file)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .global(flag.is_global_set())
            .hide(flag.is_hide_set())
            .help(format!(
                "Read the value of --{long} {lines} of this file, which keeps it off the command line"
            ));
        if let Some(env) = flag.get_env() {
            by_file = by_file.env(format!("{}_FILE", env.to_string_lossy()));
        }
        if let Some(heading) = flag.get_help_heading() {
            by_file = by_file.help_heading(heading.to_owned());
        }
        for (_, group) in groups.iter().filter(|(flagged, _)| flag.get_id() == flagged.as_str()) {
            by_file = by_file.group(group.clone());
        }
        if flag.is_required_set() {
            let id = id.clone();
            arranged = arranged
                .mut_arg(flag.get_id(), |flag| flag.required(false).required_unless_present(id));
        }
        arranged = arranged.arg(by_file);
    }
    let verbs: Vec<String> =
        arranged.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    verbs
        .into_iter()
        .fold(arranged, |command, verb| command.mut_subcommand(verb, with_secret_files))
}

/// The first line of a file, or each line if the flag takes several values.
fn read_secret(long: &str, flag: &Arg, path: &Path) -> Result<Vec<String>, Failure> {
    let what = format!("--{long}-file");
    let text = crate::flags::secrets::read(&what, path).map_err(|error| Failure::usage(&error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
    let lines: Vec<String> = match flag.get_value_delimiter() {
        Some(_) => lines.collect(),
        None => lines.take(1).collect(),
    };
    if lines.is_empty() {
        return Err(Failure::Usage(format!("{what} {}: is empty", path.display())));
    }
    Ok(lines)
}

/// Reads the settings of `serve` from a file.
fn settings_in(path: &Path, serve: &Command) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let wrong = |what: String| Failure::Usage(format!("--config {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let settings: BTreeMap<String, Value> =
        Figment::from(Toml::string(&text)).extract().map_err(|error| wrong(toml_error(&error)))?;
    let mut found = Vec::new();
    let has_psps = settings.contains_key("psps");
    for (key, value) in settings {
        // These tables are read from this file by parsers of their own.
        let tables = [("issuer", "issuers"), ("psps", "psps")];
        if let Some((_, flag)) = tables.iter().find(|(name, _)| *name == key && is_tables(&value)) {
            found.push(((*flag).to_owned(), vec![path.display().to_string()]));
            continue;
        }
        if key == "payouts" && matches!(value, Value::Dict(..)) {
            // It is read with the providers.
            if has_psps {
                continue;
            }
            return Err(wrong("[payouts] has no effect without [[psps]] beside it".to_owned()));
        }
        if matches!(value, Value::Dict(..)) {
            let what =
                format!("settings must be at the top level, not in a section such as [{key}]");
            return Err(wrong(what));
        }
        let flags = || serve.get_arguments().filter(|flag| is_setting(flag));
        let Some(flag) = flags().find(|flag| flag.get_long() == Some(key.as_str())) else {
            let known = flags().filter_map(Arg::get_long);
            let hint = match similar(&key, known) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "`ordinal serve --print-config` lists all".to_owned(),
            };
            return Err(wrong(format!("{key} is not a setting; {hint}")));
        };
        let values = texts(&value).filter(|values| {
            !is_switch(flag) || values.iter().all(|value| value == "true" || value == "false")
        });
        let values = values.ok_or_else(|| {
            let what = if is_switch(flag) { "true or false" } else { "text, a number or a list" };
            wrong(format!("{key} must be {what}"))
        })?;
        found.push((flag.get_id().to_string(), values));
    }
    Ok(found)
}

/// Whether a flag of `serve` is a setting that a file may hold.
pub fn is_setting(flag: &Arg) -> bool {
    flag.get_long().is_some()
        && !flag.is_hide_set()
        && !flag.is_global_set()
        && !["config", "print_config", "help"].contains(&flag.get_id().as_str())
}

/// Whether it is a list of tables, such as [[issuer]].
fn is_tables(value: &Value) -> bool {
    let tables = value.as_array().unwrap_or_default();
    !tables.is_empty() && tables.iter().all(|table| matches!(table, Value::Dict(..)))
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(_, text) => Some(vec![text.clone()]),
        Value::Bool(_, flag) => Some(vec![flag.to_string()]),
        Value::Num(_, number) => {
            let whole = number.to_i128().map(|number| number.to_string());
            let whole = whole.or_else(|| number.to_u128().map(|number| number.to_string()));
            Some(vec![whole.or_else(|| number.to_f64().map(|number| number.to_string()))?])
        }
        Value::Array(_, values) => {
            let values: Option<Vec<Vec<String>>> = values.iter().map(texts).collect();
            Some(values?.concat())
        }
        _ => None,
    }
}

/// The place of a TOML error, without quoting the line: it may hold a password.
fn toml_error(error: &figment::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    match first.strip_prefix("TOML parse error ") {
        Some(place) => {
            format!("{place}: invalid TOML; text must be in quotes, such as listen = \"…\"")
        }
        None => "is not TOML".to_owned(),
    }
}
