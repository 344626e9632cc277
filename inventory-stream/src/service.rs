use std::sync::Arc;
use std::time::Duration;

use include_dir::{Dir, include_dir};
use shared_events::contract::Timestamp;
use shared_events::stream::redis::Redis;
use shared_events::stream::{Database, DatabaseError, Dialect, Outbox, migrations};
use sqlx::migrate::Migrator;

use crate::grpc::StockEdge;
use crate::grpc::proto::inventory_service_server::InventoryServiceServer;
use crate::{StockCache, StockFollower, store};

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite");

/// The tables of the stock service.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}

/// The stock service over its own database.
#[derive(Clone)]
pub struct Inventory {
    database: Database,
    outbox: Outbox,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    cache: Option<StockCache>,
}

impl Inventory {
    /// Over a database with its tables; `now` dates its facts and movements.
    #[must_use]
    pub fn new(database: Database, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        let outbox = Outbox::new(database.clone());
        Self { database, outbox, now, cache: None }
    }

    /// With a cache in this Redis; values are kept for `keep` at most. It is used while
    /// [`StockCache::run`] runs.
    #[must_use]
    pub fn cached(mut self, redis: Redis, keep: Duration) -> Self {
        let (database, outbox, now) =
            (self.database.clone(), self.outbox.clone(), Arc::clone(&self.now));
        self.cache = Some(StockCache::new(redis, keep, database, outbox, now));
        self
    }

    /// Its cache, if it has one.
    #[must_use]
    pub fn cache(&self) -> Option<StockCache> {
        self.cache.clone()
    }

    /// Its database.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// The follower of order facts.
    #[must_use]
    pub fn follower(&self) -> StockFollower {
        StockFollower::new(self.database.clone(), self.outbox.clone(), Arc::clone(&self.now))
    }

    /// The facts that it publishes.
    #[must_use]
    pub fn facts(&self) -> Arc<Outbox> {
        Arc::new(self.outbox.clone())
    }

    /// Gives free units to the orders that wait for them, where an earlier step was bounded or a
    /// history was set back: nothing, for nearly all calls. A hundred products at most.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn allocate_rest(&self) -> Result<(), DatabaseError> {
        let skus = store::allocatable(&self.database).await?;
        if skus.is_empty() {
            return Ok(());
        }
        let mut tx = self.database.begin().await?;
        store::exclude_followers(&self.database, &mut tx).await?;
        let (database, outbox, now) = (&self.database, &self.outbox, (self.now)());
        store::allocate_products(database, outbox, &mut tx, &skus, None, now).await?;
        tx.commit().await?;
        self.outbox.committed();
        Ok(())
    }

    /// The handler of its calls.
    #[must_use]
    pub fn edge(&self) -> StockEdge {
        StockEdge::new(
            self.database.clone(),
            self.outbox.clone(),
            Arc::clone(&self.now),
            self.cache.clone(),
        )
    }

    /// Its gRPC service.
    #[must_use]
    pub fn grpc(&self) -> InventoryServiceServer<StockEdge> {
        InventoryServiceServer::new(self.edge()).max_decoding_message_size(1024 * 1024)
    }
}
