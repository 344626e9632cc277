//! When the provider is called and asked, and what is made of its answers. Time and chance are
//! values.

use std::time::Duration;

use psp::{Answer, Capabilities, Found};
use shared_events::contract::Timestamp;
use shared_events::stream::Backoff;

use super::{Observation, OperationKind, Stage};

/// Calls of one operation. After the last the provider is asked only; what it refuses and may
/// accept later is called once a minute, for a day.
pub const CALLS_MAX: u32 = 5;
/// Waits before calls are made again.
const CALLS: Backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(60) };
/// Waits between questions; afterwards once a day.
const QUESTIONS: [u64; 6] = [5, 15, 60, 300, 1_800, 7_200];
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long an unknown outcome is asked for. Then a person must look.
const ASKED_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long what a provider works on is asked for.
const LOOKED_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long one call may take. After that its process is presumed dead.
pub const CALL_MAX: Duration = Duration::from_secs(60);
/// Codes of refusals that are not counted as calls (status 429, and 401 or 403).
const NOT_A_TRY: [&str; 2] = ["rate_limited", "not_authenticated"];
/// A key is not used in the last hour of its life, or the last part of a short one.
const KEY_MARGIN: Duration = Duration::from_secs(3_600);

/// Where an operation is between us and the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What is to be done next.
    pub stage: Stage,
    /// When.
    pub due_at: Timestamp,
    /// Part of the key: how often the request was mended.
    pub generation: u32,
    /// Calls so far, without those that were refused before the request was looked at.
    pub calls: u32,
    /// Questions since the last call.
    pub questions: u32,
    /// The first call with the present key.
    pub first_call: Option<Timestamp>,
    /// The last call.
    pub last_call: Option<Timestamp>,
    /// What was seen last, without secrets.
    pub note: String,
}

/// What to do with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where the operation is now.
    pub schedule: Schedule,
    /// What the payments hear of it.
    pub seen: Option<Observation>,
}

impl Schedule {
    /// Of an operation that was just opened.
    #[must_use]
    pub const fn due(at: Timestamp) -> Self {
        Self {
            stage: Stage::Due,
            due_at: at,
            generation: 0,
            calls: 0,
            questions: 0,
            first_call: None,
            last_call: None,
            note: String::new(),
        }
    }

    /// A call is about to leave. This is stored before it does.
    #[must_use]
    pub fn calling(&self, now: Timestamp) -> Self {
        Self {
            stage: Stage::Calling,
            due_at: now.plus(CALL_MAX),
            calls: self.calls.saturating_add(1),
            questions: 0,
            first_call: self.first_call.or(Some(now)),
            last_call: Some(now),
            ..self.clone()
        }
    }

    /// After an answer to a call.
    #[must_use]
    pub fn answered(
        &self,
        answer: Answer,
        kind: OperationKind,
        (now, random): (Timestamp, u32),
    ) -> Step {
        match answer {
            Answer::Done { reference, amount, valid_until } => {
                let reference = reference.as_str().to_owned();
                self.over(Observation::Done { reference, amount, valid_until })
            }
            Answer::Pending { reference } | Answer::ActionRequired { reference, .. } => {
                let reference = reference.as_str().to_owned();
                let seen = Some(Observation::Pending { reference });
                Step { schedule: self.looked(now), seen }
            }
            Answer::Declined { code } => self.declined(code, kind),
            Answer::Refused { code, repairable: true } => self.refused(code, (now, random)),
            Answer::Refused { code, repairable: false } => self.declined(code, kind),
            Answer::Unknown { why } => Step { schedule: self.unknown(why, now), seen: None },
        }
    }

    /// A call was refused and may be accepted later. It is made again: never is that a no.
    fn refused(&self, code: String, (now, random): (Timestamp, u32)) -> Step {
        let first = self.first_call.unwrap_or(now);
        if self.may_be_done() {
            // An earlier call under this key may have had its effect: the key stays, and the
            // provider is asked before it is called again.
            let calls = self.calls.saturating_sub(u32::from(is_not_a_try(&code)));
            let due_at = now.plus(refused_wait(first, now, random).max(question_wait(0)));
            let schedule = Self { calls, due_at, ..self.unknown(code, now) };
            return Step { schedule, seen: None };
        }
        if now >= first.plus(DAY) {
            let schedule = Self { stage: Stage::Stuck, note: code.clone(), ..self.clone() };
            return Step { schedule, seen: Some(Observation::Stuck { why: code }) };
        }
        let (due, questions) = (Stage::Due, 0);
        let schedule = if is_not_a_try(&code) {
            let due_at = now.plus(refused_wait(first, now, random));
            let calls = self.calls.saturating_sub(1);
            Self { stage: due, due_at, calls, questions, note: code, ..self.clone() }
        } else {
            let wait = CALLS.wait(self.calls.saturating_sub(1), random);
            let generation = self.generation.saturating_add(1);
            // With its tries spent it is called for a day more.
            let first_call = self.first_call.filter(|_| self.calls >= CALLS_MAX);
            let due_at = now.plus(wait);
            let mended = Self { stage: due, due_at, generation, questions, ..self.clone() };
            Self { first_call, note: code, ..mended }
        };
        Step { schedule, seen: None }
    }

    /// Whether an earlier call under the present key is of unknown outcome. Every other call that
    /// counts raised the generation.
    const fn may_be_done(&self) -> bool {
        self.calls.saturating_sub(1) > self.generation
    }

    /// After a question by our reference.
    #[must_use]
    pub fn found(
        &self,
        found: Found,
        kind: OperationKind,
        capabilities: &Capabilities,
        (now, random): (Timestamp, u32),
    ) -> Step {
        match found {
            Found::Known(Answer::Unknown { why }) | Found::Unknown { why } => {
                self.asked_in_vain(why, now)
            }
            Found::Known(Answer::Pending { .. } | Answer::ActionRequired { .. })
                if self.stage == Stage::Looking =>
            {
                self.asked_in_vain("still pending".to_owned(), now)
            }
            Found::Known(Answer::Refused { repairable: true, .. }) => {
                self.nothing(capabilities, (now, random))
            }
            Found::Known(answer) => self.answered(answer, kind, (now, random)),
            Found::Nothing => self.nothing(capabilities, (now, random)),
        }
    }

    /// "Not found". Shortly after a call that proves nothing. Later the same call is made again
    /// under the same key, as long as the provider remembers keys.
    fn nothing(&self, capabilities: &Capabilities, (now, random): (Timestamp, u32)) -> Step {
        let why = || "not found".to_owned();
        let (Some(first), Some(last)) = (self.first_call, self.last_call) else {
            // Never called.
            return Step { schedule: Self { stage: Stage::Due, ..self.clone() }, seen: None };
        };
        let grace = last.plus(Duration::from_secs(u64::from(capabilities.grace_seconds)));
        if now < grace {
            let waits = self.asked_in_vain(why(), now);
            let due_at = waits.schedule.due_at.max(grace);
            return Step { schedule: Schedule { due_at, ..waits.schedule }, ..waits };
        }
        let life = Duration::from_secs(u64::from(capabilities.key_seconds));
        let usable = first.plus(life.saturating_sub(KEY_MARGIN.min(life / 24)));
        if self.stage == Stage::Unknown && self.calls < CALLS_MAX {
            let due_at = now.plus(CALLS.wait(self.calls.saturating_sub(1), random));
            if due_at < usable {
                let again = Self { stage: Stage::Due, due_at, note: why(), ..self.clone() };
                return Step { schedule: again, seen: None };
            }
        }
        self.asked_in_vain(why(), now)
    }

    /// A call of which nobody knows whether it had its effect; also one that was under way when its
    /// process died.
    #[must_use]
    pub fn unknown(&self, why: String, now: Timestamp) -> Self {
        Self {
            stage: Stage::Unknown,
            due_at: now.plus(question_wait(self.questions)),
            note: why,
            ..self.clone()
        }
    }

    /// The call was lost with its process: the provider is asked at once.
    #[must_use]
    pub fn interrupted(&self, now: Timestamp) -> Self {
        let note = "the process that called ended".to_owned();
        Self { stage: Stage::Unknown, due_at: now, note, ..self.clone() }
    }

    /// It was to be called long ago, at `since`, and is not known to have been: payments that were
    /// restored to an earlier state have forgotten calls. The provider is asked at once, as about a
    /// call of then.
    #[must_use]
    pub fn perhaps_called(&self, since: Timestamp, now: Timestamp) -> Self {
        Self {
            stage: Stage::Unknown,
            due_at: now,
            calls: 1,
            first_call: Some(since),
            last_call: Some(since),
            note: "it may have been called before".to_owned(),
            ..self.clone()
        }
    }

    /// The provider cannot be reached, and was not called: it is tried later.
    #[must_use]
    pub fn held_back(&self, until: Timestamp) -> Self {
        Self { due_at: until.max(self.due_at), ..self.clone() }
    }

    fn looked(&self, now: Timestamp) -> Self {
        Self {
            stage: Stage::Looking,
            due_at: now.plus(question_wait(0)),
            questions: 0,
            note: String::new(),
            ..self.clone()
        }
    }

    fn asked_in_vain(&self, why: String, now: Timestamp) -> Step {
        let longest = if self.stage == Stage::Looking { LOOKED_FOR } else { ASKED_FOR };
        let since = self.last_call.unwrap_or(now);
        if now >= since.plus(longest) {
            let schedule = Self { stage: Stage::Stuck, note: why.clone(), ..self.clone() };
            return Step { schedule, seen: Some(Observation::Stuck { why }) };
        }
        let questions = self.questions.saturating_add(1);
        let due_at = now.plus(question_wait(questions));
        Step { schedule: Self { due_at, questions, note: why, ..self.clone() }, seen: None }
    }

    /// A no. What cannot be given back may have been taken: a person must look.
    fn declined(&self, code: String, kind: OperationKind) -> Step {
        if kind == OperationKind::Void {
            let schedule = Self { stage: Stage::Stuck, note: code.clone(), ..self.clone() };
            return Step { schedule, seen: Some(Observation::Stuck { why: code }) };
        }
        self.over(Observation::Declined { code })
    }

    fn over(&self, seen: Observation) -> Step {
        let schedule = Self { stage: Stage::Done, note: String::new(), ..self.clone() };
        Step { schedule, seen: Some(seen) }
    }
}

/// Refusals before the request is looked at: too many calls, or a key of ours that is not valid.
fn is_not_a_try(code: &str) -> bool {
    NOT_A_TRY.contains(&code)
}

/// The longer calls have been refused, the longer the next one waits.
fn refused_wait(first: Timestamp, now: Timestamp, random: u32) -> Duration {
    let nth = now.since(first).as_secs().checked_ilog2().unwrap_or_default();
    CALLS.wait(nth, random)
}

fn question_wait(nth: u32) -> Duration {
    let nth = usize::try_from(nth).unwrap_or(usize::MAX);
    QUESTIONS.get(nth).copied().map_or(DAY, Duration::from_secs)
}

/// Keeps calls from a provider that does not answer: after some that came to nothing, one is tried
/// now and then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    failures: u32,
    pauses_until: Option<Timestamp>,
}

impl Breaker {
    /// Calls in a row that came to nothing, before it holds calls back.
    pub const FAILURES_MAX: u32 = 5;
    /// How long it holds them back.
    pub const PAUSE: Duration = Duration::from_secs(30);

    /// Whether calls are held back, and until when.
    #[must_use]
    pub fn holds_back(&self, now: Timestamp) -> Option<Timestamp> {
        self.pauses_until.filter(|until| *until > now)
    }

    /// Whether it did not answer so often that calls are held back, and has not answered since.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.pauses_until.is_some()
    }

    /// A call, or a question, was answered or not.
    pub fn record(&mut self, answered: bool, now: Timestamp) {
        if answered {
            *self = Self::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= Self::FAILURES_MAX {
            self.pauses_until = Some(now.plus(Self::PAUSE));
        }
    }
}
