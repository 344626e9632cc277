//! The simulator's own book: what it says happened. Tests and `verify` compare it with ours.
//! Never here: when something happens, or who is told.

use std::collections::{BTreeMap, VecDeque};

use shared_events::contract::{Currency, Money, Timestamp};

use crate::{OurReference, PspReference};

/// Lines that a book keeps; older ones are in its totals only. 200 bytes each.
const LINES_MAX: usize = 1_000_000;

/// What moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Move {
    /// Money was reserved.
    Authorized,
    /// A reservation, or the rest of one, ended without a capture.
    Released,
    /// Reserved money was taken.
    Captured,
    /// A capture was undone; the money is reserved again.
    CaptureFailed,
    /// Money was paid back.
    Refunded,
    /// A refund was undone.
    RefundFailed,
    /// A disputed amount was taken back from the seller.
    DisputeOpened,
    /// The seller got it again.
    DisputeWon,
}

impl Move {
    /// Its name, such as `captured`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::Released => "released",
            Self::Captured => "captured",
            Self::CaptureFailed => "capture_failed",
            Self::Refunded => "refunded",
            Self::RefundFailed => "refund_failed",
            Self::DisputeOpened => "dispute_opened",
            Self::DisputeWon => "dispute_won",
        }
    }

    /// Whether the seller gets (1) or loses (-1) money by it, or no money moves (0).
    #[must_use]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Authorized | Self::Released => 0,
            Self::Captured | Self::RefundFailed | Self::DisputeWon => 1,
            Self::CaptureFailed | Self::Refunded | Self::DisputeOpened => -1,
        }
    }
}

/// One line of the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 1 for the first line, and so on without a gap.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What moved.
    pub moved: Move,
    /// The authorisation.
    pub payment: PspReference,
    /// The authorisation, capture or refund itself.
    pub reference: PspReference,
    /// The operation of ours that asked for it, where one did.
    pub our_reference: Option<OurReference>,
    /// How much; never negative.
    pub amount: Money,
    /// The provider's fee for it, in the same currency; negative where it is given back.
    pub fee: i64,
}

/// Sums of one payment, in minor units of its currency. None is ever negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Reserved, ever.
    pub authorized: i64,
    /// Ended without a capture.
    pub released: i64,
    /// Taken, without captures that failed.
    pub captured: i64,
    /// Paid back, without refunds that failed.
    pub refunded: i64,
    /// Disputed, without disputes that the seller won.
    pub disputed: i64,
}

impl Sums {
    /// What is still reserved.
    #[must_use]
    pub const fn open(&self) -> i64 {
        self.authorized - self.released - self.captured
    }

    /// What the seller has of it, before fees.
    #[must_use]
    pub const fn kept(&self) -> i64 {
        self.captured - self.refunded - self.disputed
    }

    fn moved(&self, moved: Move, amount: i64) -> Option<Self> {
        let mut next = *self;
        match moved {
            Move::Authorized => next.authorized = next.authorized.checked_add(amount)?,
            Move::Released => next.released += amount,
            Move::Captured => next.captured += amount,
            Move::CaptureFailed => next.captured -= amount,
            Move::Refunded => next.refunded += amount,
            Move::RefundFailed => next.refunded -= amount,
            Move::DisputeOpened => next.disputed += amount,
            Move::DisputeWon => next.disputed -= amount,
        }
        let never_negative = [next.refunded, next.disputed, next.captured, next.released];
        let holds = never_negative.iter().all(|sum| *sum >= 0) && next.open() >= 0;
        (holds && next.kept() >= 0).then_some(next)
    }
}

/// A move that the book does not take: more than there is, nothing, or another currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the book does not take this move")]
pub struct Refused;

/// Sums of all payments in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// By [`Move`], in the order of its variants.
    moves: [i128; 8],
    /// Fees.
    pub fees: i128,
}

impl Totals {
    /// All that moved so.
    #[must_use]
    pub const fn of(&self, moved: Move) -> i128 {
        self.moves[moved as usize]
    }

    /// What sellers have, before fees.
    #[must_use]
    pub const fn kept(&self) -> i128 {
        self.of(Move::Captured) - self.of(Move::CaptureFailed) - self.of(Move::Refunded)
            + self.of(Move::RefundFailed)
            - self.of(Move::DisputeOpened)
            + self.of(Move::DisputeWon)
    }

    fn add(&mut self, line: &Line) {
        self.moves[line.moved as usize] += i128::from(line.amount.minor);
        self.fees += i128::from(line.fee);
    }
}

/// The book.
#[derive(Clone, Debug, Default)]
pub struct Book {
    lines: VecDeque<Line>,
    written: u64,
    payments: BTreeMap<PspReference, (Currency, Sums)>,
    totals: BTreeMap<Currency, Totals>,
    // What lines and payments that are no longer kept brought.
    carried: BTreeMap<Currency, Totals>,
    forgotten: BTreeMap<Currency, i128>,
}

impl Book {
    /// Writes a line. Its number is the book's.
    ///
    /// # Errors
    /// [`Refused`]; then nothing is written.
    pub fn write(&mut self, mut line: Line) -> Result<(), Refused> {
        let currency = line.amount.currency;
        let (known, sums) =
            self.payments.get(&line.payment).copied().unwrap_or((currency, Sums::default()));
        if known != currency || line.amount.minor <= 0 {
            return Err(Refused);
        }
        let sums = sums.moved(line.moved, line.amount.minor).ok_or(Refused)?;
        self.payments.insert(line.payment.clone(), (currency, sums));
        self.totals.entry(currency).or_default().add(&line);
        self.written += 1;
        line.number = self.written;
        self.lines.push_back(line);
        while self.lines.len() > LINES_MAX {
            self.carry();
        }
        Ok(())
    }

    /// The sums of a payment; zeros where it never had money.
    #[must_use]
    pub fn sums(&self, payment: &PspReference) -> Sums {
        self.payments.get(payment).map(|(_, sums)| *sums).unwrap_or_default()
    }

    /// The kept lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    /// The kept payments.
    pub fn payments(&self) -> impl Iterator<Item = (&PspReference, Currency, Sums)> {
        self.payments.iter().map(|(payment, (currency, sums))| (payment, *currency, *sums))
    }

    /// The totals of each currency, of all that ever happened.
    #[must_use]
    pub const fn totals(&self) -> &BTreeMap<Currency, Totals> {
        &self.totals
    }

    /// Forgets a payment; its amounts stay in the totals.
    pub(super) fn forget(&mut self, payment: &PspReference) {
        if let Some((currency, sums)) = self.payments.remove(payment) {
            *self.forgotten.entry(currency).or_default() += i128::from(sums.kept());
        }
    }

    /// Forgets lines before an instant.
    pub(super) fn forget_lines(&mut self, before: Timestamp) {
        while self.lines.front().is_some_and(|line| line.at < before) {
            self.carry();
        }
    }

    fn carry(&mut self) {
        if let Some(line) = self.lines.pop_front() {
            self.carried.entry(line.amount.currency).or_default().add(&line);
        }
    }

    /// Whether lines, payments and totals say the same.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut folded = self.carried.clone();
        for line in &self.lines {
            folded.entry(line.amount.currency).or_default().add(line);
        }
        let mut kept = self.forgotten.clone();
        for (currency, sums) in self.payments.values() {
            *kept.entry(*currency).or_default() += i128::from(sums.kept());
        }
        let as_kept = |(currency, totals): (&Currency, &Totals)| {
            totals.kept() == kept.get(currency).copied().unwrap_or(0)
        };
        folded == self.totals && self.totals.iter().all(as_kept)
    }
}
