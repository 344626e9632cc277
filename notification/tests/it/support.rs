//! A message service on a database of its own, facts, and servers that take messages.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notification::ledger::{self, Entry, Filter};
use notification::{Config, Notifications, Route, Webhook, WebhookSecret, migrator};
use shared_events::chance::Chance;
use shared_events::contract::{
    Contact, CustomerId, Fact, FactBody, FactId, Money, OrderFact, OrderHeader, OrderId, Origin,
    Timestamp,
};
use shared_events::stream::{Database, DatabaseError, Dialect, Handler as _, Outbox};
use tokio_util::sync::CancellationToken;

pub use crate::ports::free_port;

/// How long a test waits for what must happen, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub database: Database,
    pub service: Notifications,
    pub folder: tempfile::TempDir,
    pub clock: Arc<Mutex<Timestamp>>,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// The Postgres for tests.
pub fn server() -> String {
    std::env::var("ORDINAL_TEST_POSTGRES")
        .expect("ORDINAL_TEST_POSTGRES names a Postgres for tests; scripts/test starts one")
}

pub fn start() -> Timestamp {
    "2010-12-01T08:26:00Z".parse().unwrap()
}

impl Bench {
    pub async fn on(dialect: Dialect, change: impl FnOnce(&mut Config)) -> Self {
        let migrations = migrator(dialect);
        let folder = tempfile::tempdir().unwrap();
        let database = match dialect {
            Dialect::Sqlite => {
                let path = folder.path().join("notifications.db");
                Database::sqlite(&path, &migrations).await.unwrap()
            }
            Dialect::Postgres => {
                let url = server();
                let schema = format!("t_{}", Chance::system().uuid().simple());
                Database::postgres(&url, &schema, &migrations).await.unwrap()
            }
        };
        let clock = Arc::new(Mutex::new(start()));
        let mut config = Config::to_directory(folder.path().join("mail"));
        change(&mut config);
        let time = Arc::clone(&clock);
        let now = Arc::new(move || *time.lock().unwrap());
        let service = Notifications::new(database.clone(), config, now).unwrap();
        let stop = CancellationToken::new();
        Self { database, service, folder, clock, stop, task: None }
    }

    pub fn advance(&self, by: Duration) {
        let mut clock = self.clock.lock().unwrap();
        *clock = clock.plus(by);
    }

    pub async fn follow(&self, facts: &[Fact]) {
        let mut follower = self.service.follower();
        let mut tx = self.database.begin().await.unwrap();
        follower.handle(&mut tx, facts).await.unwrap();
        tx.commit().await.unwrap();
        follower.committed();
    }

    pub fn deliver(&mut self) {
        let (service, stop) = (self.service.clone(), self.stop.clone());
        self.task =
            Some(shared_events::stream::spawn(async move { service.run_delivery(stop).await }));
    }

    /// Stops delivery; the database stays open.
    pub async fn stopped(mut self) -> Self {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
        self
    }

    pub async fn stop(self) {
        self.stopped().await;
    }

    pub async fn entries(&self) -> Vec<Entry> {
        ledger::list(&self.database, &Filter::default(), 0, 1_000).await.unwrap()
    }

    /// Waits until the messages are as expected.
    pub async fn until(&self, reached: impl Fn(&[Entry]) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !reached(&self.entries().await) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if waited.await.is_err() {
            let entries = self.entries().await;
            let errors: Vec<_> = entries.iter().map(|one| (one.state, &one.last_error)).collect();
            panic!("not reached: {errors:?}");
        }
    }
}

/// A secret made of one byte.
pub fn secret(byte: u8) -> (String, WebhookSecret) {
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [byte; 32]);
    let text = format!("whsec_{encoded}");
    let secret = text.parse().unwrap();
    (text, secret)
}

/// Records these as delivered, as the delivery loop does.
pub async fn delivered(
    database: &Database,
    entries: &[Entry],
    now: Timestamp,
) -> Result<(), DatabaseError> {
    ledger::delivered(database, &Outbox::new(database.clone()), entries, now).await
}

/// A webhook at that URL.
pub fn hook(url: String) -> Webhook {
    let (name, types) = (Route::DEFAULT_ENDPOINT.to_owned(), Vec::new());
    Webhook { name, types, url, secrets: vec![secret(7).1], authorities: Vec::new() }
}

pub fn fact(position: u64, body: impl FnOnce(OrderHeader) -> OrderFact) -> Fact {
    let order_id = OrderId::mint();
    let header = OrderHeader {
        order_id,
        customer_id: CustomerId::mint(),
        contact: Contact::new("ada@example.org", "+442071838750", "en").unwrap(),
        total: Money::new(1530, "GBP".parse().unwrap()),
        names: None,
    };
    let id = FactId::at(Origin::Orders, 0, position, 0);
    Fact::new(id, (0, position, 0), 1, start(), FactBody::Order(body(header)))
}

pub fn placed(position: u64) -> Fact {
    fact(position, |order| OrderFact::Created {
        order,
        lines: Vec::new(),
        placed_at: start(),
        confirm_by: start(),
        charges: Vec::new(),
        totals: None,
        exchange_of: None,
    })
}

/// A real SMTP server (aiosmtpd) that stores mail in a Maildir.
pub struct SmtpServer {
    process: std::process::Child,
}

impl SmtpServer {
    pub fn start(port: u16, maildir: &Path) -> Self {
        let python = std::env::var("ORDINAL_TEST_PYTHON").expect(
            "ORDINAL_TEST_PYTHON names a python with what tests need; scripts/test makes one",
        );
        let process = std::process::Command::new(python)
            .args(["-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}")])
            .args(["-c", "aiosmtpd.handlers.Mailbox"])
            .arg(maildir)
            .spawn()
            .unwrap();
        Self { process }
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
