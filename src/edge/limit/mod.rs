//! Limits of how often a caller may call, by role and method. Where there is a Redis, all processes
//! that share it count together; this process counts along, and goes on alone while Redis is away
//! or slow. A caller without a limit costs a look at an array.
//! Never here: who a caller is, or what a call means.

mod local; // the counts of this process
mod rules; // which calls of whom are counted, and how many may come

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use http::HeaderMap;
use order_actor::clock::Clock;
use service_edge::Refused;
use shared_events::contract::{Reason, Timestamp};
use shared_events::metric::table::RATE_LIMITED;
use shared_events::stream::redis::{Ask, RateLimit, Redis, Taken};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub use rules::RateRule;

use super::health;
use super::shares::Caller;
use local::{Key, Local};
use rules::{Quota, Rate, Rules};

/// A call does not wait longer for Redis; this process counts it instead.
const ANSWERS_WITHIN: Duration = Duration::from_millis(20);
/// How often a Redis that is away is asked for.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// What callers read of a limit (draft-ietf-httpapi-ratelimit-headers).
const HEADERS: [&str; 2] = ["ratelimit-policy", "ratelimit"];

const UNKNOWN: u8 = 0;
const HERE: u8 = 1;
const AWAY: u8 = 2;

/// The limits of all callers. Clones share their counts.
#[derive(Clone, Default)]
pub struct RateLimits(Option<Arc<Limiter>>);

struct Limiter {
    rules: Rules,
    local: Local,
    shared: Option<Shared>,
    clock: Arc<dyn Clock>,
}

/// The counts of all processes.
struct Shared {
    counts: RateLimit,
    state: AtomicU8,
    lost: Notify,
    away_since: Mutex<Option<Timestamp>>,
}

/// A call that is to be counted before anything is done.
pub(super) struct Counting {
    limiter: Arc<Limiter>,
    quota: Arc<Quota>,
    rate: Rate,
    key: Key,
    /// What this process counted; none where Redis is to be asked.
    taken: Option<Taken>,
}

/// What a caller is told of its limit.
pub(super) struct Standing(Arc<Quota>, Rate, Taken);

impl RateLimits {
    /// With these rules, and the default ones for `authenticated` callers; counted together with
    /// others in this Redis, if there is one.
    ///
    /// # Errors
    /// If two rules say the same.
    pub fn new(
        rules: &[RateRule],
        authenticated: bool,
        redis: Option<Redis>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let rules = Rules::new(rules, authenticated)?;
        if rules.is_empty() {
            return Ok(Self::default());
        }
        let shared = redis.map(|redis| Shared {
            counts: RateLimit::new(redis),
            state: AtomicU8::new(UNKNOWN),
            lost: Notify::new(),
            away_since: Mutex::default(),
        });
        Ok(Self(Some(Arc::new(Limiter { rules, local: Local::new(), shared, clock }))))
    }

    /// Begins to count a call; none if it is not limited. Calls that another process has forwarded
    /// were counted there.
    ///
    /// # Errors
    /// The refusal, where this process knows already that the limit is reached.
    pub(super) fn begin(&self, caller: &Caller, path: &str) -> Result<Option<Counting>, Status> {
        let Some(limiter) = &self.0 else { return Ok(None) };
        let Some(quota) = limiter.rules.of(caller, path) else { return Ok(None) };
        let (rate, key) = (quota.rate, key(quota, caller));
        let asks = limiter.shared.as_ref().is_some_and(Shared::is_here);
        // All processes together have counted at least as many: a flood costs Redis nothing.
        let taken = match asks {
            true => limiter.local.look(&key, rate.pace),
            false => limiter.local.take(&key, rate.pace),
        };
        if !taken.allowed {
            return Err(refused(quota, rate, taken));
        }
        let (limiter, quota) = (Arc::clone(limiter), Arc::clone(quota));
        Ok(Some(Counting { limiter, quota, rate, key, taken: (!asks).then_some(taken) }))
    }

    /// Counts a call that is refused anyway, in this process alone: of somebody without a valid token,
    /// or of one who may not call the method.
    ///
    /// # Errors
    /// The refusal, if the limit of the caller or the address is reached.
    pub(super) fn count_refused(&self, caller: &Caller, path: &str) -> Result<(), Status> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        let Some(quota) = limiter.rules.of_refused(caller, path) else { return Ok(()) };
        let taken = limiter.local.take(&key(quota, caller), quota.rate.pace);
        if taken.allowed { Ok(()) } else { Err(refused(quota, quota.rate, taken)) }
    }

    /// Looks for the Redis when the process starts and whenever it is away, until stopped.
    pub(super) fn running(&self, stop: &CancellationToken) -> Option<BoxFuture<'static, ()>> {
        let limiter = Arc::clone(self.0.as_ref()?);
        limiter.shared.as_ref()?;
        let stop = stop.clone();
        Some(
            async move { stop.run_until_cancelled(limiter.keep_asking()).await.unwrap_or(()) }
                .boxed(),
        )
    }

    /// Whether there is a Redis.
    pub(crate) fn are_shared(&self) -> bool {
        self.0.as_ref().is_some_and(|limiter| limiter.shared.is_some())
    }

    /// Why this process counts alone although there is a Redis, for operators.
    #[must_use]
    pub(crate) fn degraded(&self) -> Option<health::Reason> {
        let shared = self.0.as_ref()?.shared.as_ref()?;
        let since = *shared.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        let text = "Redis does not answer: this process counts calls by itself".to_owned();
        since.map(|since| health::Reason { text, since })
    }
}

impl Limiter {
    async fn keep_asking(self: Arc<Self>) {
        let Some(shared) = &self.shared else { return };
        loop {
            // The first one may have to connect; the second must be as quick as calls need it.
            let answers = match shared.counts.ping().await {
                Ok(()) => {
                    timeout(ANSWERS_WITHIN, shared.counts.ping()).await.is_ok_and(|it| it.is_ok())
                }
                Err(error) => {
                    tracing::debug!(%error, "the Redis of rate limits does not answer");
                    false
                }
            };
            shared.set((!answers).then(|| self.clock.now()));
            if answers {
                shared.lost.notified().await;
            }
            sleep(ASKED_EVERY).await;
        }
    }
}

impl Shared {
    fn is_here(&self) -> bool {
        self.state.load(Ordering::Relaxed) == HERE
    }

    /// Notes whether it answers, and since when it does not. Each change is logged once.
    fn set(&self, away: Option<Timestamp>) {
        let state = if away.is_some() { AWAY } else { HERE };
        let before = self.state.swap(state, Ordering::Relaxed);
        if before == state {
            return;
        }
        *self.away_since.lock().unwrap_or_else(PoisonError::into_inner) = away;
        match away {
            Some(_) => {
                tracing::warn!("rate limits: Redis does not answer; each process counts alone");
            }
            None if before == AWAY => tracing::warn!("rate limits: Redis answers again"),
            None => {}
        }
    }

    /// It did not answer a call: it is asked for again by itself.
    fn lose(&self, now: Timestamp) {
        self.set(Some(now));
        self.lost.notify_one();
    }
}

impl Counting {
    /// Counts the call.
    ///
    /// # Errors
    /// The refusal, if the limit is reached.
    pub(super) async fn settle(self) -> Result<Standing, Status> {
        let Self { limiter, quota, rate, key, taken } = self;
        let taken = match taken {
            Some(taken) => taken,
            None => limiter.ask(&key, rate).await,
        };
        if !taken.allowed {
            return Err(refused(&quota, rate, taken));
        }
        Ok(Standing(quota, rate, taken))
    }
}

impl Limiter {
    async fn ask(&self, key: &Key, Rate { pace, .. }: Rate) -> Taken {
        if let Some(shared) = self.shared.as_ref().filter(|shared| shared.is_here()) {
            let (known, asked) = (self.local.look(key, pace).ahead, self.local.now());
            let ask = Ask { known, ..Ask::of(pace) };
            match timeout(ANSWERS_WITHIN, shared.counts.take(&key.name, &ask)).await {
                Ok(Ok(taken)) => {
                    self.local.learn(key, taken, asked);
                    return taken;
                }
                // It may have counted the call; the call itself is done once.
                Ok(Err(_)) | Err(_) => shared.lose(self.clock.now()),
            }
        }
        self.local.take(key, pace)
    }
}

impl Standing {
    /// Says how many calls are left.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let Self(quota, rate, taken) = self;
        for (name, value) in std::iter::zip(HEADERS, said(quota, *rate, *taken)) {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        }
    }
}

/// The values of [`HEADERS`].
fn said(quota: &Quota, rate: Rate, taken: Taken) -> [String; 2] {
    let (name, Rate { per_minute, pace }) = (&quota.name, rate);
    let (left, seconds) = (pace.remaining(taken.ahead), taken.ahead.div_ceil(1_000_000));
    let left = if taken.allowed { left } else { 0 };
    [format!("\"{name}\";q={per_minute};w=60"), format!("\"{name}\";r={left};t={seconds}")]
}

fn refused(quota: &Quota, rate: Rate, taken: Taken) -> Status {
    let (name, Rate { per_minute, pace }) = (&quota.name, rate);
    RATE_LIMITED.one([name]);
    let message =
        format!("more than {per_minute} calls a minute (limit {name}); nothing was begun");
    let refused = Refused::new(Reason::RateLimited).with("limit", name);
    let refused = refused.with("per_minute", per_minute);
    let mut status = refused.again_after(pace.retry_after(taken.ahead)).say(&message);
    for (header, value) in std::iter::zip(HEADERS, said(quota, rate, taken)) {
        if let Ok(value) = value.parse() {
            status.metadata_mut().insert(header, value);
        }
    }
    status
}

/// Names a caller's count. Neither customers nor addresses stand in Redis as they are.
fn key(quota: &Quota, caller: &Caller) -> Key {
    let hash = caller.hash();
    let known = matches!(caller, Caller::Known(..));
    Key { name: format!("{}:{hash}", quota.name), known }
}
