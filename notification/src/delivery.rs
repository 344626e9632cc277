use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use shared_events::chance::Chance;
use shared_events::contract::Timestamp;
use shared_events::stream::{Backoff, Database, DatabaseError, Outbox};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channels, DeliveryError};
use crate::ledger::{self, Entry};
use crate::{Channel, Config, Route, meter, traced};

/// Messages of a route that are sent at the same time.
const IN_FLIGHT_MAX: usize = 8;
/// Messages of a route claimed from the ledger at a time.
const CLAIM_MAX: u32 = 32;
/// Outcomes are collected this long and then recorded together.
const RECORD_DELAY: Duration = Duration::from_millis(20);
/// The longest pause between two looks at the ledger.
const POLL: Duration = Duration::from_millis(500);
/// How long a claim lasts; after that its process is presumed dead. Longer than the tries in flight
/// and `CLAIM_MAX / IN_FLIGHT_MAX` rounds behind them, of twice 15 s each: 150 s.
const CLAIM_LASTS: Duration = Duration::from_secs(180);
/// Unrecorded outcomes of a route at which it stops claiming.
const OUTCOMES_MAX: usize = 256;
/// How much longer than its retries a call to an endpoint that is not configured is kept, so that a
/// process that knows the endpoint makes the last of them.
const UNROUTED_GRACE: Duration = Duration::from_secs(3_600);
/// The pause between two looks for messages whose endpoint is not configured.
const UNROUTED_POLL: Duration = Duration::from_secs(600);
/// How long messages in flight may take to finish at shutdown.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
/// How long recording and releasing may take at shutdown, all together.
const RELEASE_WITHIN: Duration = Duration::from_secs(4);

/// The longest delay between tries of a deferred mail: some 45 tries in five days.
const MAIL_DELAY_MAX: Duration = Duration::from_secs(4 * 3_600);
/// The longest delay between tries of a webhook call or an SMS: some 36 tries in a day.
const WEBHOOK_DELAY_MAX: Duration = Duration::from_secs(3_600);
/// A mail or an SMS of unknown outcome is retried after 5 minutes, an hour and 4 hours: it outlasts an outage
/// of a morning, and a server that did accept it gets at most four copies.
const UNKNOWN_FIRST: Duration = Duration::from_secs(300);
/// The factor between these delays.
const UNKNOWN_FACTOR: u32 = 12;
/// The shortest delay before a retry.
const DELAY_MIN: Duration = Duration::from_secs(1);

/// Wakes the routes when there may be due messages.
pub(crate) struct Due(BTreeMap<Route, Notify>);

impl Due {
    pub(crate) fn new(config: &Config) -> Self {
        Self(config.routes().into_iter().map(|route| (route, Notify::new())).collect())
    }

    /// Wakes all of them.
    pub(crate) fn wake(&self) {
        self.0.values().for_each(Notify::notify_one);
    }
}

/// Sends due messages until stopped.
pub(crate) struct Delivery {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) config: Arc<Config>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) due: Arc<Due>,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Randomises delays.
    pub(crate) chance: Chance,
}

impl Delivery {
    /// One lane per route: a server that does not answer delays nothing that others are sent.
    pub(crate) async fn run(self, stop: CancellationToken) {
        meter::begin();
        let lane = |(route, due)| Lane::new(&self, route, due).run(&stop);
        let lanes = join_all(self.due.0.iter().map(lane));
        tokio::join!(lanes, self.fail_unrouted(&stop));
    }

    /// Calls to endpoints that are configured no more fail once they would not be retried any
    /// longer. Until then they wait: another process may know the endpoint.
    async fn fail_unrouted(&self, stop: &CancellationToken) {
        loop {
            let (now, known) = ((self.now)(), self.due.0.keys());
            let kept = self.config.webhook_retry_for.saturating_add(UNROUTED_GRACE).as_micros();
            let asked_before = now.micros().saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX));
            let asked_before = Timestamp::from_micros(asked_before);
            match ledger::fail_unrouted(&self.database, known, asked_before, now).await {
                Ok(0) => {}
                Ok(messages) => {
                    tracing::error!(messages, "failed: webhook endpoint not configured");
                    meter::failed(Channel::Webhook, messages);
                }
                Err(error) => tracing::warn!(%error, "notification ledger"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(UNROUTED_POLL) => {}
            }
        }
    }

    async fn try_to_send(&self, entry: &Entry) -> Result<(), DeliveryError> {
        // A server may answer each step in time and still never finish. It may have accepted it.
        let ended = timeout(self.try_max(), self.channels.send(entry, (self.now)())).await;
        ended.unwrap_or_else(|_| Err(DeliveryError::Unknown("timeout".to_owned())))
    }

    /// The longest that one try takes.
    fn try_max(&self) -> Duration {
        self.config.timeout.saturating_mul(2)
    }

    async fn not_delivered(
        &self,
        entry: &Entry,
        error: &DeliveryError,
    ) -> Result<(), DatabaseError> {
        let now = (self.now)();
        let Some(wait) = self.wait(entry, error, now) else {
            traced::not_delivered(entry, error, None);
            ledger::failed(&self.database, entry, &error.to_string(), now, None).await?;
            meter::failed(entry.channel, 1);
            return Ok(());
        };
        traced::not_delivered(entry, error, Some(wait));
        // The last try is at the end of the retry period, not after it.
        let end = entry.asked_at.plus(self.config.retry_for(entry.channel));
        let at = now.plus(wait).min(end).max(now.plus(DELAY_MIN));
        match error {
            // No connection was made, so the try does not count.
            DeliveryError::Unavailable(error) => {
                ledger::unavailable(&self.database, &[entry], error, Some(now), at).await
            }
            DeliveryError::Unknown(error) => {
                ledger::in_doubt(&self.database, entry, error, now, at).await
            }
            error => ledger::failed(&self.database, entry, &error.to_string(), now, Some(at)).await,
        }
    }

    /// The delay before the next try, which grows with the time waited; none where it has failed.
    fn wait(&self, entry: &Entry, error: &DeliveryError, now: Timestamp) -> Option<Duration> {
        let waited = now.since(entry.asked_at);
        let first = self.config.backoff.first;
        let longest = match (error, entry.channel) {
            (DeliveryError::Permanent(_), _) => return None,
            _ if waited >= self.config.retry_for(entry.channel) => return None,
            (DeliveryError::Unavailable(_), _) => self.config.backoff.longest,
            // A mail server that accepted it gets another copy with each try, and a gateway may send
            // the SMS twice. A webhook receiver knows duplicates by their id.
            (DeliveryError::Unknown(_), Channel::Email | Channel::Sms) => {
                let times = UNKNOWN_FACTOR.saturating_pow(entry.in_doubt.min(9));
                let backoff =
                    Backoff { first: UNKNOWN_FIRST.saturating_mul(times), longest: MAIL_DELAY_MAX };
                let again = entry.in_doubt.saturating_add(1) < self.config.attempts_max;
                return again.then(|| backoff.wait(0, self.chance.number()));
            }
            (DeliveryError::Deferred { .. }, Channel::Email) => MAIL_DELAY_MAX,
            (DeliveryError::Deferred { .. } | DeliveryError::Unknown(_), _) => WEBHOOK_DELAY_MAX,
        };
        // Between half and all of the time that it has waited so far, at random.
        let first = (waited / 2).clamp(first.min(longest), longest);
        let wait = Backoff { first, longest }.wait(1, self.chance.number());
        match error {
            DeliveryError::Deferred { retry_after: Some(after), .. } => Some(wait.max(*after)),
            _ => Some(wait),
        }
    }
}

/// The messages of one route that this process has claimed.
struct Lane<'a> {
    delivery: &'a Delivery,
    route: &'a Route,
    due: &'a Notify,
    /// Claimed, not begun.
    waiting: VecDeque<Entry>,
    /// Claimed, but the claim would expire before a try could finish.
    expired: Vec<Entry>,
    /// Being sent, by serial.
    sending: BTreeMap<i64, Entry>,
    in_flight: FuturesUnordered<BoxFuture<'a, (i64, Result<(), DeliveryError>)>>,
    /// Outcomes that are not recorded yet.
    outcomes: Vec<(Entry, Result<(), DeliveryError>)>,
    /// When to record them. A message sent but not recorded when the process dies is sent again.
    record_at: Instant,
    /// When to look at the ledger next.
    poll_at: Instant,
}

impl<'a> Lane<'a> {
    fn new(delivery: &'a Delivery, route: &'a Route, due: &'a Notify) -> Self {
        Self {
            delivery,
            route,
            due,
            waiting: VecDeque::new(),
            expired: Vec::new(),
            sending: BTreeMap::new(),
            in_flight: FuturesUnordered::new(),
            outcomes: Vec::new(),
            record_at: Instant::now(),
            poll_at: Instant::now(),
        }
    }

    async fn run(mut self, stop: &CancellationToken) {
        let due = self.due;
        while !stop.is_cancelled() {
            self.begin();
            let room = self.in_flight.len() < IN_FLIGHT_MAX && self.outcomes.len() < OUTCOMES_MAX;
            let unrecorded = !(self.outcomes.is_empty() && self.expired.is_empty());
            tokio::select! {
                () = stop.cancelled() => {}
                Some((serial, sent)) = self.in_flight.next() => self.end(serial, sent),
                () = sleep_until(self.record_at), if unrecorded => self.record().await,
                () = sleep_until(self.poll_at), if room => self.claim().await,
                () = due.notified(), if room => self.claim().await,
            }
        }
        self.stop().await;
    }

    fn begin(&mut self) {
        let delivery = self.delivery;
        while self.in_flight.len() < IN_FLIGHT_MAX
            && let Some(entry) = self.waiting.pop_front()
        {
            // Its claim expires at `next_try_at`.
            if (delivery.now)().plus(delivery.try_max()) > entry.next_try_at {
                self.record_at = self.record_at.min(Instant::now());
                self.expired.push(entry);
                continue;
            }
            self.sending.insert(entry.serial, entry.clone());
            self.in_flight.push(Box::pin(async move {
                let mut entry = entry;
                let span = traced::sending(&mut entry);
                let sent = delivery.try_to_send(&entry).await;
                traced::end(span, &sent);
                (entry.serial, sent)
            }));
        }
    }

    /// Awaits the ledger while messages in flight continue.
    async fn while_sending<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let mut asked = pin!(asked);
        loop {
            tokio::select! {
                answer = &mut asked => return answer,
                Some((serial, sent)) = self.in_flight.next() => self.end(serial, sent),
            }
        }
    }

    /// Claims due messages. Called only where there is room, so none is waiting here.
    async fn claim(&mut self) {
        let Delivery { database, now, config, .. } = self.delivery;
        let now = now();
        let until = now.plus(CLAIM_LASTS.max(config.timeout.saturating_mul(12)));
        let claimed = ledger::claim(database, self.route.clone(), now, until, CLAIM_MAX);
        let claimed = self.while_sending(claimed).await;
        self.poll_at = Instant::now();
        match claimed {
            Ok(entries) => {
                if entries.len() < CLAIM_MAX as usize {
                    self.poll_at += POLL;
                }
                // A message whose outcome is here, but could not be recorded yet, is not sent
                // again.
                let known =
                    |entry: &Entry| self.outcomes.iter().any(|(known, _)| known.id == entry.id);
                self.waiting.extend(entries.into_iter().filter(|entry| !known(entry)));
            }
            Err(error) => {
                tracing::warn!(%error, "notification ledger");
                self.poll_at += POLL;
            }
        }
    }

    fn end(&mut self, serial: i64, sent: Result<(), DeliveryError>) {
        let Some(entry) = self.sending.remove(&serial) else { return };
        meter::tried(entry.channel, &sent);
        if self.outcomes.is_empty() {
            self.record_at = Instant::now() + RECORD_DELAY;
        }
        self.outcomes.push((entry, sent));
        if self.in_flight.is_empty() && self.waiting.is_empty() {
            self.record_at = self.record_at.min(Instant::now());
        }
    }

    /// Records the collected outcomes together. Those that cannot be recorded now are kept, because
    /// their messages would be sent again.
    async fn record(&mut self) {
        let Delivery { database, now, .. } = self.delivery;
        let (mut delivered, mut failed) = (Vec::new(), VecDeque::new());
        for (entry, sent) in self.outcomes.drain(..) {
            match sent {
                Ok(()) => delivered.push(entry),
                Err(error) => failed.push_back((entry, error)),
            }
        }
        let recorded = self.record_all(&mut delivered, &mut failed).await;
        let expired = std::mem::take(&mut self.expired);
        if let Err(error) = recorded {
            tracing::warn!(%error, "notification ledger");
            self.outcomes.extend(delivered.into_iter().map(|entry| (entry, Ok(()))));
            self.outcomes.extend(failed.into_iter().map(|(entry, error)| (entry, Err(error))));
            self.record_at = Instant::now() + POLL;
        } else if !expired.is_empty() {
            let expired: Vec<&Entry> = expired.iter().collect();
            let error = "not sent before its claim expired";
            let released = ledger::unavailable(database, &expired, error, None, now());
            if let Err(error) = self.while_sending(released).await {
                // They are due again when their claim expires.
                tracing::warn!(%error, "notification ledger");
            }
        }
    }

    /// Stops at the first that cannot be recorded; removes those that were.
    async fn record_all(
        &mut self,
        delivered: &mut Vec<Entry>,
        failed: &mut VecDeque<(Entry, DeliveryError)>,
    ) -> Result<(), DatabaseError> {
        let delivery = self.delivery;
        if !delivered.is_empty() {
            let now = (delivery.now)();
            self.while_sending(ledger::delivered(
                &delivery.database,
                &delivery.outbox,
                delivered,
                now,
            ))
            .await?;
            delivered.clear();
        }
        while let Some((entry, error)) = failed.front() {
            self.while_sending(delivery.not_delivered(entry, error)).await?;
            failed.pop_front();
        }
        Ok(())
    }

    /// Waits briefly for messages in flight and releases the others. A try that is cut off may have
    /// been accepted; its server can recognise the next one by its id.
    async fn stop(mut self) {
        let ending = async {
            while let Some((serial, sent)) = self.in_flight.next().await {
                if let Some(entry) = self.sending.remove(&serial) {
                    self.outcomes.push((entry, sent));
                }
            }
        };
        // Those that do not finish stay in `sending`.
        let _ = timeout(DRAIN_WITHIN, ending).await;
        self.in_flight.clear();
        if timeout(RELEASE_WITHIN, self.release()).await.is_err() {
            tracing::warn!("notification ledger: no answer at shutdown");
        }
    }

    /// Messages that cannot be released are due again when their claim expires.
    async fn release(&mut self) {
        self.record().await;
        let Delivery { database, now, config, chance, .. } = self.delivery;
        let now = now();
        let (waiting, sending) = (&self.waiting, &self.sending);
        let not_begun = waiting.iter().collect::<Vec<_>>();
        let interrupted = sending.values().collect::<Vec<_>>();
        let again = now.plus(config.backoff.wait(0, chance.number()));
        for (entries, error, tried_at, at) in [
            (not_begun, "not sent before shutdown", None, now),
            (interrupted, "interrupted by shutdown", Some(now), again),
        ] {
            if entries.is_empty() {
                continue;
            }
            let released = ledger::unavailable(database, &entries, error, tried_at, at);
            if let Err(error) = released.await {
                tracing::warn!(%error, "notification ledger");
            }
        }
    }
}
