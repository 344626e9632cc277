//! Where the Postgres database of each service is, by flags.
//! Never here: what is in it.

use anyhow::Context as _;

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
        if self.database_url.is_none() && own.iter().all(|url| url.is_none()) {
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
        Ok(Some(Databases {
            orders: url(orders, role.orders(), "orders-database-url")?,
            inventory: url(inventory, role.inventory(), "inventory-database-url")?,
            notifications: url(notifications, role.notifications(), "notifications-database-url")?,
        }))
    }
}
