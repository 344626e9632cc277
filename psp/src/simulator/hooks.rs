//! The queue of webhooks that a simulator sends, and what goes wrong with them.
//! Never here: HTTP, or a signature.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use shared_events::chance::Chance;
use shared_events::contract::Timestamp;

use super::script::ScriptError;
use crate::Event;

/// Webhooks that wait at once; further ones are dropped.
const QUEUE_MAX: usize = 10_000;
/// How often a webhook is sent that is not taken.
const TRIES_MAX: u32 = 10;
/// The wait before the second try; each further one waits twice as long.
const WAIT_FIRST: Duration = Duration::from_secs(5);
/// A delayed webhook waits at most this long, in seconds.
const DELAY_MAX_SECONDS: u32 = 60;

/// By which secret a webhook is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// The first.
    Live,
    /// The second, if there is one.
    Old,
    /// One that nobody else knows.
    Wrong,
}

/// How often something goes wrong with a webhook, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookOdds {
    /// Never sent.
    pub dropped: u32,
    /// Sent twice.
    pub doubled: u32,
    /// Sent up to a minute later, so that others overtake it.
    pub delayed: u32,
    /// Signed by the old secret.
    pub old_secret: u32,
    /// Signed by a wrong secret. The right one follows.
    pub wrong_secret: u32,
}

impl FromStr for HookOdds {
    type Err = ScriptError;

    /// `doubled=50,delayed=100`, each from 0 to 1000.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let wrong = || ScriptError::HookOdds(text.chars().take(60).collect());
        let mut odds = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, number) = part.split_once('=').ok_or_else(wrong)?;
            let number: u32 = number.trim().parse().map_err(|_| wrong())?;
            let place = match name.trim() {
                "dropped" => &mut odds.dropped,
                "doubled" => &mut odds.doubled,
                "delayed" => &mut odds.delayed,
                "old_secret" => &mut odds.old_secret,
                "wrong_secret" => &mut odds.wrong_secret,
                _ => return Err(wrong()),
            };
            if number > 1000 {
                return Err(wrong());
            }
            *place = number;
        }
        Ok(odds)
    }
}

/// A webhook that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What it tells.
    pub event: Event,
    /// When that happened.
    pub at: Timestamp,
    /// By which secret it is signed.
    pub signed_by: SignedBy,
    /// How often it was sent.
    pub tries: u32,
}

#[derive(Default)]
pub(super) struct Hooks {
    waiting: BTreeMap<(Timestamp, u64), Outgoing>,
    queued: u64,
    dropped: u64,
}

impl Hooks {
    /// Queues an event, once, twice or never, now or later.
    pub(super) fn tell(&mut self, event: Event, at: Timestamp, odds: HookOdds, chance: &Chance) {
        let happens = |odds: u32| odds > 0 && chance.number() % 1000 < odds;
        let (dropped, doubled) = (happens(odds.dropped), happens(odds.doubled));
        let (delayed, old) = (happens(odds.delayed), happens(odds.old_secret));
        let wrong = happens(odds.wrong_secret);
        if dropped {
            self.dropped += 1;
            return;
        }
        let delay = if delayed { chance.number() % DELAY_MAX_SECONDS } else { 0 };
        let due = at.plus(Duration::from_secs(delay.into()));
        let signed_by = if old { SignedBy::Old } else { SignedBy::Live };
        let outgoing = Outgoing { event, at, signed_by, tries: 0 };
        if wrong {
            self.queue(due, Outgoing { signed_by: SignedBy::Wrong, ..outgoing.clone() });
        }
        if doubled {
            self.queue(due, outgoing.clone());
        }
        self.queue(due, outgoing);
    }

    fn queue(&mut self, due: Timestamp, outgoing: Outgoing) {
        if self.waiting.len() >= QUEUE_MAX {
            self.dropped += 1;
            return;
        }
        self.queued += 1;
        self.waiting.insert((due, self.queued), outgoing);
    }

    /// Takes what is due, the earliest first.
    pub(super) fn take(&mut self, now: Timestamp, max: usize) -> Vec<Outgoing> {
        let mut taken = Vec::new();
        while taken.len() < max {
            match self.waiting.first_entry() {
                Some(first) if first.key().0 <= now => taken.push(first.remove()),
                _ => break,
            }
        }
        taken
    }

    /// Queues one again that was not taken; a wrongly signed one, or one sent too often, is dropped.
    pub(super) fn again(&mut self, mut outgoing: Outgoing, now: Timestamp) {
        outgoing.tries += 1;
        if outgoing.tries >= TRIES_MAX || outgoing.signed_by == SignedBy::Wrong {
            self.dropped += 1;
            return;
        }
        let wait = WAIT_FIRST * 2_u32.pow(outgoing.tries - 1);
        self.queue(now.plus(wait), outgoing);
    }

    pub(super) fn counts(&self) -> (usize, u64) {
        (self.waiting.len(), self.dropped)
    }
}
