//! What the four calls do, once their key is new.

use std::time::Duration;

use shared_events::contract::{Currency, Money, Timestamp};

use super::book::Move;
use super::later::Later;
use super::machine::{Call, KEPT, Moment, Simulator, refused};
use super::payment::{Operation, Payment, State};
use super::script::Script;
use crate::{Answer, Authorize, Capture, Kind, OurReference, PspReference, Refund, Void, What};

impl Simulator {
    pub(super) fn reserve(
        &mut self,
        call: &Authorize,
        about: &Call,
        script: Option<&Script>,
        at: Moment<'_>,
    ) -> Answer {
        if call.amount.minor <= 0 {
            return refused("invalid_amount");
        }
        let Some(reference) = self.reference("pi") else { return refused("no_reference") };
        let (id, state) = (self.next(), State::Pending);
        let payment = Payment {
            reference: reference.clone(),
            our_reference: about.our,
            asked: call.amount,
            currency: call.amount.currency,
            state,
            at: at.now,
            valid_until: None,
            capture_pending: 0,
            refund_pending: 0,
            disputed: false,
            decline: None,
            operations: Vec::new(),
            captures: 0,
            script: script.cloned(),
            planned: about.planned.clone(),
        };
        self.payments.insert(id, payment);
        self.references.insert(reference.clone(), id);
        self.newest = Some(reference.clone());
        self.later(at.now.plus(KEPT), Later::Forget { payment: id });
        let pending = Answer::Pending { reference: reference.clone() };
        let amount = call.amount.minor;
        let operation = self.begin((id, about), reference.clone(), amount, pending, script, at);
        let times = self.settings.times;
        match script {
            Some(Script::Decline(code)) => self.decline(operation, code, at),
            Some(Script::LateSuccess) => {
                self.later(at.now.plus(times.late_success), Later::Succeeds { operation });
                self.decline(operation, "card_declined", at);
            }
            Some(Script::Action) => {
                let url = format!("https://simulator.invalid/act/{reference}");
                self.answer(operation, Answer::ActionRequired { reference, url });
                self.with(id, |payment| payment.state = State::Action);
                self.later(call.action_until, Later::ActionEnds { operation });
                self.told(operation, What::ActionRequired, at);
            }
            Some(Script::Pending) => {
                self.later(at.now.plus(times.settle), Later::Settles { operation, done: true });
            }
            Some(Script::PendingFails) => {
                self.later(at.now.plus(times.settle), Later::Settles { operation, done: false });
            }
            _ => self.open(operation, at),
        }
        self.answered(operation)
    }

    /// Reserves what a payment asked for, or what its script says.
    pub(super) fn open(&mut self, operation: u64, at: Moment<'_>) {
        let Some((id, mut payment, op)) = self.both(operation) else { return };
        let script = payment.script.clone();
        let amount = match script {
            Some(Script::Partial) => (op.amount / 2).max(1),
            _ => op.amount,
        };
        if script == Some(Script::WrongCurrency) {
            let other = if payment.asked.currency.code() == "EUR" { "USD" } else { "EUR" };
            payment.currency = Currency::recorded(other).unwrap_or(payment.currency);
        }
        if self.write(Move::Authorized, (&payment, &op), amount, at.now).is_err() {
            self.decline(operation, "processing_error", at);
            return;
        }
        let stands = Duration::from_secs(self.settings.capabilities.authorization_seconds.into());
        let valid_until = at.now.plus(stands);
        let (state, currency) = (State::Open, payment.currency);
        self.with(id, |kept| {
            (kept.state, kept.currency, kept.valid_until) = (state, currency, Some(valid_until));
            kept.decline = None;
        });
        let amount = Money::new(amount, currency);
        let reference = op.reference;
        self.answer(operation, Answer::Done { reference, amount, valid_until: Some(valid_until) });
        self.later(valid_until, Later::Expires { operation });
        if script == Some(Script::Reversed) {
            self.later(at.now.plus(self.settings.times.reversal), Later::Reverses { operation });
        }
        self.told(operation, What::Authorized { amount }, at);
    }

    pub(super) fn decline(&mut self, operation: u64, code: &str, at: Moment<'_>) {
        let Some((id, ..)) = self.both(operation) else { return };
        self.answer(operation, Answer::Declined { code: code.to_owned() });
        self.with(id, |payment| {
            payment.state = State::Declined;
            payment.decline = Some(code.to_owned());
        });
        self.told(operation, What::Declined { code: code.to_owned() }, at);
    }

    pub(super) fn take(
        &mut self,
        call: &Capture,
        about: &Call,
        script: Option<&Script>,
        at: Moment<'_>,
    ) -> Answer {
        let Some((id, payment)) = self.known(&call.authorization) else {
            return refused("unknown_authorization");
        };
        let sums = self.book.sums(&payment.reference);
        let left = sums.open() - payment.capture_pending;
        let taken = sums.captured + payment.capture_pending;
        let multi = self.settings.capabilities.multi_capture;
        let code = match payment.state {
            _ if !Self::has_room(payment) => "too_many_operations",
            State::Declined | State::Pending | State::Action => "not_authorized",
            _ if payment.currency != call.amount.currency => "currency_mismatch",
            _ if call.amount.minor <= 0 => "invalid_amount",
            _ if taken > 0 && (!multi || left == 0) => "already_captured",
            State::Ended if payment.valid_until.is_some_and(|until| until <= at.now) => {
                "authorization_expired"
            }
            State::Ended => "already_voided",
            State::Open if call.amount.minor > left => "amount_too_large",
            State::Open => "",
        };
        if !code.is_empty() {
            return refused(code);
        }
        let nth = payment.captures + 1;
        let own = call.authorization.as_str().trim_start_matches("pi_").to_owned();
        let name = if nth == 1 { format!("ch_{own}") } else { format!("ch_{own}_{nth}") };
        let Ok(reference) = name.parse::<PspReference>() else { return refused("no_reference") };
        self.references.insert(reference.clone(), id);
        let minor = call.amount.minor;
        self.with(id, |payment| {
            payment.captures = nth;
            payment.capture_pending += minor;
        });
        let pending = Answer::Pending { reference: reference.clone() };
        let operation = self.begin((id, about), reference, minor, pending, script, at);
        self.settle_or_wait(operation, script, at);
        let released = !call.more_follows || !multi;
        if released && self.settings.capabilities.release_remainder {
            self.release_rest(id, operation, at);
        }
        self.answered(operation)
    }

    /// Ends what is reserved beyond captures that are worked on.
    pub(super) fn release_rest(&mut self, id: u64, operation: u64, at: Moment<'_>) -> i64 {
        let Some(payment) = self.payments.get(&id).cloned() else { return 0 };
        let Some(op) = self.operations.get(&operation).cloned() else { return 0 };
        let rest = self.book.sums(&payment.reference).open() - payment.capture_pending;
        if rest > 0 && self.write(Move::Released, (&payment, &op), rest, at.now).is_ok() {
            return rest;
        }
        0
    }

    pub(super) fn release(
        &mut self,
        call: &Void,
        about: &Call,
        script: Option<&Script>,
        at: Moment<'_>,
    ) -> Answer {
        let Some((id, payment)) = self.known(&call.authorization) else {
            return refused("unknown_authorization");
        };
        let sums = self.book.sums(&payment.reference);
        let left = sums.open() - payment.capture_pending;
        let taken = sums.captured + payment.capture_pending;
        let code = match payment.state {
            _ if !Self::has_room(payment) => "too_many_operations",
            State::Open | State::Ended if taken > 0 && left == 0 => "already_captured",
            State::Open | State::Ended if taken > 0 => "",
            State::Ended if payment.valid_until.is_some_and(|until| until <= at.now) => {
                "authorization_expired"
            }
            State::Ended => "already_voided",
            _ => "",
        };
        if !code.is_empty() {
            return refused(code);
        }
        if let Some(Script::Decline(code)) = script {
            return Answer::Declined { code: code.clone() };
        }
        let (currency, open) = (payment.currency, payment.state == State::Open);
        let first = payment.operations.first().copied();
        let Some(reference) = self.reference("vo") else { return refused("no_reference") };
        let pending = Answer::Pending { reference: reference.clone() };
        let operation = self.begin((id, about), reference.clone(), left, pending, script, at);
        let minor = self.release_rest(id, operation, at);
        self.with(id, |payment| payment.state = State::Ended);
        if let (false, Some(first)) = (open, first) {
            self.answer(first, Answer::Declined { code: "canceled".to_owned() });
        }
        let amount = Money::new(minor, currency);
        self.answer(operation, Answer::Done { reference, amount, valid_until: None });
        self.told(operation, What::Voided, at);
        self.answered(operation)
    }

    pub(super) fn pay_back(
        &mut self,
        call: &Refund,
        about: &Call,
        script: Option<&Script>,
        at: Moment<'_>,
    ) -> Answer {
        let Some((id, payment)) = self.known(&call.capture) else {
            return refused("unknown_capture");
        };
        let sums = self.book.sums(&payment.reference);
        let whole = self.settings.capabilities.partial_refund || call.amount.minor == sums.captured;
        let code = match () {
            () if !Self::has_room(payment) => "too_many_operations",
            () if payment.currency != call.amount.currency => "currency_mismatch",
            () if call.amount.minor <= 0 => "invalid_amount",
            () if sums.captured == 0 => "not_captured",
            () if payment.disputed => "disputed",
            () if call.amount.minor > sums.kept() - payment.refund_pending => "refund_too_large",
            () if !whole => "partial_refund_unsupported",
            () => "",
        };
        if !code.is_empty() {
            return refused(code);
        }
        let Some(reference) = self.reference("re") else { return refused("no_reference") };
        self.references.insert(reference.clone(), id);
        let minor = call.amount.minor;
        self.with(id, |payment| payment.refund_pending += minor);
        let pending = Answer::Pending { reference: reference.clone() };
        let operation = self.begin((id, about), reference, minor, pending, script, at);
        self.settle_or_wait(operation, script, at);
        self.answered(operation)
    }

    /// Carries a capture or refund out as its script says.
    fn settle_or_wait(&mut self, operation: u64, script: Option<&Script>, at: Moment<'_>) {
        let settle = at.now.plus(self.settings.times.settle);
        match script {
            Some(Script::Decline(code)) => self.settle(operation, Err(code), at),
            Some(Script::Pending) => self.later(settle, Later::Settles { operation, done: true }),
            Some(Script::PendingFails) => {
                self.later(settle, Later::Settles { operation, done: false });
            }
            _ => self.settle(operation, Ok(()), at),
        }
        let times = self.settings.times;
        let verdict = match script {
            Some(Script::FailsLater) => {
                return self.later(at.now.plus(times.failure), Later::Fails { operation });
            }
            Some(Script::Dispute) => None,
            Some(Script::DisputeWon) => Some(true),
            Some(Script::DisputeLost) => Some(false),
            _ => return,
        };
        self.later(at.now.plus(times.dispute), Later::Disputes { operation, verdict });
    }

    /// Ends a capture or refund that was worked on.
    pub(super) fn settle(&mut self, operation: u64, done: Result<(), &str>, at: Moment<'_>) {
        let Some((id, payment, op)) = self.both(operation) else { return };
        let (minor, capture) = (op.amount, op.kind == Kind::Capture);
        self.with(id, |payment| match capture {
            true => payment.capture_pending -= minor,
            false => payment.refund_pending -= minor,
        });
        let moved = if capture { Move::Captured } else { Move::Refunded };
        let done = done.and_then(|()| {
            let written = self.write(moved, (&payment, &op), minor, at.now);
            written.map_err(|_| "processing_error")
        });
        let amount = Money::new(minor, payment.currency);
        let (answer, what) = match (done, capture) {
            (Ok(()), _) => {
                let (reference, valid_until) = (op.reference, None);
                let what = match capture {
                    true => What::Captured { amount },
                    false => What::Refunded { amount },
                };
                (Answer::Done { reference, amount, valid_until }, what)
            }
            (Err(code), true) => {
                let code = code.to_owned();
                (Answer::Declined { code: code.clone() }, What::CaptureFailed { code })
            }
            (Err(code), false) => {
                let code = code.to_owned();
                (Answer::Declined { code: code.clone() }, What::RefundFailed { code })
            }
        };
        self.answer(operation, answer);
        self.told(operation, what, at);
    }

    /// Begins an operation on a payment.
    fn begin(
        &mut self,
        (id, about): (u64, &Call),
        reference: PspReference,
        amount: i64,
        answer: Answer,
        script: Option<&Script>,
        at: Moment<'_>,
    ) -> u64 {
        let operation = self.next();
        let unseen = script == Some(&Script::Unseen);
        let grace = Duration::from_secs(self.settings.capabilities.grace_seconds.into());
        let found_from: Timestamp = if unseen { at.now.plus(grace) } else { at.now };
        let (kind, our_reference) = (about.kind, about.our);
        let at = at.now;
        let payment = id;
        let begun =
            Operation { kind, reference, our_reference, amount, answer, at, payment, found_from };
        self.operations.insert(operation, begun);
        if let Some(OurReference(our)) = our_reference {
            self.by_our.insert(our, operation);
        }
        self.with(id, |payment| payment.operations.push(operation));
        operation
    }

    pub(super) fn with(&mut self, payment: u64, change: impl FnOnce(&mut Payment)) {
        if let Some(payment) = self.payments.get_mut(&payment) {
            change(payment);
        }
    }

    pub(super) fn answer(&mut self, operation: u64, answer: Answer) {
        if let Some(operation) = self.operations.get_mut(&operation) {
            operation.answer = answer;
        }
    }

    fn answered(&self, operation: u64) -> Answer {
        let answer = self.operations.get(&operation).map(|operation| operation.answer.clone());
        answer.unwrap_or_else(|| refused("processing_error"))
    }

    pub(super) fn both(&self, operation: u64) -> Option<(u64, Payment, Operation)> {
        let op = self.operations.get(&operation)?;
        let payment = self.payments.get(&op.payment)?;
        Some((op.payment, payment.clone(), op.clone()))
    }

    pub(super) fn told(&mut self, operation: u64, what: What, at: Moment<'_>) {
        if let Some((_, payment, op)) = self.both(operation) {
            self.tell((&payment, &op), what, at);
        }
    }

    pub(super) fn later(&mut self, at: Timestamp, later: Later) {
        let number = self.next();
        self.due.insert((at, number), later);
    }
}
