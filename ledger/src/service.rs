use std::sync::Arc;

use include_dir::{Dir, include_dir};
use shared_events::contract::Timestamp;
use shared_events::stream::{Database, Dialect, migrations};
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;

use crate::grpc::LedgerEdge;
use crate::grpc::proto::ledger_service_server::LedgerServiceServer;
use crate::{PaymentFollower, SqlBook};

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite");

/// The tables of the ledger.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}

/// The ledger over its own database.
#[derive(Clone)]
pub struct Ledger {
    database: Database,
    book: SqlBook,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Ledger {
    /// Over a database with its tables; `now` dates its transfers.
    #[must_use]
    pub fn new(database: Database, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        let book = SqlBook::new(database.clone(), Arc::clone(&now));
        Self { database, book, now }
    }

    /// Books what is asked for, until `stop`. Without it no call that writes is answered.
    pub async fn run(self, stop: CancellationToken) {
        self.book.run(stop).await;
    }

    /// The follower of facts of payments.
    #[must_use]
    pub fn follower(&self) -> PaymentFollower {
        PaymentFollower::new(self.database.clone(), Arc::clone(&self.now))
    }

    /// The handler of its calls.
    #[must_use]
    pub fn edge(&self) -> LedgerEdge {
        LedgerEdge::new(self.database.clone(), Arc::new(self.book.clone()))
    }

    /// Its gRPC service.
    #[must_use]
    pub fn grpc(&self) -> LedgerServiceServer<LedgerEdge> {
        LedgerServiceServer::new(self.edge()).max_decoding_message_size(64 * 1024)
    }
}
