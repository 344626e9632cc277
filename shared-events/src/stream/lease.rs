use std::time::Duration;

use sqlx::{AnyConnection, Connection as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::database::{Database, DatabaseError};
use super::lease_thread::spawn_for_lease;
use super::{Dialect, FollowStatus, Scope};

/// How long others treat a silent holder as alive.
const LEASE: Duration = Duration::from_secs(8);
/// How often the lease is renewed, and how often a candidate on standby tries.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// How long after its last good renewal a follower stops by itself.
const SELF_STOP: Duration = Duration::from_secs(5);

/// A candidate for a follower that one process runs at a time; the others stand by. A lease in the
/// follower's own database selects it. The lease decides only who does the work: double effects are
/// prevented by [`super::Cursors::store`], so a holder that slept past its lease does no harm.
pub struct Candidacy {
    database: Database,
    follower: String,
    scope: watch::Sender<Scope>,
    /// For the lease alone, so that it never waits for a place in the pool.
    session: Option<AnyConnection>,
    /// Gets the failures of the lease.
    status: Option<FollowStatus>,
}

impl Candidacy {
    /// A candidate for this name. The scope returned with it is everything while this process has
    /// the lease and nothing otherwise. On SQLite, which one process has to itself, it is always
    /// everything.
    #[must_use]
    pub fn new(database: Database, follower: &str) -> (Self, watch::Receiver<Scope>) {
        let first = match database.dialect() {
            Dialect::Sqlite => Scope::All,
            Dialect::Postgres => Scope::nothing(),
        };
        let (scope, receiver) = watch::channel(first);
        let follower = follower.to_owned();
        (Self { database, follower, scope, session: None, status: None }, receiver)
    }

    /// Reports failures of the lease in the follower's status.
    #[must_use]
    pub fn reporting_to(mut self, status: FollowStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Takes the lease whenever it is free and renews it until `stop`; then releases it. Runs on a
    /// session and a thread of its own, which no load delays.
    pub async fn run(self, stop: CancellationToken) {
        if self.database.dialect() == Dialect::Postgres {
            // It ends with `stop`, even if it is not awaited.
            drop(spawn_for_lease(self.compete(stop)).await);
        }
    }

    async fn compete(mut self, stop: CancellationToken) {
        let (mut renewed, mut failing): (Option<Instant>, bool) = (None, false);
        let mut answered = Instant::now();
        while !stop.is_cancelled() {
            let asked = Instant::now();
            let taken = timeout(RENEW_EVERY, self.take()).await;
            let error = match taken {
                Ok(Ok(true)) => {
                    if renewed.is_none() {
                        tracing::info!(follower = self.follower, "follows from now on");
                    }
                    renewed = Some(asked);
                    None
                }
                Ok(Ok(false)) => {
                    renewed = None;
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            self.log_changes(error.as_deref(), failing);
            failing = error.is_some();
            if !failing {
                answered = asked;
            }
            self.report(error.filter(|_| answered.elapsed() >= LEASE));
            if renewed.is_some_and(|at| at.elapsed() >= SELF_STOP) {
                renewed = None;
            }
            let scope = if renewed.is_some() { Scope::All } else { Scope::nothing() };
            self.scope.send_if_modified(|known| {
                let news = *known != scope;
                *known = scope;
                news
            });
            tokio::select! {
                () = sleep_until(asked + RENEW_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        self.scope.send_replace(Scope::nothing());
        if renewed.is_some()
            && let Err(error) = self.release().await
        {
            tracing::warn!(follower = self.follower, %error, "its lease will run out");
        }
    }

    /// Logs a failure when it begins and when it has ended.
    fn log_changes(&self, error: Option<&str>, failing: bool) {
        let follower = self.follower.as_str();
        match error {
            Some(error) if !failing => {
                tracing::warn!(follower, error, "its lease could not be renewed");
            }
            None if failing => tracing::info!(follower, "its lease is renewed again"),
            _ => {}
        }
    }

    fn report(&self, error: Option<String>) {
        if let Some(status) = &self.status {
            let failure = error.map(|error| format!("its lease is not renewed: {error}"));
            status.set_lease_failure(failure);
        }
    }

    /// The session of the lease, taken out of its place: one that failed or was cancelled is
    /// closed.
    async fn session(&mut self) -> Result<AnyConnection, DatabaseError> {
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        let mut session =
            AnyConnection::connect_with(&self.database.reader().connect_options()).await?;
        self.database.begin_session(&mut session).await?;
        Ok(session)
    }

    /// Takes or renews it where it is ours, ran out, or belongs to a process without a session,
    /// which cannot commit anything before it has a new one.
    async fn take(&mut self) -> Result<bool, DatabaseError> {
        let mut session = self.session().await?;
        let hit = sqlx::query(
            "INSERT INTO follower_leases (follower, holder, lease_until)
             VALUES ($1, $2, clock_timestamp() + $3 * interval '1 microsecond')
             ON CONFLICT (follower) DO UPDATE
                 SET holder = excluded.holder, lease_until = excluded.lease_until
             WHERE follower_leases.holder = excluded.holder
                OR follower_leases.lease_until <= clock_timestamp()
                OR NOT EXISTS (SELECT 1 FROM pg_stat_activity
                               WHERE application_name = follower_leases.holder)",
        )
        .bind(&self.follower)
        .bind(self.database.session_name())
        .bind(i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX))
        .execute(&mut session)
        .await?;
        self.session = Some(session);
        Ok(hit.rows_affected() == 1)
    }

    async fn release(&mut self) -> Result<(), DatabaseError> {
        let mut session = self.session().await?;
        sqlx::query("DELETE FROM follower_leases WHERE follower = $1 AND holder = $2")
            .bind(&self.follower)
            .bind(self.database.session_name())
            .execute(&mut session)
            .await?;
        Ok(session.close().await?)
    }
}
