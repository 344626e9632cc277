//! What happens by itself, when its time has come.

use shared_events::contract::Money;

use super::book::Move;
use super::machine::{Moment, Simulator};
use super::payment::State;
use crate::{Answer, Kind, PspReference, What};

/// What happens later. Operations and payments are named by their numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Later {
    Settles { operation: u64, done: bool },
    ActionEnds { operation: u64 },
    Succeeds { operation: u64 },
    Reverses { operation: u64 },
    Expires { operation: u64 },
    Fails { operation: u64 },
    Disputes { operation: u64, verdict: Option<bool> },
    Judged { operation: u64, won: bool, amount: i64 },
    Forget { payment: u64 },
    PayoutEnds { payout: u64, paid: bool },
    ForgetPayout { payout: u64 },
}

impl Simulator {
    /// Lets everything happen whose time has come.
    pub fn advance(&mut self, at: Moment<'_>) {
        while let Some(first) = self.due.first_entry() {
            let due = first.key().0;
            if due > at.now {
                break;
            }
            let later = first.remove();
            self.happen(later, Moment { now: due, ..at });
        }
        self.forget(at.now);
    }

    fn happen(&mut self, later: Later, at: Moment<'_>) {
        match later {
            Later::Settles { operation, done } => self.settles(operation, done, at),
            Later::ActionEnds { operation } => {
                if self.state_is(operation, State::Action) {
                    self.decline(operation, "action_expired", at);
                }
            }
            Later::Succeeds { operation } => {
                if self.state_is(operation, State::Declined) {
                    self.open(operation, at);
                }
            }
            Later::Reverses { operation } => self.ends(operation, true, at),
            Later::Expires { operation } => self.ends(operation, false, at),
            Later::Fails { operation } => self.fails(operation, at),
            Later::Disputes { operation, verdict } => self.disputes(operation, verdict, at),
            Later::Judged { operation, won, amount } => self.judged(operation, won, amount, at),
            Later::Forget { payment } => self.forget_payment(payment),
            Later::PayoutEnds { payout, paid } => self.payout_ends(payout, paid, at),
            Later::ForgetPayout { payout } => self.forget_payout(payout),
        }
    }

    fn state_is(&self, operation: u64, state: State) -> bool {
        let payment = self.operations.get(&operation).and_then(|op| self.payments.get(&op.payment));
        payment.is_some_and(|payment| payment.state == state)
    }

    fn settles(&mut self, operation: u64, done: bool, at: Moment<'_>) {
        let Some((_, payment, op)) = self.both(operation) else { return };
        match op.kind {
            Kind::Authorize if payment.state != State::Pending => {}
            Kind::Authorize if done => self.open(operation, at),
            Kind::Authorize => self.decline(operation, "processing_declined", at),
            Kind::Void | Kind::Payout => {}
            Kind::Capture | Kind::Refund => {
                let code =
                    if op.kind == Kind::Capture { "capture_failed" } else { "refund_failed" };
                self.settle(operation, if done { Ok(()) } else { Err(code) }, at);
            }
        }
    }

    /// Ends an authorisation: the issuer takes it back, or its time is over.
    fn ends(&mut self, operation: u64, reversed: bool, at: Moment<'_>) {
        let Some((id, payment, op)) = self.both(operation) else { return };
        let captured = self.book.sums(&payment.reference).captured + payment.capture_pending;
        if payment.state != State::Open || (reversed && captured > 0) {
            return;
        }
        let released = self.release_rest(id, operation, at);
        self.with(id, |payment| {
            payment.state = State::Ended;
            payment.valid_until = payment.valid_until.filter(|_| !reversed);
        });
        if reversed {
            self.answer(operation, Answer::Declined { code: "reversed".to_owned() });
        }
        if released > 0 {
            let what = if reversed { What::Reversed } else { What::Expired };
            self.tell((&payment, &op), what, at);
        }
    }

    fn fails(&mut self, operation: u64, at: Moment<'_>) {
        let Some((id, payment, op)) = self.both(operation) else { return };
        if !matches!(op.answer, Answer::Done { .. }) {
            return;
        }
        let (moved, code) = match op.kind {
            Kind::Capture => (Move::CaptureFailed, "capture_failed"),
            _ => (Move::RefundFailed, "refund_failed"),
        };
        // A capture of which something is, or is being, paid back stands.
        let kept = self.book.sums(&payment.reference).kept() - payment.refund_pending;
        if op.kind == Kind::Capture && kept < op.amount {
            return;
        }
        if self.write(moved, (&payment, &op), op.amount, at.now).is_err() {
            return;
        }
        if payment.state == State::Ended {
            self.release_rest(id, operation, at);
        }
        let code = code.to_owned();
        self.answer(operation, Answer::Declined { code: code.clone() });
        let what = match op.kind {
            Kind::Capture => What::CaptureFailed { code },
            _ => What::RefundFailed { code },
        };
        self.tell((&payment, &op), what, at);
    }

    fn disputes(&mut self, operation: u64, verdict: Option<bool>, at: Moment<'_>) {
        let Some((id, payment, op)) = self.both(operation) else { return };
        let minor = self.book.sums(&payment.reference).kept() - payment.refund_pending;
        let minor = minor.min(op.amount);
        if minor <= 0
            || payment.disputed
            || self.write(Move::DisputeOpened, (&payment, &op), minor, at.now).is_err()
        {
            return;
        }
        self.with(id, |payment| payment.disputed = true);
        let amount = Money::new(minor, payment.currency);
        let respond_by = Some(at.now.plus(self.settings.times.verdict));
        self.tell((&payment, &op), What::DisputeOpened { amount, respond_by }, at);
        if let Some(won) = verdict {
            let then = at.now.plus(self.settings.times.verdict);
            self.later(then, Later::Judged { operation, won, amount: minor });
        }
    }

    fn judged(&mut self, operation: u64, won: bool, minor: i64, at: Moment<'_>) {
        let Some((id, payment, op)) = self.both(operation) else { return };
        if won && self.write(Move::DisputeWon, (&payment, &op), minor, at.now).is_err() {
            return;
        }
        self.with(id, |payment| payment.disputed = false);
        let amount = Money::new(minor, payment.currency);
        let what = match won {
            true => What::DisputeWon { amount },
            false => What::DisputeLost { amount },
        };
        self.tell((&payment, &op), what, at);
    }

    /// Lets the customer act, where they must.
    ///
    /// Returns whether anything waited for them.
    pub fn act(&mut self, payment: &PspReference, approve: bool, at: Moment<'_>) -> bool {
        self.advance(at);
        let waiting = self.payment(payment).filter(|payment| payment.state == State::Action);
        let Some(operation) = waiting.and_then(|payment| payment.operations.first().copied())
        else {
            return false;
        };
        match approve {
            true => self.open(operation, at),
            false => self.decline(operation, "authentication_failed", at),
        }
        true
    }

    fn forget_payment(&mut self, id: u64) {
        let Some(payment) = self.payments.remove(&id) else { return };
        self.book.forget(&payment.reference);
        self.references.remove(&payment.reference);
        for operation in payment.operations {
            if let Some(op) = self.operations.remove(&operation) {
                self.references.remove(&op.reference);
                if let Some(our) = op.our_reference
                    && self.by_our.get(&our.0) == Some(&operation)
                {
                    self.by_our.remove(&our.0);
                }
            }
        }
    }
}
