use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use inventory_stream::{DISCREPANCIES_KEPT, Discrepancy, Inventory, Reconciled, reconcile};
use order_actor::clock::Clock;
use shared_events::chance::Chance;
use shared_events::stream::{Backoff, Scope};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::services::inventory;
use super::settings::Backend;
use super::stores;

/// Log lines per check; `ordinal verify` lists all differences.
const LOGGED_MAX: usize = 20;

/// Checks stock's sums periodically, from a snapshot on a connection of its own, so that no other
/// work waits for it. Runs in the process that follows orders for stock, and stores the time and
/// result in the database, where the process that takes over continues. Before a check it gives what
/// came to stock to orders that still wait for it ([`Inventory::allocate_rest`]).
pub(super) struct Reconcile {
    pub(super) inventory: Inventory,
    pub(super) backend: Backend,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) chance: Chance,
    pub(super) every: Duration,
}

impl Reconcile {
    /// Checks when due while the scope is this process's, until stopped.
    pub(super) async fn run(self, mut scope: watch::Receiver<Scope>, stop: CancellationToken) {
        let mut attempt = 0;
        while !stop.is_cancelled() {
            let active = !scope.borrow_and_update().is_nothing();
            let next = async {
                if !active {
                    return std::future::pending().await;
                }
                self.check_when_due().await
            };
            // On SQLite, which has one process, the scope never changes.
            let changed = async {
                if scope.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let checked = tokio::select! {
                checked = next => checked,
                () = changed => continue,
                () = stop.cancelled() => return,
            };
            match checked {
                Ok(()) => {
                    if attempt > 0 {
                        tracing::warn!("stock's sums are checked again");
                    }
                    attempt = 0;
                }
                Err(error) => {
                    if attempt == 0 {
                        tracing::warn!(%error, "stock's sums cannot be checked");
                    }
                    attempt += 1;
                    let wait = Backoff::FOLLOWER.wait(attempt, self.chance.number());
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }

    async fn check_when_due(&self) -> anyhow::Result<()> {
        let last = Reconciled::load(self.inventory.database()).await?;
        if let Some(last) = &last {
            self.clock.wait_until(last.at.plus(self.every)).await;
        }
        self.inventory.allocate_rest().await?;
        let at = self.clock.now();
        let snapshot = stores::snapshot(&self.backend, &inventory::SERVICE).await?;
        let found = reconcile(&snapshot).await;
        snapshot.close().await;
        let found = found?;
        Reconciled::store(self.inventory.database(), at, &found).await?;
        let known = last.map(|last| last.discrepancies).unwrap_or_default();
        let kept = found.discrepancies.len().min(DISCREPANCIES_KEPT);
        log_changes(known, &found.discrepancies[..kept]);
        tracing::debug!(products = found.products, "stock's sums were checked");
        Ok(())
    }
}

/// Logs each sum once when it stops matching, and once when it matches again.
fn log_changes(known: Vec<Discrepancy>, found: &[Discrepancy]) {
    let place = |one: &Discrepancy| (one.law.clone(), one.subject.clone());
    let before: BTreeSet<_> = known.iter().map(place).collect();
    let now: BTreeSet<_> = found.iter().map(place).collect();
    let mut new = found.iter().filter(|one| !before.contains(&place(one)));
    for discrepancy in new.by_ref().take(LOGGED_MAX) {
        tracing::error!(%discrepancy, "stock does not add up");
    }
    let more = new.count();
    if more > 0 {
        tracing::error!(more, "stock does not add up: more sums, not listed here");
    }
    for discrepancy in known.iter().filter(|one| !now.contains(&place(one))).take(LOGGED_MAX) {
        let (law, subject) = (&discrepancy.law, &discrepancy.subject);
        tracing::warn!(law, subject, "stock adds up again");
    }
}
