use std::sync::Arc;

use shared_events::contract::Timestamp;
use shared_events::stream::{Database, Dialect};
use sqlx::migrate::Migrator;
use tokio::sync::Notify;

use crate::grpc::StockEdge;
use crate::grpc::proto::inventory_service_server::InventoryServiceServer;
use crate::{OutboxSource, StockFollower};

/// The tables of the stock service.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    match dialect {
        Dialect::Postgres => sqlx::migrate!("migrations/postgres"),
        Dialect::Sqlite => sqlx::migrate!("migrations/sqlite"),
    }
}

/// The stock service over its own database.
#[derive(Clone)]
pub struct Inventory {
    database: Database,
    told: Arc<Notify>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Inventory {
    /// Over a database with its tables; `now` dates what it tells.
    #[must_use]
    pub fn new(database: Database, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self { database, told: Arc::default(), now }
    }

    /// Its database.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// What follows order facts.
    #[must_use]
    pub fn follower(&self) -> StockFollower {
        StockFollower::new(self.database.clone(), Arc::clone(&self.told), Arc::clone(&self.now))
    }

    /// What it tells others.
    #[must_use]
    pub fn facts(&self) -> Arc<OutboxSource> {
        Arc::new(OutboxSource::new(self.database.clone(), Arc::clone(&self.told)))
    }

    /// Its gRPC service.
    #[must_use]
    pub fn grpc(&self) -> InventoryServiceServer<StockEdge> {
        InventoryServiceServer::new(StockEdge::new(self.database.clone(), Arc::clone(&self.now)))
            .max_decoding_message_size(1024 * 1024)
    }
}
