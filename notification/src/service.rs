use std::sync::Arc;

use include_dir::{Dir, include_dir};
use shared_events::contract::Timestamp;
use shared_events::stream::{Database, Dialect, migrations};
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;

use crate::channel::{ChannelError, Channels};
use crate::delivery::{Delivery, Due};
use crate::grpc::NotificationEdge;
use crate::grpc::proto::notification_service_server::NotificationServiceServer;
use crate::{Config, NotificationFollower};

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite");

/// The tables of the message service.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}

/// The message service over its own database.
#[derive(Clone)]
pub struct Notifications {
    database: Database,
    config: Arc<Config>,
    channels: Arc<Channels>,
    due: Arc<Due>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Notifications {
    /// Over a database with its tables.
    ///
    /// # Errors
    /// [`ChannelError`] where the configuration opens no way out.
    pub fn new(
        database: Database,
        config: Config,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Self, ChannelError> {
        let channels = Arc::new(Channels::new(config.clone())?);
        Ok(Self { database, config: Arc::new(config), channels, due: Arc::default(), now })
    }

    /// What follows order facts.
    #[must_use]
    pub fn follower(&self) -> NotificationFollower {
        NotificationFollower::new(
            self.database.clone(),
            Arc::clone(&self.config),
            Arc::clone(&self.due),
            Arc::clone(&self.now),
        )
    }

    /// Sends what is due until told to stop.
    pub async fn run_delivery(&self, stop: CancellationToken) {
        let delivery = Delivery {
            database: self.database.clone(),
            config: Arc::clone(&self.config),
            channels: Arc::clone(&self.channels),
            due: Arc::clone(&self.due),
            now: Arc::clone(&self.now),
        };
        delivery.run(stop).await;
    }

    /// Its gRPC service.
    #[must_use]
    pub fn grpc(&self) -> NotificationServiceServer<NotificationEdge> {
        let edge = NotificationEdge::new(
            self.database.clone(),
            Arc::clone(&self.due),
            Arc::clone(&self.now),
        );
        NotificationServiceServer::new(edge).max_decoding_message_size(64 * 1024)
    }
}
