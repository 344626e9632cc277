//! Renews the leases of our shards.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use shared_events::stream::Session;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Postgres};

use super::types::micros;
use crate::store::head::{CommitError, Renewed};
use crate::store::port::Renewal;

/// Renews on a session of its own, beside the appends.
pub(crate) struct PostgresRenewal {
    pub(super) connect: PgConnectOptions,
    pub(super) session: Session,
    pub(super) connection: Option<PgConnection>,
    pub(super) owner: String,
    pub(super) among_others: bool,
}

/// Renews those of our shards that no append has locked. It waits for no lock while it holds some,
/// so that it and an append to several shards never wait for each other.
const RENEW_FREE: &str = include_str!("sql/renew_free.sql");

/// Renews one that an append has locked, after that append.
const RENEW_ONE: &str = "
UPDATE shards SET lease_until = clock_timestamp() + $2 * interval '1 microsecond'
WHERE shard = $3 AND owner = $1 AND lease_until > '-infinity' RETURNING shard";

impl PostgresRenewal {
    async fn renewed(
        &self,
        connection: &mut PgConnection,
        lease: Duration,
    ) -> Result<BTreeSet<u16>, sqlx::Error> {
        let number = |shard: i32| u16::try_from(shard).unwrap_or(u16::MAX);
        let free: Vec<i32> = sqlx::query_scalar(RENEW_FREE)
            .bind(&self.owner)
            .bind(micros(lease))
            .fetch_all(&mut *connection)
            .await?;
        let mut renewed: BTreeSet<u16> = free.into_iter().map(number).collect();
        let ours: Vec<i32> = sqlx::query_scalar("SELECT shard FROM shards WHERE owner = $1")
            .bind(&self.owner)
            .fetch_all(&mut *connection)
            .await?;
        for shard in
            ours.into_iter().filter(|shard| !renewed.contains(&number(*shard))).collect::<Vec<_>>()
        {
            let one: Option<i32> = sqlx::query_scalar(RENEW_ONE)
                .bind(&self.owner)
                .bind(micros(lease))
                .bind(shard)
                .fetch_optional(&mut *connection)
                .await?;
            renewed.extend(one.map(number));
        }
        Ok(renewed)
    }
}

#[async_trait]
impl Renewal for PostgresRenewal {
    async fn renew(&mut self, lease: Duration) -> Result<Renewed, CommitError> {
        let unavailable = |error: sqlx::Error| CommitError::Unavailable(error.to_string());
        // Out of its place while in use: a cancelled call closes it.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut fresh =
                    PgConnection::connect_with(&self.connect).await.map_err(unavailable)?;
                self.session.begin::<Postgres>(&mut fresh).await.map_err(unavailable)?;
                fresh
            }
        };
        let renewed = self.renewed(&mut connection, lease).await.map_err(unavailable)?;
        self.connection = Some(connection);
        // A node among others may have no shard for a while.
        if !self.among_others && renewed.is_empty() {
            return Err(CommitError::Superseded);
        }
        Ok(Renewed::Shards(renewed))
    }
}
