//! The charter: what a database records of the journal that it holds shards of.

use shared_events::stream::begin;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::session::PostgresStore;
use super::territory::Charter;
use crate::chain::GENESIS;
use crate::error::JournalError;
use crate::shards::ShardSet;
use crate::store::rows::{Fields, impossible, unavailable};

/// The complete charter in one read.
const CHARTER: &str = "
SELECT journal_id, database_id, journal.shards AS of_all, complete, shard, state
FROM journal LEFT JOIN shards ON state <> 'GONE' ORDER BY shard";

impl PostgresStore {
    /// The charter; none where it holds no journal. Writes nothing.
    pub(crate) async fn charter(&self) -> Result<Option<Charter>, JournalError> {
        self.inspect().await?;
        let mut connection = self.unchecked().acquire().await.map_err(unavailable)?;
        let sql = "SELECT to_regclass('journal') IS NOT NULL, to_regclass('shards') IS NOT NULL";
        match sqlx::query_as(sql).fetch_one(&mut *connection).await.map_err(unavailable)? {
            (true, _) => charter(&mut connection).await,
            (false, true) => older(&mut connection).await,
            (false, false) => Ok(None),
        }
    }

    /// Initialises it as a database of a journal, not complete yet, unless it is one; returns its
    /// charter then.
    pub(crate) async fn make(
        &self,
        journal: Uuid,
        shards: u16,
        holds: &ShardSet,
    ) -> Result<Charter, JournalError> {
        let mut tx = begin(self.unchecked()).await.map_err(unavailable)?;
        sqlx::query("LOCK TABLE shards IN EXCLUSIVE MODE")
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        if charter(&mut tx).await?.is_none() {
            join_journal(&mut tx, journal, shards, false).await?;
            sqlx::query(
                "INSERT INTO shards (shard, epoch, owner, lease_until, head_position, head_hash)
                 SELECT shard, 0, '', clock_timestamp(), 0, $1 FROM unnest($2::int[]) AS shard",
            )
            .bind(GENESIS.as_slice())
            .bind(holds.iter().map(i32::from).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        }
        let made = charter(&mut tx).await?.ok_or_else(|| impossible("journal"))?;
        tx.commit().await.map_err(unavailable)?;
        Ok(made)
    }

    /// Records that every database of the journal has been initialised.
    pub(crate) async fn complete(&self) -> Result<(), JournalError> {
        let sql = "UPDATE journal SET complete = true WHERE NOT complete";
        sqlx::query(sql).execute(self.unchecked()).await.map_err(unavailable).map(drop)
    }
}

/// Makes an empty database one of a journal; it holds no shard of it yet.
pub(crate) async fn join_journal(
    connection: &mut PgConnection,
    journal: Uuid,
    shards: u16,
    complete: bool,
) -> Result<(), JournalError> {
    sqlx::query("INSERT INTO journal (journal_id, shards, complete) VALUES ($1, $2, $3)")
        .bind(journal)
        .bind(i32::from(shards))
        .bind(complete)
        .execute(connection)
        .await
        .map_err(unavailable)
        .map(drop)
}

/// The charter, from the tables.
pub(crate) async fn charter(
    connection: &mut PgConnection,
) -> Result<Option<Charter>, JournalError> {
    let rows = sqlx::query(CHARTER).fetch_all(connection).await.map_err(unavailable)?;
    let Some(first) = rows.first() else { return Ok(None) };
    let shards: i32 = first.try_get("of_all").map_err(unavailable)?;
    let mut charter = Charter {
        journal: first.try_get("journal_id").map_err(unavailable)?,
        database: first.try_get("database_id").map_err(unavailable)?,
        shards: u16::try_from(shards).map_err(|_| impossible("number of shards"))?,
        holds: ShardSet::default(),
        in_transit: ShardSet::default(),
        complete: first.try_get("complete").map_err(unavailable)?,
    };
    for row in &rows {
        match row.try_get("state").map_err(unavailable)? {
            Some("HERE") => charter.holds.insert(row.shard()?),
            Some(_) => charter.in_transit.insert(row.shard()?),
            // It holds no shard: the outer join has a row without one.
            None => {}
        }
    }
    Ok(Some(charter))
}

/// For tables older than `journal`: all shards are here.
async fn older(connection: &mut PgConnection) -> Result<Option<Charter>, JournalError> {
    let sql = "SELECT shard FROM shards ORDER BY shard";
    let rows = sqlx::query(sql).fetch_all(connection).await.map_err(unavailable)?;
    let holds: ShardSet = rows.iter().map(Fields::shard).collect::<Result<_, _>>()?;
    let shards = u16::try_from(holds.len()).map_err(|_| impossible("number of shards"))?;
    Ok((shards > 0).then(|| Charter {
        journal: Uuid::nil(),
        database: Uuid::nil(),
        shards,
        holds,
        in_transit: ShardSet::default(),
        complete: true,
    }))
}
