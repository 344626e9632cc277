use std::sync::Arc;
use std::time::Duration;

use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{CqrsFramework, EventStore as _};
use order_actor::aggregate::OrderAggregate;
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::domain::{By, Command, Policy};
use postgres_es::{PostgresCqrs, PostgresEventRepository, postgres_cqrs};
use shared_events::contract::OrderId;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::Instant;

use super::engine::shop_or_stock;
use crate::measure::Tally;
use crate::work::Template;

/// Connections of the framework's pool: more than two cores can keep busy, fewer than callers.
const CONNECTIONS: u32 = 32;

/// The tables of postgres-es 0.5 (its db/init.sql), restated.
const TABLES: &str = "
CREATE TABLE events (
    aggregate_type text NOT NULL, aggregate_id text NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    event_type text NOT NULL, event_version text NOT NULL,
    payload json NOT NULL, metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence));
CREATE TABLE snapshots (
    aggregate_type text NOT NULL, aggregate_id text NOT NULL,
    last_sequence bigint NOT NULL CHECK (last_sequence >= 0),
    current_snapshot bigint NOT NULL CHECK (current_snapshot >= 0),
    payload json NOT NULL, PRIMARY KEY (aggregate_type, aggregate_id, last_sequence))";

type Store = PersistedEventStore<PostgresEventRepository, OrderAggregate>;

/// The same aggregate with `decide` and `evolve`, as a user of cqrs-es would run it: the framework
/// loads the order's events for each command and commits the new ones.
#[derive(Clone)]
pub struct Framework {
    cqrs: Arc<PostgresCqrs<OrderAggregate>>,
    store: Arc<Store>,
    template: Template,
}

impl Framework {
    /// In a database of its own.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let pool: PgPool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(30))
            .connect(url)
            .await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        let store = Store::new_event_store(PostgresEventRepository::new(pool.clone()));
        let cqrs: CqrsFramework<_, _> = postgres_cqrs(pool, Vec::new(), Policy::default());
        Ok(Self { cqrs: Arc::new(cqrs), store: Arc::new(store), template: Template::new()? })
    }

    /// Executes a command.
    ///
    /// # Errors
    /// The refusal.
    pub async fn execute(&self, order_id: OrderId, command: Command, by: By) -> anyhow::Result<()> {
        let command = (command, by, SystemClock.now());
        Ok(self.cqrs.execute(&order_id.to_string(), command).await?)
    }

    /// The order as the framework loads it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn load(&self, order_id: OrderId) -> anyhow::Result<OrderAggregate> {
        let mut context = self.store.load_aggregate(&order_id.to_string()).await?;
        Ok(cqrs_es::AggregateContext::aggregate(&mut context).clone())
    }

    /// A caller that places orders and confirms each.
    ///
    /// # Errors
    /// A refusal.
    pub async fn caller(self, mut tally: Tally) -> anyhow::Result<Tally> {
        while tally.continues() {
            let order_id = OrderId::mint();
            for command in [self.template.place(order_id), Template::confirm()] {
                let since = Instant::now();
                let by = shop_or_stock(&command);
                self.execute(order_id, command, by).await?;
                tally.done(since);
            }
        }
        Ok(tally)
    }
}
