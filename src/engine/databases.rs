//! Flags that name the Postgres databases of the services and of the journal.
//! Never here: the databases' contents.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args, Command, FromArgMatches, Id};
use order_actor::journal::ShardMap;

use super::service::{Role, Service};
use super::services::{self, Services};
use super::settings::Databases;

const SHARED: &str = "database_url";
const JOURNAL: &str = "journal_database";

/// Flags that name databases: one for all services, one per service, and those of the journal.
#[derive(Clone)]
pub struct DatabaseArgs {
    services: Services,
    shared: Option<String>,
    own: BTreeMap<&'static str, String>,
    journal: Vec<String>,
}

/// URLs hold passwords.
impl std::fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseArgs")
    }
}

impl DatabaseArgs {
    /// The databases of the services that a role runs; none if no flag names any.
    ///
    /// # Errors
    /// If some are named and a needed one is missing.
    pub fn databases(&self, role: Role) -> anyhow::Result<Option<Databases>> {
        let spread = self.journal()?;
        let Self { services, shared, own, .. } = self.clone();
        if shared.is_none() && own.is_empty() {
            anyhow::ensure!(
                spread.is_none(),
                "--journal-database is for the journal only: the services also need --database-url"
            );
            return Ok(None);
        }
        // Who runs only this role needs it; who runs or reads all learns it where it is opened.
        let left_out = |service: &Service| role == Role::All && service.store.added_later;
        let needed = services.iter().filter(|service| role.runs(service) && !left_out(service));
        for service in needed {
            anyhow::ensure!(
                shared.is_some() || own.contains_key(service.name),
                "--{}-database-url or --database-url is needed",
                service.name
            );
        }
        let of_journal = services::with_journal(services).and_then(|service| own.get(service.name));
        let of_journal = of_journal.or(shared.as_ref()).cloned().unwrap_or_default();
        let journal = spread.unwrap_or_else(|| ShardMap::one(&of_journal));
        Ok(Some(Databases { journal, shared, own }))
    }

    /// The databases of a journal that is split by shards.
    ///
    /// # Errors
    /// If the flags are not a valid shard map; quotes no URL.
    pub fn journal(&self) -> anyhow::Result<Option<ShardMap>> {
        let entries = self.journal.iter().map(|entry| entry.trim());
        let entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
        if entries.is_empty() {
            return Ok(None);
        }
        let map = ShardMap::parse(entries);
        map.map(Some).map_err(|error| anyhow::anyhow!("--journal-database: {error}"))
    }
}

impl DatabaseArgs {
    /// The id of a service's flag.
    #[must_use]
    pub fn id(service: &Service) -> String {
        format!("{}_database_url", service.name)
    }

    /// The ids of all database flags of these services.
    #[must_use]
    pub fn ids(services: Services) -> Vec<String> {
        let own = services.iter().map(|service| Self::id(service));
        own.chain([SHARED.to_owned(), JOURNAL.to_owned()]).collect()
    }

    /// The flags of these services.
    pub(crate) fn augment(command: Command, services: Services) -> Command {
        let url = |id: String, long: String| {
            let variable = format!("ORDINAL_{}", id.to_uppercase());
            let arg = Arg::new(id).long(long).env(variable).value_name("URL");
            arg.hide_env_values(true).action(ArgAction::Set)
        };
        let shared = url(SHARED.to_owned(), "database-url".to_owned());
        let mut command = command.arg(shared.help(
            "Store everything in this Postgres database instead of files, a schema per service",
        ));
        for service in services {
            let own = url(Self::id(service), format!("{}-database-url", service.name));
            let help = format!("Store {} in this Postgres database", service.keeps);
            command = command.arg(own.help(help));
            if service.has_journal {
                command = command.arg(journal());
            }
        }
        let group = ArgGroup::new("databases").multiple(true).args(Self::ids(services));
        command.group(group)
    }

    /// Reads the flags of these services.
    pub(crate) fn read(matches: &ArgMatches, services: Services) -> Self {
        let given = |id: &str| matches.try_get_one::<String>(id).ok().flatten().cloned();
        let own = services.iter().filter_map(|one| Some((one.name, given(&Self::id(one))?)));
        let journal = matches.try_get_many::<String>(JOURNAL).ok().flatten();
        let journal = journal.into_iter().flatten().cloned().collect();
        Self { services, shared: given(SHARED), own: own.collect(), journal }
    }
}

/// The flag of the journal's databases.
fn journal() -> Arg {
    Arg::new(JOURNAL)
        .long("journal-database")
        .env("ORDINAL_JOURNAL_DATABASES")
        .value_name("SHARDS=URL")
        .hide_env_values(true)
        .value_delimiter(' ')
        .action(ArgAction::Append)
        .help(
            "Store these shards of the journal in this Postgres database, such as \
             0-7=postgres://…, instead of the database of orders; repeat it for each database (in \
             the environment and in a file separated by spaces) until every shard is named once. \
             Fixed when the journal is created, with the number of shards; change it later with \
             `ordinal journal move`",
        )
}

impl Args for DatabaseArgs {
    fn group_id() -> Option<Id> {
        Some(Id::from("databases"))
    }

    fn augment_args(command: Command) -> Command {
        Self::augment(command, services::ALL)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for DatabaseArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::read(matches, services::ALL))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
