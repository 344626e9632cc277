//! The simulator: a pure state machine, to which time and chance are given.
//! Never here: a socket, a clock, or a wait.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use ring::digest;
use shared_events::chance::Chance;
use shared_events::contract::{Money, Timestamp};
use uuid::Uuid;

use super::book::{Book, Line, Move, Refused};
use super::hooks::Hooks;
use super::keys::{Keys, Known};
use super::later::Later;
use super::paid_out::Payouts;
use super::payment::{Operation, Payment};
use super::script::Script;
use super::settings::Settings;
use crate::{
    Answer, Authorize, CallKey, Capture, Event, Found, Kind, OurReference, PspReference, Refund,
    Theirs, Void, What,
};

/// Payments that are known at once. Further ones are refused until old ones are forgotten.
const PAYMENTS_MAX: usize = 500_000;
/// Operations of one payment.
const OPERATIONS_MAX: usize = 200;
/// Scripts that wait for their call.
const SCRIPTS_MAX: usize = 1_000;
/// How long a payment and its lines are kept, from its beginning.
pub(super) const KEPT: Duration = Duration::from_secs(180 * 24 * 3600);

/// What a caller hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer.
    Answer(Answer),
    /// None: the connection is lost.
    Lost,
    /// That the provider broke. Whether something happened, it does not say.
    Fault,
}

/// A reply, and how long it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What the caller hears.
    pub reply: Reply,
    /// When, after the call.
    pub after: Duration,
}

/// When a call comes, and from where chance is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Now.
    pub now: Timestamp,
    /// Where faults are drawn from.
    pub chance: &'a Chance,
}

/// What waits for the next call of a kind.
#[derive(Clone, Debug)]
struct Scripted {
    kind: Kind,
    our: Option<OurReference>,
    script: Script,
}

/// A payment service provider that moves no money. Its book says what it did.
pub struct Simulator {
    pub(super) settings: Settings,
    pub(super) book: Book,
    pub(super) keys: Keys,
    pub(super) payments: HashMap<u64, Payment>,
    pub(super) operations: HashMap<u64, Operation>,
    pub(super) references: HashMap<PspReference, u64>,
    pub(super) by_our: HashMap<Uuid, u64>,
    pub(super) payouts: Payouts,
    pub(super) due: BTreeMap<(Timestamp, u64), Later>,
    scripted: VecDeque<Scripted>,
    pub(super) hooks: Hooks,
    serial: u64,
    events: u64,
    pub(super) newest: Option<PspReference>,
}

/// A call on its way: whose key it has, and what else the simulator needs to know.
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) key: CallKey,
    pub(super) our: Option<OurReference>,
    pub(super) content: String,
    /// The authorisation or capture that it is about.
    pub(super) about: Option<PspReference>,
    /// What its token says.
    pub(super) planned: Option<(Kind, Script)>,
}

pub(super) fn refused(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), repairable: false }
}

fn busy(code: &str) -> Heard {
    let answer = Answer::Refused { code: code.to_owned(), repairable: true };
    Heard { reply: Reply::Answer(answer), after: Duration::ZERO }
}

impl Simulator {
    /// A simulator with an empty book.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            book: Book::default(),
            keys: Keys::default(),
            payments: HashMap::new(),
            operations: HashMap::new(),
            references: HashMap::new(),
            by_our: HashMap::new(),
            payouts: Payouts::default(),
            due: BTreeMap::new(),
            scripted: VecDeque::new(),
            hooks: Hooks::default(),
            serial: 0,
            events: 0,
            newest: None,
        }
    }

    /// Reserves money. `our` is the operation, where the caller says it.
    pub fn authorize(
        &mut self,
        call: &Authorize,
        our: Option<OurReference>,
        at: Moment<'_>,
    ) -> Heard {
        let token = hex(call.token.expose());
        let content = format!("authorize {} {token}", call.amount);
        let planned = Script::of_token(call.token.expose());
        let kind = Kind::Authorize;
        let about = Call { kind, key: call.key, our, content, about: None, planned };
        self.call(about, at, |this, about, script| this.reserve(call, about, script, at))
    }

    /// Takes reserved money.
    pub fn capture(&mut self, call: &Capture, our: Option<OurReference>, at: Moment<'_>) -> Heard {
        let content =
            format!("capture {} {} {}", call.authorization, call.amount, { call.more_follows });
        let (kind, on) = (Kind::Capture, Some(call.authorization.clone()));
        let about = Call { kind, key: call.key, our, content, about: on, planned: None };
        self.call(about, at, |this, about, script| this.take(call, about, script, at))
    }

    /// Gives reserved money back.
    pub fn void(&mut self, call: &Void, our: Option<OurReference>, at: Moment<'_>) -> Heard {
        let content = format!("void {}", call.authorization);
        let (kind, on) = (Kind::Void, Some(call.authorization.clone()));
        let about = Call { kind, key: call.key, our, content, about: on, planned: None };
        self.call(about, at, |this, about, script| this.release(call, about, script, at))
    }

    /// Pays taken money back.
    pub fn refund(&mut self, call: &Refund, our: Option<OurReference>, at: Moment<'_>) -> Heard {
        let content = format!("refund {} {}", call.capture, call.amount);
        let (kind, on) = (Kind::Refund, Some(call.capture.clone()));
        let about = Call { kind, key: call.key, our, content, about: on, planned: None };
        self.call(about, at, |this, about, script| this.pay_back(call, about, script, at))
    }

    /// What is known under our reference.
    pub fn fetch(&mut self, our: OurReference, at: Moment<'_>) -> Found {
        self.advance(at);
        if let Some(found) = self.found_payout(our, at.now) {
            return found;
        }
        let operation = self.by_our.get(&our.0).and_then(|id| self.operations.get(id));
        match operation.filter(|operation| operation.found_from <= at.now) {
            Some(operation) => Found::Known(operation.answer.clone()),
            None => Found::Nothing,
        }
    }

    /// What became of something that is known by its reference here.
    pub fn look(&mut self, of: &Theirs, at: Moment<'_>) -> Found {
        self.advance(at);
        let Some(payment) = self.payment(&of.payment) else { return Found::Nothing };
        let mut known = self.operations(payment).filter(|op| op.kind == of.kind);
        let Some(found) = known.find(|op| op.reference == of.reference && op.is_found(at.now))
        else {
            return Found::Nothing;
        };
        let mut answer = found.answer.clone();
        if let (Answer::Done { amount, .. }, Kind::Capture) = (&mut answer, of.kind) {
            amount.minor = self.book.sums(&payment.reference).captured;
        }
        Found::Known(answer)
    }

    pub(super) fn call(
        &mut self,
        call: Call,
        at: Moment<'_>,
        act: impl FnOnce(&mut Self, &Call, Option<&Script>) -> Answer,
    ) -> Heard {
        self.advance(at);
        if self.payments.len() >= PAYMENTS_MAX && call.kind == Kind::Authorize {
            return busy("simulator_full");
        }
        let first = match self.keys.ask(call.key, &call.content, at.now) {
            Known::New => true,
            Known::Again => false,
            Known::Answered(answer) => return self.heard(Reply::Answer(answer), None),
            Known::Other => {
                let answer = refused("idempotency_key_reused");
                return self.heard(Reply::Answer(answer), None);
            }
            Known::Full => return busy("simulator_full"),
        };
        let script = self.script(&call, first, at.chance);
        let script = script.as_ref();
        match script {
            Some(Script::Busy) => return busy("rate_limited"),
            Some(Script::TimeoutBefore) => return self.heard(Reply::Lost, script),
            Some(Script::ErrorBefore) => return self.heard(Reply::Fault, script),
            _ => {}
        }
        let answer = match script {
            Some(Script::Refuse(code)) => refused(code),
            _ => act(self, &call, script),
        };
        self.keys.remember(call.key, &answer);
        let reply = match script {
            Some(Script::TimeoutAfter) => Reply::Lost,
            Some(Script::ErrorAfter) => Reply::Fault,
            _ => Reply::Answer(answer),
        };
        self.heard(reply, script)
    }

    fn heard(&self, reply: Reply, script: Option<&Script>) -> Heard {
        let slow = matches!(script, Some(Script::Slow));
        let after = if slow { self.settings.slow } else { self.settings.latency };
        Heard { reply, after }
    }

    /// What happens to a call: what was scripted for it, what its token says, or by chance.
    fn script(&mut self, call: &Call, first: bool, chance: &Chance) -> Option<Script> {
        let fits = |waiting: &Scripted| {
            waiting.kind == call.kind && (waiting.our.is_none() || waiting.our == call.our)
        };
        if let Some(place) = self.scripted.iter().position(fits) {
            return self.scripted.remove(place).map(|scripted| scripted.script);
        }
        let payment = call.about.as_ref().and_then(|reference| self.known(reference));
        let planned = match payment {
            Some(payment) => payment.1.planned.clone(),
            None => call.planned.clone(),
        };
        match planned {
            Some((kind, script)) if kind == call.kind => {
                (first || !script.passes()).then_some(script)
            }
            _ => self.settings.odds.draw(call.kind, chance),
        }
    }

    /// Says what happens to the next call of a kind, of that operation where one is named.
    ///
    /// # Errors
    /// If it does not fit the kind, or too many wait.
    pub fn say(
        &mut self,
        kind: Kind,
        our: Option<OurReference>,
        script: Script,
    ) -> Result<(), NotScripted> {
        if !script.fits(kind) {
            return Err(NotScripted::DoesNotFit(kind));
        }
        if self.scripted.len() >= SCRIPTS_MAX {
            return Err(NotScripted::TooMany);
        }
        self.scripted.push_back(Scripted { kind, our, script });
        Ok(())
    }

    pub(super) fn known(&self, reference: &PspReference) -> Option<(u64, &Payment)> {
        let id = self.references.get(reference)?;
        self.payments.get(id).map(|payment| (*id, payment))
    }

    /// Forgets what is over, at this instant.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let life = Duration::from_secs(self.settings.capabilities.key_seconds.into());
        self.keys.forget(life, now);
        let oldest = now.micros().saturating_sub(i64::try_from(KEPT.as_micros()).unwrap_or(0));
        self.book.forget_lines(Timestamp::from_micros(oldest));
    }

    /// A new reference: `pi_` and its like, then hexadecimal digits.
    pub(super) fn reference(&mut self, prefix: &str) -> Option<PspReference> {
        self.serial += 1;
        let seed = self.settings.seed & 0xffff_ffff;
        format!("{prefix}_{seed:08x}{:010x}", self.serial).parse().ok()
    }

    /// A number that no call had.
    pub(super) fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Writes a line about a payment.
    pub(super) fn write(
        &mut self,
        moved: Move,
        (payment, operation): (&Payment, &Operation),
        minor: i64,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let fee = i128::from(minor) * i128::from(self.settings.fee_bps) / 10_000;
        let fee = i64::try_from(fee).unwrap_or(i64::MAX);
        let fee = match moved {
            Move::Captured => fee,
            Move::CaptureFailed => -fee,
            _ => 0,
        };
        self.book.write(Line {
            number: 0,
            at,
            moved,
            payment: payment.reference.clone(),
            reference: operation.reference.clone(),
            our_reference: operation.our_reference,
            amount: Money::new(minor, payment.currency),
            fee,
        })
    }

    /// Tells what happened to an operation of a payment.
    pub(super) fn tell(
        &mut self,
        (payment, operation): (&Payment, &Operation),
        what: What,
        at: Moment<'_>,
    ) {
        if !self.settings.webhooks {
            return;
        }
        let of_dispute = matches!(
            what,
            What::DisputeOpened { .. } | What::DisputeWon { .. } | What::DisputeLost { .. }
        );
        // A capture is disputed once.
        let name = format!("dp_{}", operation.reference.as_str().trim_start_matches("ch_"));
        let dispute = of_dispute.then(|| name.parse().ok()).flatten();
        let event = Event {
            id: self.event_id(),
            reference: Some(operation.reference.clone()),
            payment: Some(payment.reference.clone()),
            our_reference: operation.our_reference,
            dispute,
            what,
        };
        self.hooks.tell(event, at.now, self.settings.hook_odds, at.chance);
    }

    /// The id of the next webhook.
    pub(super) fn event_id(&mut self) -> String {
        self.events += 1;
        format!("evt_{:08x}{:010x}", self.settings.seed & 0xffff_ffff, self.events)
    }

    /// Whether a payment may have one more operation.
    pub(super) fn has_room(payment: &Payment) -> bool {
        payment.operations.len() < OPERATIONS_MAX
    }
}

/// Why a script does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotScripted {
    /// It cannot happen to this kind of call.
    #[error("this script does not fit {0}")]
    DoesNotFit(Kind),
    /// Too many wait already.
    #[error("1000 scripts wait already")]
    TooMany,
}

fn hex(secret: &str) -> String {
    let digest = digest::digest(&digest::SHA256, secret.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
