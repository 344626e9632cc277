//! The effective settings of `serve`, with their origins; refuses settings without effect. Shown in
//! the format of the file that `--config` reads.
//! Never here: a secret.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args as _, Command};
use serde_json::{Value, json};

use super::config::{Origin, file_of, is_setting};
use super::usage::is_secret;
use crate::client::output::wrapped;
use crate::client::{Failure, Output};
use crate::engine::databases::DatabaseArgs;
use crate::engine::messages::MessageArgs;
use crate::engine::{PeerArgs, services};

/// All settings, in the order of the help.
pub struct Settings(Vec<Setting>);

struct Setting {
    id: String,
    name: String,
    origin: Origin,
    values: Vec<String>,
    // The placeholder of a value; none for a switch.
    like: Option<String>,
    help: String,
    heading: String,
    secret: bool,
}

/// Settings for Postgres only.
const POSTGRES: [&str; 8] = [
    "shards",
    "archive",
    "node_name",
    "advertise",
    "database_connections",
    "lease",
    "lease_renew",
    "lease_self_stop",
];
/// Settings of the Redis streams.
const REDIS: [&str; 7] = [
    "redis_cluster",
    "redis_ca",
    "redis_prefix",
    "redis_keep",
    "redis_keep_for",
    "redis_keep_at_most",
    "stock_cache_for",
];
/// Settings of webhooks.
const WEBHOOK: [&str; 2] = ["webhook_secret_file", "webhook_ca"];
/// Settings of the one issuer that flags name.
const ISSUER: [&str; 6] =
    ["audience", "issuer_roles", "issuer_map", "issuer_customer", "issuer_scopes", "issuer_ca"];
/// Settings of the SMS gateway.
const SMS: [&str; 2] = ["sms_token_file", "sms_ca"];
/// Settings that only the process of orders reads.
const ORDERS: [&str; 15] = [
    "confirm_within",
    "return_within",
    "judge_within",
    "pay_within",
    "receive_returns_later",
    "check_addresses",
    "search_by",
    "shards",
    "journal_database",
    "archive",
    "lease",
    "lease_renew",
    "lease_self_stop",
    "orders_awake",
    "advertise",
];
/// Settings that only the process of stock reads.
const INVENTORY: [&str; 3] = ["reconcile_every", "without_stock", "stock_cache_for"];

/// The settings of services that this role does not run, also as files with secrets, with those
/// services. Databases of others count once the role has one of its own.
pub fn of_others(role: &str, is_set: impl Fn(&str) -> bool) -> Vec<(String, Vec<&'static str>)> {
    if role == "all" {
        return Vec::new();
    }
    let of = |ids: &[&str], services: &[&'static str]| -> Vec<(String, Vec<&'static str>)> {
        ids.iter().map(|id| ((*id).to_owned(), services.to_vec())).collect()
    };
    let mut all = [of(&ORDERS, &["orders"]), of(&INVENTORY, &["inventory"])].concat();
    let messages = MessageArgs::augment_args(Command::new("messages"));
    for flag in messages.get_arguments() {
        all.extend(of(&[flag.get_id().as_str()], &["notifications"]));
    }
    all.extend(of(&["psps"], &["payments"]));
    all.extend(of(&["trust_clock"], &["orders", "payments", "ledger"]));
    if is_set("database_url") || is_set(&format!("{role}_database_url")) {
        for service in services::ALL {
            all.extend(of(&[&DatabaseArgs::id(service)], &[service.name]));
        }
    }
    all.retain(|(_, services)| !services.contains(&role));
    let files = all.iter().map(|(id, services)| (file_of(id), services.clone()));
    let files: Vec<_> = files.collect();
    all.extend(files);
    all
}

impl Settings {
    /// From the parsed flags of the verb.
    pub fn new(serve: &Command, matches: &ArgMatches, origins: &BTreeMap<String, Origin>) -> Self {
        let settings = serve.get_arguments().filter(|flag| is_setting(flag)).map(|flag| {
            let id = flag.get_id().to_string();
            let raw = matches.try_get_raw(&id).ok().flatten().into_iter().flatten();
            let takes = flag.get_action().takes_values();
            let like = flag.get_value_names().and_then(|names| names.first());
            Setting {
                origin: origins.get(&id).copied().unwrap_or(Origin::Default),
                name: flag.get_long().unwrap_or_default().to_owned(),
                values: raw.map(|value| value.to_string_lossy().into_owned()).collect(),
                like: takes.then(|| like.map_or_else(String::new, ToString::to_string)),
                help: help(flag),
                heading: flag.get_help_heading().unwrap_or("General").to_owned(),
                secret: is_secret(flag),
                id,
            }
        });
        let settings: Vec<Setting> = settings.collect();
        // Flags of one heading may be declared in several places.
        let mut headings: Vec<String> = Vec::new();
        for setting in &settings {
            if !headings.contains(&setting.heading) {
                headings.push(setting.heading.clone());
            }
        }
        let place = |setting: &Setting| headings.iter().position(|known| *known == setting.heading);
        let mut sorted = settings;
        sorted.sort_by_key(place);
        Self(sorted)
    }

    fn get(&self, id: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.id == id)
    }

    fn is_set(&self, id: &str) -> bool {
        self.get(id).is_some_and(|setting| !setting.values.is_empty())
    }

    /// Checks that no given flag is of another service than the one that the process runs. Of
    /// variables and of lines of the file it warns, and returns them: the processes of an
    /// installation may share both.
    fn check_role(&self, role: &str) -> Result<Vec<String>, Failure> {
        let mut shared = Vec::new();
        for (id, services) in of_others(role, |id| self.is_set(id)) {
            let unused = self.get(&id).filter(|one| one.is_given());
            let Some(Setting { name, origin, .. }) = unused else { continue };
            let why = format!("in --role {role}; it is for {}", services.join(" and "));
            match origin {
                Origin::Flag => {
                    return Err(Failure::Usage(format!("--{name} has no effect {why}")));
                }
                Origin::Environment => {
                    tracing::warn!("the variable of --{name} has no effect {why}");
                }
                Origin::File | Origin::Default => {
                    tracing::warn!("{name} in the settings file has no effect {why}");
                }
            }
            shared.push(id);
        }
        Ok(shared)
    }

    /// Whether callers are known, as far as settings say it: an engine that listens for other
    /// machines has tokens.
    fn knows_callers(&self) -> bool {
        let listen = self.get("listen").and_then(|listen| listen.values.first());
        let is_here = listen.and_then(|at| crate::flags::listen(at).ok());
        let is_here = is_here.is_none_or(|at| at.ip().is_loopback());
        let access = ["tokens", "issuer", "issuers", "issuer_key"];
        !is_here || access.iter().any(|id| self.is_set(id))
    }

    /// Checks that every given setting has an effect.
    ///
    /// # Errors
    /// Usage with the first that has none.
    pub fn check(&self) -> Result<(), Failure> {
        let databases = DatabaseArgs::ids(services::ALL);
        let peers: Vec<String> = services::ALL.iter().map(|one| PeerArgs::id(one)).collect();
        let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
        let postgres = databases.iter().any(|id| self.is_set(id));
        let role = self.get("role").and_then(|role| role.values.first());
        let all = role.is_none_or(|role| role == "all");
        let role = role.filter(|_| !all);
        let shared = role.map(|role| self.check_role(role)).transpose()?.unwrap_or_default();
        let webhooks = ["webhook_url", "webhooks", "sms_url"].iter().any(|id| self.is_set(id));
        let names_shards = self.is_set("journal_database");
        let rules: [(&[&str], bool, &str); 9] = [
            (&POSTGRES, postgres, "on SQLite; it is for Postgres (--database-url)"),
            (&REDIS, self.is_set("redis_url"), "without --redis-url"),
            (&WEBHOOK, self.is_set("webhook_url"), "without --webhook-url"),
            (&ISSUER, self.is_set("issuer"), "without --issuer"),
            (&SMS, self.is_set("sms_url"), "without --sms-url"),
            (&peers, !all, "in a process that runs everything (--role)"),
            (&["shards"], !names_shards, "beside --journal-database, which names every shard"),
            (&["webhook_retry_for"], webhooks, "without --webhook-url, --webhooks or --sms-url"),
            (&["reflection"], self.knows_callers(), "without --tokens: it is served anyway"),
        ];
        for (ids, works, why) in rules {
            debug_assert!(ids.iter().all(|id| self.get(id).is_some()), "{ids:?}");
            let unused = ids.iter().filter_map(|id| self.get(id));
            let unused = unused.filter(|one| one.is_given() && !works && !shared.contains(&one.id));
            if let Some(setting) = unused.max_by_key(|setting| setting.origin) {
                let name = &setting.name;
                return Err(Failure::Usage(format!("--{name} has no effect {why}")));
            }
        }
        Ok(())
    }

    /// Shows the settings; for people in the format of `--config`.
    pub fn show(&self, out: &Output) {
        if out.json {
            let settings = self.0.iter().map(|setting| (setting.name.clone(), setting.to_json()));
            return out.value(&Value::Object(settings.collect()));
        }
        out.line("# Settings of `ordinal serve`, as `ordinal serve --print-config` shows them. Each may be a flag");
        out.line("# (--confirm-within 10m), a variable (ORDINAL_CONFIRM_WITHIN=10m) or a line of the file that");
        out.line("# --config names. Flags win over variables, variables over the file. Lines with # show defaults");
        out.line("# or examples. A secret can be in a file of its own, named by the same key with -file appended:");
        out.line("# smtp-url-file = \"FILE\".");
        let mut heading = "";
        // The flags that name a file with a secret are explained once, above.
        let by_file = |setting: &&Setting| {
            let own = setting.id.strip_suffix("_file");
            own.and_then(|own| self.get(own)).is_some_and(|setting| setting.secret)
        };
        for setting in
            self.0.iter().filter(|setting| !by_file(setting) || setting.origin > Origin::Default)
        {
            if setting.heading != heading {
                heading = &setting.heading;
                out.line("");
                out.line(format!("### {heading}"));
            }
            out.line("");
            for line in wrapped(&setting.help, 98) {
                out.line(format!("# {line}"));
            }
            out.line(setting.to_toml());
        }
    }
}

impl Setting {
    /// Whether something was said, other than that a switch is off.
    fn is_given(&self) -> bool {
        let is_off = self.like.is_none() && self.values.last().is_none_or(|value| value != "true");
        self.origin >= Origin::File && !is_off
    }

    fn origin(&self) -> &'static str {
        match self.origin {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Environment => "environment",
            Origin::Flag => "flag",
        }
    }

    fn to_json(&self) -> Value {
        let value = match (&self.like, self.values.as_slice()) {
            (_, []) => Value::Null,
            _ if self.secret => json!("hidden"),
            (None, values) => json!(values.last().is_some_and(|value| value == "true")),
            (_, [one]) => json!(one),
            (_, several) => json!(several),
        };
        json!({ "value": value, "origin": self.origin() })
    }

    fn to_toml(&self) -> String {
        let name = &self.name;
        let mark = if self.origin == Origin::Default { "#" } else { "" };
        let Some(like) = &self.like else {
            let on = self.values.last().is_some_and(|value| value == "true");
            return format!("{mark}{name} = {on}  # {}", self.origin());
        };
        match self.values.as_slice() {
            [] => format!("#{name} = {}", quoted(like)),
            _ if self.secret => format!("#{name} = …  # {}, hidden", self.origin()),
            [one] => format!("{mark}{name} = {}  # {}", bare(one), self.origin()),
            several => {
                let several: Vec<String> = several.iter().map(|value| quoted(value)).collect();
                format!("{mark}{name} = [{}]  # {}", several.join(", "), self.origin())
            }
        }
    }
}

/// The help of a flag in one line.
fn help(flag: &Arg) -> String {
    let text = flag.get_long_help().or_else(|| flag.get_help());
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A number as it is, everything else in quotes.
fn bare(value: &str) -> String {
    let number = value.len() < 18 && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = number && (value == "0" || !value.starts_with('0'));
    if number { value.to_owned() } else { quoted(value) }
}

/// A TOML string: like JSON, with DEL escaped in addition.
fn quoted(value: &str) -> String {
    serde_json::to_string(value).unwrap_or_default().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::verbs::args::Cli;
    use crate::verbs::config::with_secret_files;

    #[test]
    fn every_setting_of_another_service_is_one_of_serve() {
        let command = with_secret_files(Cli::command());
        let serve = command.find_subcommand("serve").unwrap();
        let is_known = |id: &str| serve.get_arguments().any(|flag| flag.get_id().as_str() == id);
        let of_others = of_others("edge", |_| true);
        // Each once more as a file, which only secrets have.
        let (ids, files) = of_others.split_at(of_others.len() / 2);
        for (id, _) in ids {
            assert!(is_known(id), "{id}");
        }
        assert!(files.iter().filter(|(id, _)| is_known(id)).count() > 3, "{files:?}");
    }
}
