//! Which wallets were touched, told to whoever watches one. Also what other processes booked: the
//! book is looked at once for all who watch, and not at all where nobody does.
//! Never here: what is in a wallet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shared_events::contract::CustomerId;
use shared_events::stream::{Database, DatabaseError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::domain::wallet_of;
use crate::store;

/// How often the book is looked at while somebody watches.
const EVERY: Duration = Duration::from_millis(100);
/// The pause after the book could not be read.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Transfers that are looked through at once; after more, everybody looks at their own wallet.
const SPAN_MAX: u64 = 50_000;
/// What waits for a slow watch; one that is further behind looks at its wallet.
const WAITING_MAX: usize = 64;

/// What was touched.
#[derive(Clone)]
enum Touched {
    /// Perhaps any wallet.
    Any,
    /// Those of these customers.
    Wallets(Arc<BTreeSet<CustomerId>>),
}

/// Looks at the end of the book for all who watch.
#[derive(Clone)]
pub(crate) struct Tail {
    database: Database,
    told: broadcast::Sender<Touched>,
}

impl Tail {
    pub(crate) fn new(database: Database) -> Self {
        let (told, _) = broadcast::channel(WAITING_MAX);
        Self { database, told }
    }

    /// One who watches. What is booked from now on is told while [`Self::run`] runs.
    pub(crate) fn watch(&self) -> Watcher {
        Watcher(self.told.subscribe())
    }

    /// Tells what was touched, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (mut last, mut pause) = (None, EVERY);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = EVERY;
            if self.told.receiver_count() == 0 {
                last = None;
                continue;
            }
            last = match self.look(last).await {
                Ok(head) => Some(head),
                Err(error) => {
                    tracing::warn!(%error, "the end of the book could not be read");
                    pause = AFTER_FAILURE;
                    None
                }
            };
        }
    }

    /// Tells what was touched since the last look; returns where the book ends. Without a last look,
    /// and where the book ends before it (a restored copy), it may be anything.
    async fn look(&self, last: Option<u64>) -> Result<u64, DatabaseError> {
        let head = store::head(&self.database).await?.position;
        let touched = match last {
            Some(last) if head == last => return Ok(head),
            Some(last) if head > last && head - last <= SPAN_MAX => {
                let accounts = store::touched(&self.database, last, head).await?;
                let wallets = accounts.iter().filter_map(wallet_of);
                Touched::Wallets(Arc::new(wallets.map(|(customer, _)| customer).collect()))
            }
            _ => Touched::Any,
        };
        // Whoever watched may have gone since.
        drop(self.told.send(touched));
        Ok(head)
    }
}

/// One who watches a wallet.
pub(crate) struct Watcher(broadcast::Receiver<Touched>);

impl Watcher {
    /// Waits until this customer's wallet may have been touched.
    pub(crate) async fn touched(&mut self, customer: CustomerId) {
        loop {
            match self.0.recv().await {
                Ok(Touched::Wallets(customers)) => {
                    if customers.contains(&customer) {
                        return;
                    }
                }
                Ok(Touched::Any) | Err(RecvError::Lagged(_)) => return,
                // Nothing is told any more.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use shared_events::contract::{Currency, Money, Timestamp};
    use shared_events::stream::{AskedBy, Dialect, spawn};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ChartAccount, Entry, EntryId, Leg, Outcome};
    use crate::{Book as _, SqlBook};

    async fn top_up(book: &SqlBook, customer: CustomerId, entry: u128) {
        let currency: Currency = "GBP".parse().unwrap();
        let by = || AskedBy { role: "SERVICE".to_owned(), subject: "till".to_owned() };
        let funding = ChartAccount::WalletFunding.terms(currency).unwrap();
        let wallet = ChartAccount::Wallet(customer).terms(currency).unwrap();
        let amount = Money::new(100, currency);
        let leg =
            Leg::Transfer { debit: funding.name.clone(), credit: wallet.name.clone(), amount };
        for terms in [funding, wallet] {
            book.open(terms, by(), String::new()).await.unwrap();
        }
        let id = EntryId::from(Uuid::from_u128(entry));
        let entry = Entry::new(id, vec![leg], "paid in".to_owned()).unwrap();
        let posted = book.post(entry, by()).await.unwrap();
        assert!(matches!(posted.outcome, Outcome::Booked { .. }), "{posted:?}");
    }

    #[tokio::test]
    async fn a_watch_wakes_for_its_own_wallet_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let database = Database::sqlite(&path, &crate::migrator(Dialect::Sqlite)).await.unwrap();
        let book = SqlBook::new(database.clone(), Arc::new(|| Timestamp::from_micros(0)));
        let stop = CancellationToken::new();
        let running = spawn(book.clone().run(stop.clone()));
        let [own, strangers] = [1, 2].map(|nth| CustomerId::from_uuid(Uuid::from_u128(nth)));
        let tail = Tail::new(database.clone());
        let (mut watcher, mut stranger) = (tail.watch(), tail.watch());
        // Both by the first amount, which opens the account.
        top_up(&book, own, 11).await;
        let head = tail.look(Some(0)).await.unwrap();
        assert!(watcher.touched(own).now_or_never().is_some());
        assert!(stranger.touched(strangers).now_or_never().is_none());
        top_up(&book, strangers, 12).await;
        tail.look(Some(head)).await.unwrap();
        assert!(watcher.touched(own).now_or_never().is_none());
        assert!(stranger.touched(strangers).now_or_never().is_some());
        stop.cancel();
        running.await.unwrap();
        database.close().await;
    }
}
