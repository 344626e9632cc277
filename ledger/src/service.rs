use std::sync::Arc;

use include_dir::{Dir, include_dir};
use shared_events::contract::Timestamp;
use shared_events::stream::{Database, Dialect, migrations};
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;

use crate::grpc::proto::ledger_service_server::LedgerServiceServer;
use crate::grpc::proto::wallet_service_server::WalletServiceServer;
use crate::grpc::{LedgerEdge, WalletEdge};
use crate::tail::Tail;
use crate::{PaymentFollower, SqlBook};

/// The largest request, in bytes.
const REQUEST_MAX: usize = 64 * 1024;

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
    tail: Tail,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Ledger {
    /// Over a database with its tables; `now` dates its transfers.
    #[must_use]
    pub fn new(database: Database, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        let book = SqlBook::new(database.clone(), Arc::clone(&now));
        let tail = Tail::new(database.clone());
        Self { database, book, tail, now }
    }

    /// Books what is asked for, and tells whoever watches, until `stop`. Without it no call that
    /// writes is answered, and no watch hears of a change.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.book.run(stop.clone()), self.tail.run(stop));
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
        LedgerServiceServer::new(self.edge()).max_decoding_message_size(REQUEST_MAX)
    }

    /// The handler of calls about wallets. Watches end at `stop`.
    #[must_use]
    pub fn wallet_edge(&self, stop: CancellationToken) -> WalletEdge {
        let (database, book) = (self.database.clone(), Arc::new(self.book.clone()));
        WalletEdge::new(database, book, self.tail.clone(), stop)
    }

    /// Its gRPC service of wallets. Watches end at `stop`.
    #[must_use]
    pub fn wallets(&self, stop: CancellationToken) -> WalletServiceServer<WalletEdge> {
        WalletServiceServer::new(self.wallet_edge(stop)).max_decoding_message_size(REQUEST_MAX)
    }
}
