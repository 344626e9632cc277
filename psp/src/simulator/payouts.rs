//! What is paid out to sellers. Nothing of it is about a payment; it has a list of its own beside
//! the book of payments.

use std::ops::Bound;
use std::time::Duration;

use shared_events::contract::Timestamp;

use super::later::Later;
use super::machine::{Call, Heard, KEPT, Moment, Simulator, refused};
use super::paid_out::PaidOut;
use super::script::Script;
use crate::{Answer, Event, Found, Kind, OurReference, Payout, What};

/// Payouts that are known at once. Further ones are refused until old ones are forgotten.
const PAYOUTS_MAX: usize = 100_000;
/// Why a payout comes back.
const RETURNED: &str = "account_closed";

impl Simulator {
    /// Pays a seller out. `our` is the operation, where the caller says it.
    pub fn payout(&mut self, call: &Payout, our: Option<OurReference>, at: Moment<'_>) -> Heard {
        let content = format!("payout {} {}", call.destination, call.amount);
        let (kind, key) = (Kind::Payout, call.key);
        let about = Call { kind, key, our, content, about: None, planned: None };
        self.call(about, at, |this, about, script| this.pay_out(call, about, script, at))
    }

    fn pay_out(
        &mut self,
        call: &Payout,
        about: &Call,
        script: Option<&Script>,
        at: Moment<'_>,
    ) -> Answer {
        if call.amount.minor <= 0 {
            return refused("invalid_amount");
        }
        if self.payouts.all.len() >= PAYOUTS_MAX {
            return refused("simulator_full");
        }
        let Some(reference) = self.reference("po") else { return refused("no_reference") };
        let our_reference = about.our.unwrap_or(OurReference(call.key.operation));
        let (amount, times) = (call.amount, self.settings.times);
        let grace = Duration::from_secs(self.settings.capabilities.grace_seconds.into());
        let unseen = script == Some(&Script::Unseen);
        let (id, done) =
            (self.next(), Answer::Done { reference: reference.clone(), amount, valid_until: None });
        let (answer, ends) = match script {
            Some(Script::Decline(code)) => (Answer::Declined { code: code.clone() }, None),
            Some(Script::Pending) => {
                (Answer::Pending { reference: reference.clone() }, Some((times.settle, true)))
            }
            Some(Script::PendingFails) => {
                (Answer::Pending { reference: reference.clone() }, Some((times.settle, false)))
            }
            Some(Script::FailsLater) => (done, Some((times.failure, false))),
            _ => (done, None),
        };
        let paid_out = PaidOut {
            reference,
            our_reference,
            destination: call.destination.clone(),
            amount,
            answer: answer.clone(),
            at: at.now,
            found_from: if unseen { at.now.plus(grace) } else { at.now },
        };
        self.payouts.all.insert(id, paid_out);
        self.payouts.by_our.insert(our_reference.0, id);
        if let Some((after, paid)) = ends {
            self.later(at.now.plus(after), Later::PayoutEnds { payout: id, paid });
        }
        self.later(at.now.plus(KEPT), Later::ForgetPayout { payout: id });
        self.tell_payout(id, at);
        answer
    }

    /// A payout that was worked on, or paid, ends.
    pub(super) fn payout_ends(&mut self, id: u64, paid: bool, at: Moment<'_>) {
        let Some(one) = self.payouts.all.get_mut(&id) else { return };
        let (reference, amount) = (one.reference.clone(), one.amount);
        one.answer = match paid {
            true => Answer::Done { reference, amount, valid_until: None },
            false => Answer::Declined { code: RETURNED.to_owned() },
        };
        self.tell_payout(id, at);
    }

    /// Tells how a payout ended, where it has.
    fn tell_payout(&mut self, id: u64, at: Moment<'_>) {
        let Some(one) = self.payouts.all.get(&id) else { return };
        let what = match &one.answer {
            Answer::Done { amount, .. } => What::PayoutPaid { amount: *amount },
            Answer::Declined { code } => What::PayoutFailed { code: code.clone() },
            _ => return,
        };
        let (reference, our) = (one.reference.clone(), one.our_reference);
        if !self.settings.webhooks {
            return;
        }
        let event = Event {
            id: self.event_id(),
            reference: Some(reference),
            payment: None,
            our_reference: Some(our),
            dispute: None,
            what,
        };
        self.hooks.tell(event, at.now, self.settings.hook_odds, at.chance);
    }

    /// What is known of a payout under our reference; none where there was no such payout.
    pub(super) fn found_payout(&self, our: OurReference, now: Timestamp) -> Option<Found> {
        let one = self.payouts.all.get(self.payouts.by_our.get(&our.0)?)?;
        Some(if one.is_found(now) { Found::Known(one.answer.clone()) } else { Found::Nothing })
    }

    pub(super) fn forget_payout(&mut self, id: u64) {
        let Some(one) = self.payouts.all.remove(&id) else { return };
        if self.payouts.by_our.get(&one.our_reference.0) == Some(&id) {
            self.payouts.by_our.remove(&one.our_reference.0);
        }
    }

    /// The payouts after a number, in the order in which they were asked for.
    pub fn payouts_after(&self, after: u64) -> impl DoubleEndedIterator<Item = (u64, &PaidOut)> {
        let later = (Bound::Excluded(after), Bound::Unbounded);
        self.payouts.all.range(later).map(|(id, one)| (*id, one))
    }

    /// The payout with this name.
    #[must_use]
    pub fn payout_named(&self, reference: &str) -> Option<&PaidOut> {
        self.payouts.all.values().find(|one| one.reference.as_str() == reference)
    }

    /// The newest payout of an operation of ours.
    #[must_use]
    pub fn payout_of(&self, our: OurReference) -> Option<&PaidOut> {
        self.payouts.all.get(self.payouts.by_our.get(&our.0)?)
    }
}
