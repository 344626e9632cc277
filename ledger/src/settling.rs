//! What a line of a provider's settlement report is in the book. Pure: the same fact is the same
//! entry.

use shared_events::contract::{LineAccount, PaymentFact, SettledLine};

use crate::domain::{ChartAccount, EntryId};
use crate::parts::{Legs, Posting, Unbookable};

/// The line that a fact is about; none where it is about something else.
#[must_use]
pub const fn line_of(fact: &PaymentFact) -> Option<&SettledLine> {
    match fact {
        PaymentFact::SettlementLine { line, .. } | PaymentFact::SettlementResolved { line, .. } => {
            Some(line)
        }
        _ => None,
    }
}

/// By how much a fact changes what nobody knows what it is for, in minor units.
#[must_use]
pub fn unknown_by(fact: &PaymentFact) -> i128 {
    match fact {
        PaymentFact::SettlementLine { line, account: LineAccount::Suspense } => {
            i128::from(line.gross.minor)
        }
        PaymentFact::SettlementResolved { line, .. } => -i128::from(line.gross.minor),
        _ => 0,
    }
}

/// The entry of a fact about a line; none where it moves nothing.
pub(crate) fn posting(
    fact: &PaymentFact,
    line: &SettledLine,
) -> Result<Option<Posting>, Unbookable> {
    let mut book = Legs::new(line.gross.currency);
    match fact {
        PaymentFact::SettlementLine { account, .. } => paid_out(&mut book, line, *account)?,
        PaymentFact::SettlementResolved { account, .. } => {
            let (from, to) = (ChartAccount::Suspense(&line.psp), against(line, *account));
            book.shift(from, to, line.gross.minor)?;
        }
        _ => {}
    }
    let id = EntryId::of_cause(line.settlement_line_id.uuid(), fact.kind());
    book.entry(id, reason(fact, line))
}

/// What a line brings: what is left of it, and the provider's fee. In another currency the money
/// comes through an account of each, so that the rate of the report stands in the entry.
fn paid_out(book: &mut Legs, line: &SettledLine, account: LineAccount) -> Result<(), Unbookable> {
    let (gross, fee, net) = (book.minor(line.gross)?, book.minor(line.fee)?, book.minor(line.net)?);
    if gross.checked_sub(fee) != Some(net) {
        return Err(Unbookable("the net amount is not gross less fee".to_owned()));
    }
    let bank = match line.settled {
        Some(_) => ChartAccount::Exchange,
        None => ChartAccount::Cash,
    };
    let fees = ChartAccount::PspFee(&line.psp);
    if gross == 0 {
        book.shift(fees, bank, fee)?;
    } else {
        let of = against(line, account);
        book.shift(bank, of, net)?;
        book.shift(fees, of, fee)?;
    }
    if let Some(settled) = line.settled {
        book.currency = settled.currency;
        book.shift(ChartAccount::Cash, ChartAccount::Exchange, settled.minor)?;
    }
    Ok(())
}

/// What the gross amount is booked against.
const fn against(line: &SettledLine, account: LineAccount) -> ChartAccount<'_> {
    match account {
        LineAccount::Receivable => ChartAccount::PspReceivable(&line.psp),
        LineAccount::Disputed => ChartAccount::Disputed(&line.psp),
        LineAccount::Suspense => ChartAccount::Suspense(&line.psp),
        LineAccount::WrittenOff => ChartAccount::PspAdjustments(&line.psp),
    }
}

/// What people read with the entry.
fn reason(fact: &PaymentFact, line: &SettledLine) -> String {
    let SettledLine { psp, psp_line, order_id, exchange_rate, .. } = line;
    let order = order_id.map(|order| format!(", order {order}")).unwrap_or_default();
    let rate = exchange_rate.as_ref().map(|rate| format!(", rate {rate}")).unwrap_or_default();
    format!("{}, line {psp_line} of {psp}{order}{rate}", fact.kind())
}
