//! Where the Postgres database of each service is, by flags.
//! Never here: what is in it.

use anyhow::Context as _;

use order_actor::journal::ShardMap;

use crate::engine::{Databases, Role};

/// Flags that name databases.
#[derive(Clone, clap::Args)]
#[group(id = "databases", multiple = true)]
pub struct DatabaseArgs {
    /// Keep everything in this Postgres database instead of files, a schema per service.
    #[arg(long, value_name = "URL", env = "ORDINAL_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Keep orders in this Postgres database.
    #[arg(long, value_name = "URL", env = "ORDINAL_ORDERS_DATABASE_URL", hide_env_values = true)]
    orders_database_url: Option<String>,
    /// Keep these shards of the journal in this Postgres database, such as 0-7=postgres://…, and not
    /// in the database of orders; once per database (in the environment and in a file by spaces),
    /// so that every shard is named once. Fixed when the journal is created, with the number of
    /// shards; later `ordinal journal move`.
    #[arg(
        long,
        value_name = "SHARDS=URL",
        env = "ORDINAL_JOURNAL_DATABASES",
        hide_env_values = true,
        value_delimiter = ' '
    )]
    journal_database: Vec<String>,
    /// Keep stock in this Postgres database.
    #[arg(
        long,
        value_name = "URL",
        env = "ORDINAL_INVENTORY_DATABASE_URL",
        hide_env_values = true
    )]
    inventory_database_url: Option<String>,
    /// Keep messages in this Postgres database.
    #[arg(
        long,
        value_name = "URL",
        env = "ORDINAL_NOTIFICATIONS_DATABASE_URL",
        hide_env_values = true
    )]
    notifications_database_url: Option<String>,
}

/// URLs hold passwords.
impl std::fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseArgs")
    }
}

impl DatabaseArgs {
    /// The databases of the services that a role runs; none where no flag names any.
    ///
    /// # Errors
    /// Where some are named and one that is needed is not.
    pub fn databases(&self, role: Role) -> anyhow::Result<Option<Databases>> {
        let own = [
            &self.orders_database_url,
            &self.inventory_database_url,
            &self.notifications_database_url,
        ];
        let spread = self.journal()?;
        if self.database_url.is_none() && own.iter().all(|url| url.is_none()) {
            anyhow::ensure!(
                spread.is_none(),
                "--journal-database spreads the journal alone: --database-url says where the rest is"
            );
            return Ok(None);
        }
        let url = |own: &Option<String>, needed: bool, flag: &str| {
            let known = own.clone().or_else(|| self.database_url.clone());
            if needed {
                known.with_context(|| format!("--{flag} or --database-url is needed"))
            } else {
                Ok(known.unwrap_or_default())
            }
        };
        let [orders, inventory, notifications] = own;
        let orders = url(orders, role.orders(), "orders-database-url")?;
        Ok(Some(Databases {
            journal: spread.unwrap_or_else(|| ShardMap::one(&orders)),
            orders,
            inventory: url(inventory, role.inventory(), "inventory-database-url")?,
            notifications: url(notifications, role.notifications(), "notifications-database-url")?,
        }))
    }

    /// Where the journal is spread, if it is.
    ///
    /// # Errors
    /// Where the flags make no map; without any URL.
    pub fn journal(&self) -> anyhow::Result<Option<ShardMap>> {
        let entries = self.journal_database.iter().map(|entry| entry.trim());
        let entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
        if entries.is_empty() {
            return Ok(None);
        }
        let map = ShardMap::parse(entries);
        map.map(Some).map_err(|error| anyhow::anyhow!("--journal-database: {error}"))
    }
}
