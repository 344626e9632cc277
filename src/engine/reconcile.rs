use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use inventory_stream::{DISCREPANCIES_KEPT, Discrepancy, Reconciled, reconcile};
use order_actor::clock::Clock;
use shared_events::stream::{Backoff, Database, Scope};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::services::inventory;
use super::settings::Backend;
use super::stores;

/// Lines of one look in the log; `ordinal verify` names all that differs.
const SAID_AT_ONCE: usize = 20;

/// Proves now and then that stock's sums hold, from a snapshot on a connection of its own, so that
/// nobody waits for it. The process that follows orders for stock does it, and remembers in the
/// database when it did and what differed: who takes over goes on with that.
pub(super) struct Reconcile {
    pub(super) database: Database,
    pub(super) backend: Backend,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) every: Duration,
}

impl Reconcile {
    /// Whenever it is time, while the scope is this process's, until told to stop.
    pub(super) async fn run(self, mut scope: watch::Receiver<Scope>, stop: CancellationToken) {
        let mut attempt = 0;
        while !stop.is_cancelled() {
            let active = !scope.borrow_and_update().is_nothing();
            let next = async {
                if !active {
                    return std::future::pending().await;
                }
                self.look_when_due().await
            };
            // On SQLite, which one process has to itself, it never changes.
            let changed = async {
                if scope.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let looked = tokio::select! {
                looked = next => looked,
                () = changed => continue,
                () = stop.cancelled() => return,
            };
            match looked {
                Ok(()) => {
                    if attempt > 0 {
                        tracing::warn!("stock's sums are looked at again");
                    }
                    attempt = 0;
                }
                Err(error) => {
                    if attempt == 0 {
                        tracing::warn!(%error, "stock's sums cannot be looked at");
                    }
                    attempt += 1;
                    tokio::select! {
                        () = tokio::time::sleep(Backoff::FOLLOWER.wait(attempt, rand::random())) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }

    async fn look_when_due(&self) -> anyhow::Result<()> {
        let last = Reconciled::load(&self.database).await?;
        if let Some(last) = &last {
            self.clock.wait_until(last.at.plus(self.every)).await;
        }
        let at = self.clock.now();
        let snapshot = stores::snapshot(&self.backend, &inventory::SERVICE).await?;
        let found = reconcile(&snapshot).await;
        snapshot.close().await;
        let found = found?;
        Reconciled::store(&self.database, at, &found).await?;
        let known = last.map(|last| last.discrepancies).unwrap_or_default();
        let kept = found.discrepancies.len().min(DISCREPANCIES_KEPT);
        tell(known, &found.discrepancies[..kept]);
        tracing::debug!(products = found.products, "stock's sums were looked at");
        Ok(())
    }
}

/// Says of each sum once that it does not hold, and once that it does again.
fn tell(known: Vec<Discrepancy>, found: &[Discrepancy]) {
    let place = |one: &Discrepancy| (one.law.clone(), one.subject.clone());
    let before: BTreeSet<_> = known.iter().map(place).collect();
    let now: BTreeSet<_> = found.iter().map(place).collect();
    let mut new = found.iter().filter(|one| !before.contains(&place(one)));
    for discrepancy in new.by_ref().take(SAID_AT_ONCE) {
        tracing::error!(%discrepancy, "stock does not add up");
    }
    let more = new.count();
    if more > 0 {
        tracing::error!(more, "stock does not add up: sums that are not named here");
    }
    for discrepancy in known.iter().filter(|one| !now.contains(&place(one))).take(SAID_AT_ONCE) {
        let (law, subject) = (&discrepancy.law, &discrepancy.subject);
        tracing::warn!(law, subject, "stock adds up again");
    }
}
