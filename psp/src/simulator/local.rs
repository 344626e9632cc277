//! The simulator as a provider in the same process.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shared_events::chance::Chance;
use shared_events::contract::Timestamp;

use super::machine::{Heard, Moment, Reply, Simulator};
use super::settings::Settings;
use crate::{
    Answer, Authorize, Capabilities, Capture, Found, OurReference, Payout, Psp, Refund, Theirs,
    Void,
};

/// Where the time comes from.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A simulator in this process. Clones share it. It moves no money, and its book ends with it.
#[derive(Clone)]
pub struct SimulatedPsp {
    name: Arc<str>,
    capabilities: Capabilities,
    shared: Arc<Mutex<Shared>>,
    now: Now,
    chance: Chance,
}

struct Shared {
    simulator: Simulator,
    /// How far its clock is ahead.
    ahead: Duration,
}

impl fmt::Debug for SimulatedPsp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedPsp({})", self.name)
    }
}

impl SimulatedPsp {
    /// A simulator with a clock and a source of chance.
    #[must_use]
    pub fn new(settings: Settings, now: Now, chance: Chance) -> Self {
        let (name, capabilities) = (settings.name.as_str().into(), settings.capabilities);
        let shared = Shared { simulator: Simulator::new(settings), ahead: Duration::ZERO };
        Self { name, capabilities, shared: Arc::new(Mutex::new(shared)), now, chance }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets its clock ahead by so much more.
    pub fn advance(&self, by: Duration) {
        let mut shared = self.shared();
        shared.ahead = shared.ahead.saturating_add(by);
        drop(shared);
        self.with(|simulator, at| simulator.advance(at));
    }

    /// The time without what it was set ahead by: others know no other.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        (self.now)()
    }

    /// Calls the simulator itself, at this moment.
    pub fn with<T>(&self, call: impl FnOnce(&mut Simulator, Moment<'_>) -> T) -> T {
        let mut shared = self.shared();
        let now = (self.now)().plus(shared.ahead);
        call(&mut shared.simulator, Moment { now, chance: &self.chance })
    }

    /// What the caller of [`SimulatedPsp::with`] hears, once it has taken as long as it takes.
    pub async fn hear(&self, heard: Heard) -> Answer {
        if !heard.after.is_zero() {
            tokio::time::sleep(heard.after).await;
        }
        match heard.reply {
            Reply::Answer(answer) => answer,
            Reply::Lost => Answer::Unknown { why: "no answer in time".to_owned() },
            Reply::Fault => Answer::Unknown { why: "it answered 500".to_owned() },
        }
    }
}

#[async_trait]
impl Psp for SimulatedPsp {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn authorize(&self, call: Authorize) -> Answer {
        let our = Some(OurReference(call.key.operation));
        self.hear(self.with(|simulator, at| simulator.authorize(&call, our, at))).await
    }

    async fn capture(&self, call: Capture) -> Answer {
        let our = Some(OurReference(call.key.operation));
        self.hear(self.with(|simulator, at| simulator.capture(&call, our, at))).await
    }

    async fn void(&self, call: Void) -> Answer {
        let our = Some(OurReference(call.key.operation));
        self.hear(self.with(|simulator, at| simulator.void(&call, our, at))).await
    }

    async fn refund(&self, call: Refund) -> Answer {
        let our = Some(OurReference(call.key.operation));
        self.hear(self.with(|simulator, at| simulator.refund(&call, our, at))).await
    }

    async fn payout(&self, call: Payout) -> Answer {
        let our = Some(OurReference(call.key.operation));
        self.hear(self.with(|simulator, at| simulator.payout(&call, our, at))).await
    }

    async fn fetch(&self, of: OurReference) -> Found {
        self.with(|simulator, at| simulator.fetch(of, at))
    }

    async fn look(&self, of: &Theirs) -> Found {
        self.with(|simulator, at| simulator.look(of, at))
    }
}
