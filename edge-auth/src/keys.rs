//! The keys of an issuer, kept up to date: fetched now and then, and soon after a token names one
//! that is not known, but never more often than the cool-down allows. While the issuer does not
//! answer, its last keys count.
//! Never here: what keys verify.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use shared_events::metric::table::JWKS_FETCHES;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::fetch::{Fetch, FetchError};
use crate::issuer::JwksTimes;
use crate::key::{Algorithm, Jwk, PublicKey};

/// The least time between two fetches by default.
pub const COOLDOWN: Duration = Duration::from_secs(30);
/// How long a fetch may take, and how long a call waits for it.
pub const FETCH_WITHIN: Duration = Duration::from_secs(5);
/// Calls that wait for a fetch; each holds its headers meanwhile.
pub const WAITING_MAX: usize = 256;
/// Keys of an issuer that are read; real ones have two to five.
const KEYS_MAX: usize = 100;
/// How a fetch ends, as it is counted.
const FETCHED: &str = "fetched";
const FAILED: &str = "failed";

/// The public keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<PublicKey>);

/// Keys that we cannot use are left out, whatever they look like.
impl<'de> Deserialize<'de> for KeySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Listed {
            keys: Vec<Value>,
        }
        let listed = Listed::deserialize(deserializer)?.keys.into_iter().take(KEYS_MAX);
        let keys = listed.filter_map(|value| serde_json::from_value::<Jwk>(value).ok());
        Ok(Self(keys.filter_map(PublicKey::new).collect()))
    }
}

impl KeySet {
    /// Of one key.
    #[must_use]
    pub fn of(key: PublicKey) -> Self {
        Self(vec![key])
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of this name; without a name the only one of its algorithm.
    fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Option<&PublicKey> {
        let mut keys = self.0.iter().filter(|key| {
            key.algorithm() == algorithm && (name.is_none() || key.name.as_deref() == name)
        });
        let first = keys.next()?;
        // Two keys of one name are a mistake of the issuer's; of the first, as others do.
        (name.is_some() || keys.next().is_none()).then_some(first)
    }
}

/// Where keys come from.
enum Origin {
    /// From the settings: they never change.
    Own,
    /// From the issuer.
    Fetched(Arc<dyn Fetch>, JwksTimes),
}

#[derive(Default)]
struct State {
    keys: Arc<KeySet>,
    /// The number of the last change of `keys`.
    generation: u64,
    /// When they were last fetched.
    fetched: Option<Instant>,
    /// When a fetch last began.
    attempted: Option<Instant>,
    fetching: bool,
}

/// What there is to verify a token with.
pub(crate) enum Lookup {
    /// Its key, and the number of the keys' last change.
    Key(PublicKey, u64),
    /// The key is not known, and may be one that the issuer has only now: wait for a fetch.
    Ask,
    /// The key is not known, and keys were fetched only now.
    Unknown,
    /// The issuer has not answered for too long.
    Unavailable,
}

/// The keys of one issuer.
pub(crate) struct Keys {
    name: String,
    origin: Origin,
    state: Mutex<State>,
    asked: Notify,
    /// Changes whenever a fetch has ended.
    fetches: watch::Sender<u64>,
    waiting: Semaphore,
}

impl Keys {
    /// Of an issuer of one's own.
    pub(crate) fn own(name: &str, keys: KeySet) -> Self {
        Self::new(name, Origin::Own, keys)
    }

    /// Of an issuer that is asked for them.
    pub(crate) fn fetched(name: &str, fetch: Arc<dyn Fetch>, times: JwksTimes) -> Self {
        Self::new(name, Origin::Fetched(fetch, times), KeySet::default())
    }

    fn new(name: &str, origin: Origin, keys: KeySet) -> Self {
        Self {
            name: name.to_owned(),
            origin,
            state: Mutex::new(State { keys: Arc::new(keys), ..State::default() }),
            asked: Notify::new(),
            fetches: watch::Sender::new(0),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose keys they are, and how long ago they were fetched; none if they were not yet.
    pub(crate) fn age(&self) -> Option<(&str, Duration)> {
        Some((&self.name, self.state().fetched?.elapsed()))
    }

    /// The number of the last change, while the keys count.
    pub(crate) fn generation(&self) -> Option<u64> {
        let state = self.state();
        self.count(&state, Instant::now()).then_some(state.generation)
    }

    /// Whether the keys that are known still count.
    fn count(&self, state: &State, now: Instant) -> bool {
        match &self.origin {
            Origin::Own => true,
            Origin::Fetched(_, times) => {
                state.fetched.is_some_and(|at| now.duration_since(at) < times.stale_for)
            }
        }
    }

    /// The key of this name.
    pub(crate) fn lookup(&self, name: Option<&str>, algorithm: Algorithm) -> Lookup {
        let (state, now) = (self.state(), Instant::now());
        let counts = self.count(&state, now);
        if let Some(key) = state.keys.find(name, algorithm).filter(|_| counts) {
            return Lookup::Key(key.clone(), state.generation);
        }
        let Origin::Fetched(_, times) = &self.origin else { return Lookup::Unknown };
        let rested = state.attempted.is_none_or(|at| now.duration_since(at) >= times.cooldown);
        match (state.fetching || rested, counts) {
            (true, _) => Lookup::Ask,
            (false, true) => Lookup::Unknown,
            (false, false) => Lookup::Unavailable,
        }
    }

    /// Waits for the fetch under way, or for the next one, which it asks for. False if there was
    /// none in time, or too many wait.
    pub(crate) async fn fetched_anew(&self) -> bool {
        let Ok(_waiting) = self.waiting.try_acquire() else { return false };
        let mut fetches = self.fetches.subscribe();
        self.asked.notify_one();
        // It may have ended between the look at the keys and the subscription.
        match &self.origin {
            Origin::Fetched(_, times) => {
                let state = self.state();
                let now = Instant::now();
                let ended = !state.fetching
                    && state.attempted.is_some_and(|at| now.duration_since(at) < times.cooldown);
                if ended {
                    return true;
                }
            }
            Origin::Own => return true,
        }
        matches!(timeout(FETCH_WITHIN, fetches.changed()).await, Ok(Ok(())))
    }

    /// Fetches once, at the start. An issuer that does not answer yet is asked again by [`run`].
    ///
    /// [`run`]: Self::run
    pub(crate) async fn begin(&self) -> Result<(), FetchError> {
        if let Origin::Fetched(..) = self.origin {
            [FETCHED, FAILED].into_iter().for_each(|outcome| JWKS_FETCHES.may_be([outcome]));
        }
        match self.fetch().await {
            Err(error @ FetchError::OtherIssuer { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// Keeps the keys up to date until stopped.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let Origin::Fetched(_, times) = &self.origin else { return };
        let mut succeeded = self.state().fetched.is_some();
        if self.state().attempted.is_none() {
            succeeded = self.fetch().await.is_ok();
        }
        loop {
            let since = self.state().attempted.unwrap_or_else(Instant::now);
            let pause = if succeeded { times.refresh } else { times.cooldown };
            let asked = async {
                sleep_until(since + times.cooldown).await;
                self.asked.notified().await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(since + pause) => {}
                () = asked => {}
            }
            succeeded = self.fetch().await.is_ok();
        }
    }

    async fn fetch(&self) -> Result<(), FetchError> {
        let Origin::Fetched(fetch, _) = &self.origin else { return Ok(()) };
        {
            let mut state = self.state();
            state.attempted = Some(Instant::now());
            state.fetching = true;
        }
        let fetched = match timeout(FETCH_WITHIN, fetch.keys()).await {
            Ok(fetched) => fetched,
            Err(_) => Err(FetchError::Unavailable("no answer in time".to_owned())),
        };
        {
            let mut state = self.state();
            state.fetching = false;
            if let Ok(keys) = &fetched {
                state.fetched = Some(Instant::now());
                if *state.keys != *keys {
                    state.keys = Arc::new(keys.clone());
                    state.generation = state.generation.saturating_add(1);
                }
            }
        }
        JWKS_FETCHES.one([if fetched.is_ok() { FETCHED } else { FAILED }]);
        self.fetches.send_modify(|ended| *ended = ended.wrapping_add(1));
        let issuer = &self.name;
        match &fetched {
            Ok(_) => tracing::debug!(issuer, "the keys of an issuer were fetched"),
            Err(error) => {
                tracing::warn!(issuer, %error, "the keys of an issuer could not be fetched");
            }
        }
        fetched.map(drop)
    }
}
