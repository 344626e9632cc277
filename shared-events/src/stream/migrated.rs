use std::collections::BTreeSet;

use sqlx::Row as _;
use sqlx::migrate::Migrator;

use super::migrations::of_streams;
use super::{Database, DatabaseError};

impl Database {
    /// Whether all migrations were applied, those of the stream's tables too. A snapshot cannot
    /// apply them, and would fail at the first column that is not there.
    ///
    /// # Errors
    /// [`DatabaseError::Unfit`] with the first one that was not, and what to do.
    pub async fn expect_migrated(&self, own: &Migrator) -> Result<(), DatabaseError> {
        let sql = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";
        let rows = sqlx::query(sql).fetch_all(self.reader()).await?;
        let applied = rows.iter().map(|row| row.try_get::<i64, _>(0));
        let applied = applied.collect::<Result<BTreeSet<_>, _>>()?;
        let stream = of_streams(self.dialect());
        let mut all = stream.iter().chain(own.iter());
        match all.find(|migration| !applied.contains(&migration.version)) {
            None => Ok(()),
            Some(migration) => Err(DatabaseError::Unfit(format!(
                "its tables are older than this program, migration {} is to be applied: run \
                 `ordinal migrate`, or start `ordinal serve`, first",
                migration.version
            ))),
        }
    }
}
