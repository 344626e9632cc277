use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use order_actor::actor::{Context, Limits, Registry};
use order_actor::clock::{Clock, SystemClock};
use order_actor::domain::{By, Command, Component, Policy};
use order_actor::journal::{Journal, Options, open_memory, open_postgres, open_sqlite};
use shared_events::contract::OrderId;
use shared_events::traces::Span;
use tokio::time::Instant;

use crate::measure::Tally;
use crate::work::{Template, shop};

/// Shards of a benchmark's journal on Postgres, the default of `ordinal serve`.
pub const SHARDS: u16 = 16;

/// Journal and actors, without followers.
#[derive(Clone)]
pub struct Engine {
    /// Its journal.
    pub journal: Journal,
    /// Its actors.
    pub registry: Registry,
    template: Template,
}

/// Options with this clock.
pub fn options(clock: &Arc<dyn Clock>, shards: u16) -> Options {
    let clock = Arc::clone(clock);
    Options { shards, ..Options::new(Arc::new(move || clock.now())) }
}

impl Engine {
    /// Over a journal in a Postgres database.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub async fn postgres(url: &str, shards: u16) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let journal = open_postgres(url, "journal", options(&clock, shards)).await?;
        Self::over(journal, clock).await
    }

    /// Over a journal in an SQLite file.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub async fn sqlite(file: &Path) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let journal = open_sqlite(file, options(&clock, 1)).await?;
        Self::over(journal, clock).await
    }

    /// Over a journal in memory: the cost without any write.
    ///
    /// # Errors
    /// Never in practice.
    pub async fn memory() -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let journal = open_memory(options(&clock, SHARDS)).await?;
        Self::over(journal, clock).await
    }

    /// Over any journal.
    ///
    /// # Errors
    /// Where the actors cannot be started.
    pub async fn over(journal: Journal, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let (policy, limits) = (Policy::default(), Limits::default());
        let registry = Registry::start(journal.clone(), clock, policy, limits).await?;
        Ok(Self { journal, registry, template: Template::new()? })
    }

    /// The same journal with these actors.
    #[must_use]
    pub fn with(self, registry: Registry) -> Self {
        Self { registry, ..self }
    }

    /// Executes a command.
    ///
    /// # Errors
    /// The refusal.
    pub async fn execute(&self, order_id: OrderId, command: Command) -> anyhow::Result<()> {
        let mut context =
            Context::new(shop_or_stock(&command), Instant::now() + Duration::from_secs(30));
        // As the edge does; nothing where no spans are kept.
        let span = Span::call("benchmark", None, None);
        context.traceparent = span.traceparent();
        self.registry.execute(order_id, command, context).await?;
        Ok(())
    }

    /// Places an order.
    ///
    /// # Errors
    /// The refusal.
    pub async fn place(&self) -> anyhow::Result<OrderId> {
        let order_id = OrderId::mint();
        self.execute(order_id, self.template.place(order_id)).await?;
        Ok(order_id)
    }

    /// A caller that places orders and confirms each.
    ///
    /// # Errors
    /// A refusal.
    pub async fn caller(self, mut tally: Tally) -> anyhow::Result<Tally> {
        while tally.continues() {
            let since = Instant::now();
            let order_id = self.place().await?;
            tally.done(since);
            let since = Instant::now();
            self.execute(order_id, Template::confirm()).await?;
            tally.done(since);
        }
        Ok(tally)
    }

    /// Stops it.
    pub async fn close(self) {
        self.registry.stop();
        self.journal.close().await;
    }
}

/// Roles: orders are confirmed by the engine itself.
pub fn shop_or_stock(command: &Command) -> By {
    match command {
        Command::Confirm(_) => By::Engine(Component::STOCK),
        _ => shop(),
    }
}
