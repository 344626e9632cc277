//! Payouts to sellers, as pure values: what can be paid, and what becomes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use psp::{Answer, Found};
use shared_events::contract::{
    Currency, FactId, Money, Origin, PayoutFact, PayoutHeader, PayoutId, PspName, Seller, Timestamp,
};
use uuid::Uuid;

use super::{Observation, PayoutState, Schedule, Settles, Stage};

/// The most that a share of a reserve can be: all of it.
pub const BPS_MAX: u32 = 10_000;
/// How long a payout that was paid is asked about. Later a webhook alone tells that it came back.
const WATCHED_FOR: Duration = Duration::from_secs(14 * 24 * 3_600);
/// How often.
const WATCHED_EVERY: Duration = DAY;
/// A day, by UTC.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Why a person must look at a payout of another amount than was asked for.
pub const OTHER_AMOUNT: &str = "other_amount";

/// When sellers are paid out, by whom, and how much stays with the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutRules {
    /// The provider that pays.
    pub psp: PspName,
    /// What was credited so long ago is paid out.
    pub after: Duration,
    /// The share of what a seller earned lately that stays, in hundredths of a percent: up to
    /// [`BPS_MAX`].
    pub reserve_bps: u32,
    /// How long ago lately begins.
    pub reserve_for: Duration,
    /// What stays at least, in minor units.
    pub reserve_minimum: BTreeMap<Currency, i64>,
    /// How much sellers may owe before people are told, in minor units.
    pub debt_max: BTreeMap<Currency, i64>,
    /// When all sellers are paid out every day, after midnight (UTC); none for never.
    pub daily_at: Option<Duration>,
}

impl PayoutRules {
    /// What stays of a seller's money in a currency.
    #[must_use]
    pub fn reserve(&self, currency: Currency) -> Reserve {
        let minimum = self.reserve_minimum.get(&currency).copied().unwrap_or_default();
        Reserve { bps: self.reserve_bps, minimum }
    }

    /// Whether a seller with this balance, which is below zero, owes more than they may.
    #[must_use]
    pub fn owes_too_much(&self, currency: Currency, balance: i64) -> bool {
        let may = self.debt_max.get(&currency).copied().unwrap_or_default();
        i128::from(balance) < -i128::from(may)
    }

    /// The latest time by which all sellers are to be paid out for a day, and the id of that run:
    /// the same in every process.
    #[must_use]
    pub fn daily(&self, now: Timestamp) -> Option<(Timestamp, Uuid)> {
        let day = i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX);
        let into = i64::try_from(self.daily_at?.as_micros()).unwrap_or(i64::MAX);
        let begun = now.micros().checked_sub(into)?.div_euclid(day).checked_mul(day)?;
        let at = Timestamp::checked_from_micros(begun.checked_add(into)?)?;
        Some((at, Uuid::new_v5(&DAILY, at.to_string().as_bytes())))
    }
}

/// The namespace of the ids of daily runs, chosen once.
const DAILY: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_7061_796f_7574);

/// What stays with the shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// The share of what was earned lately, in hundredths of a percent.
    pub bps: u32,
    /// At least so much, in minor units.
    pub minimum: i64,
}

/// What the book has of a seller in a currency, in minor units; none is below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SellerBalance {
    /// All that was ever credited.
    pub credits: i64,
    /// All that was ever debited.
    pub debits: i64,
    /// Debits that are held.
    pub held: i64,
    /// Of the credits, those that are old enough to be paid out.
    pub old_credits: i64,
    /// Of the credits, those that are too old to count for the reserve.
    pub earlier_credits: i64,
}

/// What came back of payouts that were paid, in minor units. The book has that as new credits, and
/// it is none: it was old enough, and earned, before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CameBack {
    /// Since the credits that are old enough.
    pub since_old: i64,
    /// Since the credits that are too old to count for the reserve.
    pub since_earlier: i64,
}

impl SellerBalance {
    /// What the seller has, with what is held counted as spent. Below zero they owe it to the shop.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.credits.saturating_sub(self.debits).saturating_sub(self.held)
    }

    /// What can be paid out: of what is old enough, less all debits however new, what the reserve
    /// leaves.
    #[must_use]
    pub fn payable(&self, back: CameBack, reserve: Reserve) -> i64 {
        let spent = i128::from(self.debits) + i128::from(self.held);
        let old = i128::from(self.old_credits) + i128::from(back.since_old) - spent;
        let earned = i128::from(self.credits)
            - i128::from(self.earlier_credits)
            - i128::from(back.since_earlier);
        let bps = i128::from(BPS_MAX);
        // Rounded up: what stays is never too little.
        let share = (earned.max(0) * i128::from(reserve.bps) + bps - 1) / bps;
        let stays = share.max(i128::from(reserve.minimum));
        let left = i128::from(self.credits) - spent - stays;
        i64::try_from(old.min(left).max(0)).unwrap_or(i64::MAX)
    }
}

/// What is paid out to a seller at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payout {
    /// Its id: that of its hold in the book, and our reference at the provider.
    pub id: PayoutId,
    /// The run that made it.
    pub run_id: Uuid,
    /// Whom it is paid to.
    pub seller: Seller,
    /// The provider that pays it.
    pub psp: PspName,
    /// How much; 0 until what the seller has was counted.
    pub amount: Money,
    /// Where it is.
    pub state: PayoutState,
    /// What the provider has said, while that is not booked.
    pub settles: Option<Settles>,
    /// Why it was not paid, or why a person must look; empty else.
    pub code: String,
    /// The provider's name of it.
    pub reference: Option<String>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was booked as paid.
    pub paid_at: Option<Timestamp>,
    /// When it was booked as returned.
    pub returned_at: Option<Timestamp>,
    /// Of one that came back after it was paid: when the book had the amount again, by its time.
    pub restored_at: Option<Timestamp>,
}

/// What is to be booked of a payout. Each has an id of its own, so that it is booked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookStep {
    /// The amount is held.
    Hold,
    /// The hold is posted: it is paid.
    Post,
    /// The hold is voided: it was not paid.
    Void,
    /// What was posted is mirrored: it came back.
    Mirror,
}

impl BookStep {
    /// What the book must have before it, in its order.
    #[must_use]
    pub const fn before(self) -> &'static [Self] {
        match self {
            Self::Hold => &[],
            Self::Post | Self::Void => &[Self::Hold],
            Self::Mirror => &[Self::Hold, Self::Post],
        }
    }
}

impl Payout {
    /// The id of the payout of a run to a seller in a currency: a run pays each once.
    #[must_use]
    pub fn id_of(run: Uuid, seller: &Seller, currency: Currency) -> PayoutId {
        let name = format!("payout/{currency}/{seller}");
        PayoutId::from_uuid(Uuid::new_v5(&run, name.as_bytes()))
    }

    /// What is to be booked next; none where that is nothing, or the amount is not known yet.
    #[must_use]
    pub fn to_be_booked(&self) -> Option<BookStep> {
        match (self.state, self.settles) {
            (PayoutState::Collecting, _) => (self.amount.minor > 0).then_some(BookStep::Hold),
            (PayoutState::Settling, Some(Settles::Paid)) => Some(BookStep::Post),
            (PayoutState::Settling, Some(Settles::Returned)) => {
                Some(if self.paid_at.is_some() { BookStep::Mirror } else { BookStep::Void })
            }
            _ => None,
        }
    }

    /// The last step that the book must have of it; none where it need not have any.
    #[must_use]
    pub const fn last_booked(&self) -> Option<BookStep> {
        use PayoutState::{Collected, Collecting, Paid, Refused, Returned, Settling};
        use PayoutState::{Stuck, Submitted};
        match (self.state, self.paid_at.is_some()) {
            (Collecting | Refused, _) => None,
            (Returned, true) => Some(BookStep::Mirror),
            (Returned, false) => Some(BookStep::Void),
            (Paid | Settling | Stuck, true) => Some(BookStep::Post),
            (Collected | Submitted | Paid | Settling | Stuck, _) => Some(BookStep::Hold),
        }
    }

    /// Whether the seller has it again, or is about to, and it was never paid as far as is known.
    #[must_use]
    pub fn is_given_back(&self) -> bool {
        let gives_back = match self.state {
            PayoutState::Returned => true,
            PayoutState::Settling => self.settles == Some(Settles::Returned),
            _ => false,
        };
        gives_back && self.paid_at.is_none()
    }

    /// As it is once that is booked, by the book's time.
    #[must_use]
    pub fn booked(&self, step: BookStep, at: Timestamp, now: Timestamp) -> Self {
        let one = Self { settles: None, ..self.clone() };
        match step {
            BookStep::Hold => Self { state: PayoutState::Collected, ..one },
            BookStep::Post => Self { state: PayoutState::Paid, paid_at: Some(now), ..one },
            BookStep::Void => Self { state: PayoutState::Returned, returned_at: Some(now), ..one },
            BookStep::Mirror => Self {
                state: PayoutState::Returned,
                returned_at: Some(now),
                restored_at: Some(at),
                ..one
            },
        }
    }

    /// As it is once the book has refused that for good.
    #[must_use]
    pub fn refused(&self, step: BookStep, code: String) -> Self {
        let state = match step {
            BookStep::Hold => PayoutState::Refused,
            // The money is elsewhere than the book says: a person must look.
            BookStep::Post | BookStep::Void | BookStep::Mirror => PayoutState::Stuck,
        };
        Self { state, settles: None, code, ..self.clone() }
    }

    /// As it is once the provider, or a person, has said so; none where that changes nothing. What
    /// was accepted is not paid, and what was paid may come back.
    #[must_use]
    pub fn heard(&self, seen: Observation) -> Option<Self> {
        use PayoutState::{Collected, Paid, Settling, Stuck, Submitted};
        let is_open = matches!(self.state, Collected | Submitted | Stuck);
        let one = self.clone();
        Some(match seen {
            Observation::Done { reference, amount, .. } if is_open => {
                let reference = Some(reference);
                if amount == self.amount {
                    let (settles, code) = (Some(Settles::Paid), String::new());
                    Self { state: Settling, settles, code, reference, ..one }
                } else {
                    Self { state: Stuck, code: OTHER_AMOUNT.to_owned(), reference, ..one }
                }
            }
            Observation::Pending { reference } if matches!(self.state, Collected | Stuck) => {
                let (reference, code) = (Some(reference), String::new());
                Self { state: Submitted, code, reference, ..one }
            }
            Observation::Declined { code } | Observation::Reversed { code }
                if is_open || self.state == Paid =>
            {
                Self { state: Settling, settles: Some(Settles::Returned), code, ..one }
            }
            Observation::Stuck { why } if matches!(self.state, Collected | Submitted) => {
                Self { state: Stuck, code: why, ..one }
            }
            _ => return None,
        })
    }

    /// The fact that tells what became of it, with its id.
    #[must_use]
    pub fn told(&self, before: PayoutState, now: Timestamp) -> Option<(FactId, PayoutFact)> {
        if before == self.state {
            return None;
        }
        let payout = PayoutHeader {
            payout_id: self.id,
            seller: self.seller.clone(),
            psp: self.psp.clone(),
            amount: self.amount,
            at: now,
        };
        let fact = match self.state {
            PayoutState::Collected if before == PayoutState::Collecting => {
                PayoutFact::Sent { payout }
            }
            PayoutState::Paid => PayoutFact::Paid { payout },
            PayoutState::Returned => {
                let (was_paid, code) = (self.paid_at.is_some(), self.code.clone());
                PayoutFact::Returned { payout, was_paid, code }
            }
            _ => return None,
        };
        Some((FactId::once(Origin::Payments, self.id.uuid(), fact.kind()), fact))
    }

    /// What was found out about one that is paid, and when it is asked about next.
    #[must_use]
    pub fn watched(
        &self,
        schedule: &Schedule,
        found: Found,
        now: Timestamp,
    ) -> (Schedule, Option<Observation>) {
        let seen = match found {
            Found::Known(Answer::Declined { code }) => Some(Observation::Declined { code }),
            _ => None,
        };
        let until = self.paid_at.unwrap_or(now).plus(WATCHED_FOR);
        let due_at = now.plus(WATCHED_EVERY);
        let stage = if due_at <= until { Stage::Looking } else { Stage::Done };
        (Schedule { stage, due_at, ..schedule.clone() }, seen)
    }
}

/// What is next for a payout in this state, as of now.
#[must_use]
pub fn scheduled(payout: &Payout, schedule: &Schedule, now: Timestamp) -> Schedule {
    let at = |stage: Stage, due_at: Timestamp| Schedule {
        stage,
        due_at,
        questions: 0,
        note: String::new(),
        ..schedule.clone()
    };
    match payout.state {
        PayoutState::Collecting | PayoutState::Settling => at(Stage::Due, now),
        // Nobody has called yet.
        PayoutState::Collected => Schedule::due(now),
        PayoutState::Submitted => at(Stage::Looking, now),
        PayoutState::Paid => at(Stage::Looking, now.plus(WATCHED_EVERY)),
        PayoutState::Returned | PayoutState::Refused => at(Stage::Done, now),
        PayoutState::Stuck => Schedule { note: schedule.note.clone(), ..at(Stage::Stuck, now) },
    }
}
