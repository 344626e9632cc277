//! Idempotency keys: a key is carried out once, and its answer repeated while it is remembered.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use shared_events::contract::Timestamp;

use crate::{Answer, CallKey};

/// Keys that are remembered at once. 200 bytes each.
const KEYS_MAX: usize = 1_000_000;

/// What is known of a key.
pub(super) enum Known {
    /// It was never seen.
    New,
    /// It was seen, and nothing came of it.
    Again,
    /// It was answered.
    Answered(Answer),
    /// It was seen with another request.
    Other,
    /// There is no room for another.
    Full,
}

struct Slot {
    content: String,
    at: Timestamp,
    answer: Option<Answer>,
}

#[derive(Default)]
pub(super) struct Keys {
    slots: HashMap<CallKey, Slot>,
    /// In the order in which they were first seen.
    seen: VecDeque<CallKey>,
}

impl Keys {
    /// Takes a key, whose request has this content, which holds no secret.
    pub(super) fn ask(&mut self, key: CallKey, content: &str, now: Timestamp) -> Known {
        match self.slots.get(&key) {
            Some(slot) if slot.content != content => Known::Other,
            Some(slot) => slot.answer.clone().map_or(Known::Again, Known::Answered),
            None if self.slots.len() >= KEYS_MAX => Known::Full,
            None => {
                let slot = Slot { content: content.to_owned(), at: now, answer: None };
                self.slots.insert(key, slot);
                self.seen.push_back(key);
                Known::New
            }
        }
    }

    pub(super) fn remember(&mut self, key: CallKey, answer: &Answer) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.answer = Some(answer.clone());
        }
    }

    /// Forgets keys whose life is over.
    pub(super) fn forget(&mut self, life: Duration, now: Timestamp) {
        while let Some(key) = self.seen.front() {
            if self.slots.get(key).is_some_and(|slot| now < slot.at.plus(life)) {
                return;
            }
            self.slots.remove(key);
            self.seen.pop_front();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}
