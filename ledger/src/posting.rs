//! What a fact of payments is in the book. Pure: the same fact is the same entry.

use shared_events::contract::{CapturePolicy, Money, PaymentFact, PaymentHeader, Reversed};

use crate::domain::{ChartAccount, EntryId};
use crate::parts::Legs;
use crate::settling;

pub use crate::parts::{Posting, Unbookable};
pub use crate::settling::{line_of, unknown_by};

impl Legs {
    /// What a provider takes, or gives back, of sellers, fees and what is held.
    fn takings(&mut self, of: &Takings<'_>, direction: Direction) -> Result<(), Unbookable> {
        let Takings { payment, amount, fee, held } = of;
        let psp = ChartAccount::PspReceivable(&payment.psp);
        let share = amount.checked_sub(*fee).and_then(|rest| rest.checked_sub(*held));
        let share = share.ok_or_else(|| Unbookable("an amount out of range".to_owned()))?;
        let parts = [
            (earner(payment), share),
            (ChartAccount::FeeRevenue, *fee),
            (ChartAccount::CustomerHeld, *held),
        ];
        for (account, minor) in parts {
            match direction {
                Direction::In => self.move_money(psp, account, minor)?,
                Direction::Out => self.move_money(account, psp, minor)?,
            }
        }
        Ok(())
    }

    /// What is reserved grows, or falls.
    fn reserved(&mut self, minor: i64, direction: Direction) -> Result<(), Unbookable> {
        let (debit, credit) = (ChartAccount::AuthMemoDebit, ChartAccount::AuthMemoCredit);
        match direction {
            Direction::In => self.move_money(debit, credit, minor),
            Direction::Out => self.move_money(credit, debit, minor),
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

struct Takings<'a> {
    payment: &'a PaymentHeader,
    amount: i64,
    fee: i64,
    held: i64,
}

/// Who gets what is not the shop's fee.
fn earner(payment: &PaymentHeader) -> ChartAccount<'_> {
    payment.seller.as_ref().map_or(ChartAccount::Sales, ChartAccount::Seller)
}

/// The payment that a fact about money is about.
#[must_use]
pub const fn payment_of(fact: &PaymentFact) -> Option<&PaymentHeader> {
    match fact {
        PaymentFact::Authorized { payment, .. }
        | PaymentFact::Captured { payment, .. }
        | PaymentFact::Earned { payment, .. }
        | PaymentFact::Voided { payment }
        | PaymentFact::Expired { payment }
        | PaymentFact::Refunded { payment, .. }
        | PaymentFact::Reversed { payment, .. } => Some(payment),
        // What a dispute takes is not booked yet.
        PaymentFact::Disputed { .. }
        | PaymentFact::DisputeClosed { .. }
        | PaymentFact::Secured { .. }
        | PaymentFact::Failed { .. }
        | PaymentFact::Lost { .. }
        | PaymentFact::Released { .. }
        | PaymentFact::RefundSettled { .. }
        | PaymentFact::RefundFailed { .. }
        | PaymentFact::SettlementLine { .. }
        | PaymentFact::SettlementResolved { .. } => None,
    }
}

/// By how much a fact changes what is taken from the customer and not paid back, in minor units.
#[must_use]
pub const fn taken_by(fact: &PaymentFact) -> i64 {
    match fact {
        PaymentFact::Captured { payment, .. }
        | PaymentFact::Reversed { payment, reverses: Reversed::Refund, .. } => payment.amount.minor,
        PaymentFact::Refunded { payment, .. }
        | PaymentFact::Reversed { payment, reverses: Reversed::Capture, .. } => {
            -payment.amount.minor
        }
        _ => 0,
    }
}

/// The entry of a fact; none where it moves nothing.
///
/// # Errors
/// [`Unbookable`]
pub fn posting(fact: &PaymentFact) -> Result<Option<Posting>, Unbookable> {
    if let Some(line) = line_of(fact) {
        return settling::posting(fact, line);
    }
    let Some(payment) = payment_of(fact) else { return Ok(None) };
    let currency = payment.amount.currency;
    let mut book = Legs::new(currency);
    let minor = |money: Option<Money>| match money {
        None => Ok(0),
        Some(money) if money.currency == currency => Ok(money.minor),
        Some(_) => Err(Unbookable("amounts of two currencies".to_owned())),
    };
    let amount = payment.amount.minor;
    let all = |fee: Money, held: Option<Money>| -> Result<Takings<'_>, Unbookable> {
        Ok(Takings { payment, amount, fee: minor(Some(fee))?, held: minor(held)? })
    };
    match fact {
        PaymentFact::Authorized { .. } => book.reserved(amount, Direction::In)?,
        PaymentFact::Voided { .. } | PaymentFact::Expired { .. } => {
            book.reserved(amount, Direction::Out)?;
        }
        PaymentFact::Captured { fee, capture, .. } => {
            book.reserved(amount, Direction::Out)?;
            match capture {
                CapturePolicy::OnFulfil => book.takings(&all(*fee, None)?, Direction::In)?,
                // Taken before the goods leave, it is nobody's yet, and without a fee.
                CapturePolicy::OnConfirm => {
                    let none = Money::new(0, currency);
                    book.takings(&all(none, Some(payment.amount))?, Direction::In)?;
                }
            }
        }
        PaymentFact::Earned { fee, .. } => {
            let (fee, held) = (minor(Some(*fee))?, ChartAccount::CustomerHeld);
            book.move_money(held, earner(payment), amount.saturating_sub(fee))?;
            book.move_money(held, ChartAccount::FeeRevenue, fee)?;
        }
        PaymentFact::Refunded { fee, held, .. } => {
            book.takings(&all(*fee, *held)?, Direction::Out)?;
        }
        PaymentFact::Reversed { reverses, fee, held, restored, .. } => match reverses {
            Reversed::Authorization => book.reserved(amount, Direction::Out)?,
            Reversed::Capture => {
                book.reserved(minor(*restored)?, Direction::In)?;
                book.takings(&all(*fee, *held)?, Direction::Out)?;
            }
            Reversed::Refund => book.takings(&all(*fee, *held)?, Direction::In)?,
        },
        _ => {}
    }
    book.entry(id_of(fact, payment), reason(fact, payment))
}

/// The id of the entry: of what was done at the provider, which happens once, and not of the fact.
/// Payments that are restored from an older copy find the same operations again, and tell them
/// again; those of earlier versions did so by facts of other ids.
fn id_of(fact: &PaymentFact, payment: &PaymentHeader) -> EntryId {
    let operation = payment.operation_id.uuid();
    let name = match fact {
        // Several may end parts of one authorisation.
        PaymentFact::Voided { .. } => format!("{}/{}", fact.kind(), payment.cause),
        // Parcels earn of one capture.
        PaymentFact::Earned { through, .. } => format!("{}/{}", fact.kind(), through.minor),
        _ => fact.kind().to_owned(),
    };
    EntryId::of_cause(operation, &name)
}

/// What people read with the entry.
fn reason(fact: &PaymentFact, payment: &PaymentHeader) -> String {
    let PaymentHeader { order_id, payment_id, seller, .. } = payment;
    let seller = seller.as_ref().map(|seller| format!(", seller {seller}")).unwrap_or_default();
    let text = format!("{}, order {order_id}, payment {payment_id}{seller}", fact.kind());
    let kind = match fact {
        PaymentFact::Reversed { reverses: Reversed::Authorization, .. } => "payment.authorized.v1",
        PaymentFact::Reversed { reverses: Reversed::Capture, .. } => "payment.captured.v1",
        PaymentFact::Reversed { reverses: Reversed::Refund, .. } => "payment.refunded.v1",
        _ => return text,
    };
    let first = EntryId::of_cause(payment.operation_id.uuid(), kind);
    format!("{text}, reverses entry {first}")
}
