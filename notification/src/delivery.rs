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
use crate::{Channel, Config};

/// Messages of a channel under way at a time.
const AT_ONCE: usize = 8;
/// Messages of a channel taken from the ledger at a time.
const CLAIM_MAX: u32 = 32;
/// So long after a message has left that is written down, with what left meanwhile.
const WRITTEN_WITHIN: Duration = Duration::from_millis(20);
/// The ledger is looked at again at least this often.
const POLL: Duration = Duration::from_millis(500);
/// A message that was being sent for this long belongs to a process that died. Longer than those
/// under way and `CLAIM_MAX / AT_ONCE` tries behind them, of twice 15 s each: 150 s.
const SENDING_MAX: Duration = Duration::from_secs(180);
/// Messages of a channel that have ended and could not be written down yet; no others are taken then.
const ENDED_MAX: usize = 256;
/// What is under way when the process is told to stop may take so long to end.
const END_WITHIN: Duration = Duration::from_secs(1);
/// What stands in the ledger of it then, all together.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(4);

/// No mail waits longer for a server that says "not now": some 45 tries in five days.
const MAIL_LONGEST: Duration = Duration::from_secs(4 * 3_600);
/// No webhook does: some 36 tries in a day.
const WEBHOOK_LONGEST: Duration = Duration::from_secs(3_600);
/// A mail that may have been taken waits 5 minutes, an hour, and 4 hours: an outage of a morning
/// costs it nothing, and whoever did take it has it four times at the most.
const UNKNOWN_FIRST: Duration = Duration::from_secs(300);
/// As above.
const UNKNOWN_TIMES: u32 = 12;
/// No message is tried again sooner.
const SOONEST: Duration = Duration::from_secs(1);

/// Tells the channels that there may be something for them.
#[derive(Default)]
pub(crate) struct Due {
    email: Notify,
    sms: Notify,
    webhook: Notify,
}

impl Due {
    /// There may be something for any of them.
    pub(crate) fn wake(&self) {
        Channel::all().for_each(|channel| self.of(channel).notify_one());
    }

    const fn of(&self, channel: Channel) -> &Notify {
        match channel {
            Channel::Email => &self.email,
            Channel::Sms => &self.sms,
            Channel::Webhook => &self.webhook,
        }
    }
}

/// Sends what is due until told to stop.
pub(crate) struct Delivery {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) config: Arc<Config>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) due: Arc<Due>,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Where the length of a pause comes from.
    pub(crate) chance: Chance,
}

impl Delivery {
    /// Each channel by itself: a mail server that does not answer holds up no webhook.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let lane = |channel| Lane::new(&self, channel).run(&stop);
        join_all(Channel::all().map(lane)).await;
    }

    async fn try_to_send(&self, entry: &Entry) -> Result<(), DeliveryError> {
        let sent = self.channels.send(entry, (self.now)());
        // A server may answer each word in time and never come to an end. It may have taken it.
        let ended = timeout(self.try_max(), sent).await;
        ended.unwrap_or_else(|_| Err(DeliveryError::Unknown("no end in time".to_owned())))
    }

    /// A try takes no longer.
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
            tracing::error!(notification = %entry.id, %error, "gave up");
            return ledger::failed(&self.database, entry, &error.to_string(), None).await;
        };
        tracing::warn!(notification = %entry.id, %error, ?wait, "not delivered");
        // It is tried to the end of its time, and not beyond.
        let end = entry.asked_at.plus(self.config.retry_for(entry.channel));
        let at = now.plus(wait).min(end).max(now.plus(SOONEST));
        match error {
            // The try counts for nothing: nobody was there.
            DeliveryError::Unavailable(error) => {
                ledger::away(&self.database, &[entry], error, at).await
            }
            DeliveryError::Unknown(error) => {
                ledger::in_doubt(&self.database, entry, error, at).await
            }
            error => ledger::failed(&self.database, entry, &error.to_string(), Some(at)).await,
        }
    }

    /// How long a message waits for its next try, longer and longer; none where there is no other.
    fn wait(&self, entry: &Entry, error: &DeliveryError, now: Timestamp) -> Option<Duration> {
        let (mail, waited) = (entry.channel != Channel::Webhook, now.since(entry.asked_at));
        let first = self.config.backoff.first;
        let longest = match (error, mail) {
            (DeliveryError::Permanent(_), _) => return None,
            _ if waited >= self.config.retry_for(entry.channel) => return None,
            (DeliveryError::Unavailable(_), _) => self.config.backoff.longest,
            // Who has taken a mail and did not say so gets it again with each try. A webhook knows
            // it by its id.
            (DeliveryError::Unknown(_), true) => {
                let times = UNKNOWN_TIMES.saturating_pow(entry.in_doubt.min(9));
                let backoff =
                    Backoff { first: UNKNOWN_FIRST.saturating_mul(times), longest: MAIL_LONGEST };
                let again = entry.in_doubt.saturating_add(1) < self.config.attempts_max;
                return again.then(|| backoff.wait(0, self.chance.number()));
            }
            (DeliveryError::NotNow { .. }, true) => MAIL_LONGEST,
            (DeliveryError::NotNow { .. } | DeliveryError::Unknown(_), false) => WEBHOOK_LONGEST,
        };
        // By how long it has waited: half of that again, and by chance up to all of it.
        let first = (waited / 2).clamp(first.min(longest), longest);
        let wait = Backoff { first, longest }.wait(1, self.chance.number());
        match error {
            DeliveryError::NotNow { again_after: Some(after), .. } => Some(wait.max(*after)),
            _ => Some(wait),
        }
    }
}

/// The messages of one channel that this process has taken from the ledger.
struct Lane<'a> {
    delivery: &'a Delivery,
    channel: Channel,
    /// Not begun yet.
    waiting: VecDeque<Entry>,
    /// Not begun, and too late for that: by their end somebody else might have begun them.
    late: Vec<Entry>,
    /// Begun, by serial.
    begun: BTreeMap<i64, Entry>,
    under_way: FuturesUnordered<BoxFuture<'a, (i64, Result<(), DeliveryError>)>>,
    /// Ended, and not written down yet.
    ended: Vec<(Entry, Result<(), DeliveryError>)>,
    /// When that is to be done. What has left and was not written when the process died leaves again.
    write_at: Instant,
    /// When the ledger is looked at next.
    look_at: Instant,
}

impl<'a> Lane<'a> {
    fn new(delivery: &'a Delivery, channel: Channel) -> Self {
        Self {
            delivery,
            channel,
            waiting: VecDeque::new(),
            late: Vec::new(),
            begun: BTreeMap::new(),
            under_way: FuturesUnordered::new(),
            ended: Vec::new(),
            write_at: Instant::now(),
            look_at: Instant::now(),
        }
    }

    async fn run(mut self, stop: &CancellationToken) {
        let due = self.delivery.due.of(self.channel);
        while !stop.is_cancelled() {
            self.begin();
            let room = self.under_way.len() < AT_ONCE && self.ended.len() < ENDED_MAX;
            let unwritten = !(self.ended.is_empty() && self.late.is_empty());
            tokio::select! {
                () = stop.cancelled() => {}
                Some((serial, sent)) = self.under_way.next() => self.end(serial, sent),
                () = sleep_until(self.write_at), if unwritten => self.write().await,
                () = sleep_until(self.look_at), if room => self.claim().await,
                () = due.notified(), if room => self.claim().await,
            }
        }
        self.stop().await;
    }

    fn begin(&mut self) {
        let delivery = self.delivery;
        while self.under_way.len() < AT_ONCE
            && let Some(entry) = self.waiting.pop_front()
        {
            // Whoever claims it next does so at `next_try_at`.
            if (delivery.now)().plus(delivery.try_max()) > entry.next_try_at {
                self.write_at = self.write_at.min(Instant::now());
                self.late.push(entry);
                continue;
            }
            let serial = entry.serial;
            self.begun.insert(serial, entry.clone());
            self.under_way.push(Box::pin(async move {
                let sent = delivery.try_to_send(&entry).await;
                (serial, sent)
            }));
        }
    }

    /// What is under way goes on while the ledger is asked, however long that takes.
    async fn meanwhile<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let mut asked = pin!(asked);
        loop {
            tokio::select! {
                answer = &mut asked => return answer,
                Some((serial, sent)) = self.under_way.next() => self.end(serial, sent),
            }
        }
    }

    /// Takes what is due. Only where there is room, so that nothing is waiting here then.
    async fn claim(&mut self) {
        let Delivery { database, now, config, .. } = self.delivery;
        let now = now();
        let until = now.plus(SENDING_MAX.max(config.timeout.saturating_mul(12)));
        let claimed = ledger::claim(database, self.channel, now, until, CLAIM_MAX);
        let claimed = self.meanwhile(claimed).await;
        self.look_at = Instant::now();
        match claimed {
            Ok(entries) => {
                if entries.len() < CLAIM_MAX as usize {
                    self.look_at += POLL;
                }
                // What has ended here and could not be written in time does not leave again.
                let known =
                    |entry: &Entry| self.ended.iter().any(|(ended, _)| ended.id == entry.id);
                self.waiting.extend(entries.into_iter().filter(|entry| !known(entry)));
            }
            Err(error) => {
                tracing::warn!(%error, "notification ledger");
                self.look_at += POLL;
            }
        }
    }

    fn end(&mut self, serial: i64, sent: Result<(), DeliveryError>) {
        let Some(entry) = self.begun.remove(&serial) else { return };
        if self.ended.is_empty() {
            self.write_at = Instant::now() + WRITTEN_WITHIN;
        }
        self.ended.push((entry, sent));
        if self.under_way.is_empty() && self.waiting.is_empty() {
            self.write_at = self.write_at.min(Instant::now());
        }
    }

    /// What ended together is written together. What cannot be written now is written later: what has
    /// left would leave again.
    async fn write(&mut self) {
        let Delivery { database, now, .. } = self.delivery;
        let (mut left, mut kept) = (Vec::new(), VecDeque::new());
        for (entry, sent) in self.ended.drain(..) {
            match sent {
                Ok(()) => left.push(entry),
                Err(error) => kept.push_back((entry, error)),
            }
        }
        let written = self.write_all(&mut left, &mut kept).await;
        let late = std::mem::take(&mut self.late);
        if let Err(error) = written {
            tracing::warn!(%error, "notification ledger");
            self.ended.extend(left.into_iter().map(|entry| (entry, Ok(()))));
            self.ended.extend(kept.into_iter().map(|(entry, error)| (entry, Err(error))));
            self.write_at = Instant::now() + POLL;
        } else if !late.is_empty() {
            let late: Vec<&Entry> = late.iter().collect();
            let given_back = ledger::away(database, &late, "its turn had not come in time", now());
            if let Err(error) = self.meanwhile(given_back).await {
                // They are due again when their time is up.
                tracing::warn!(%error, "notification ledger");
            }
        }
    }

    /// Up to the first that cannot be written; takes away what was.
    async fn write_all(
        &mut self,
        left: &mut Vec<Entry>,
        kept: &mut VecDeque<(Entry, DeliveryError)>,
    ) -> Result<(), DatabaseError> {
        let delivery = self.delivery;
        if !left.is_empty() {
            let now = (delivery.now)();
            self.meanwhile(ledger::delivered(&delivery.database, &delivery.outbox, left, now))
                .await?;
            left.clear();
        }
        while let Some((entry, error)) = kept.front() {
            self.meanwhile(delivery.not_delivered(entry, error)).await?;
            kept.pop_front();
        }
        Ok(())
    }

    /// Lets what is under way end, and gives back the rest. A try is not waited for longer: its server
    /// may have taken the message, and sees by its id that it is the same when it comes again.
    async fn stop(mut self) {
        let ending = async {
            while let Some((serial, sent)) = self.under_way.next().await {
                if let Some(entry) = self.begun.remove(&serial) {
                    self.ended.push((entry, sent));
                }
            }
        };
        // What did not end stands among those begun.
        let _ = timeout(END_WITHIN, ending).await;
        self.under_way.clear();
        if timeout(GIVEN_BACK_WITHIN, self.give_back()).await.is_err() {
            tracing::warn!("notification ledger: no answer when the process stopped");
        }
    }

    /// What is not given back is due again when its time is up.
    async fn give_back(&mut self) {
        self.write().await;
        let Delivery { database, now, config, chance, .. } = self.delivery;
        let now = now();
        let (waiting, begun) = (&self.waiting, &self.begun);
        let not_begun = waiting.iter().collect::<Vec<_>>();
        let broken_off = begun.values().collect::<Vec<_>>();
        let again = now.plus(config.backoff.wait(0, chance.number()));
        for (entries, error, at) in [
            (not_begun, "its turn had not come when the process stopped", now),
            (broken_off, "no answer when the process stopped", again),
        ] {
            if !entries.is_empty()
                && let Err(error) = ledger::away(database, &entries, error, at).await
            {
                tracing::warn!(%error, "notification ledger");
            }
        }
    }
}
