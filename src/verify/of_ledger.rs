use ledger::{BookLaw, audit};

use super::of_money;
use super::report::{Law, Report};
use super::stores::{ROWS, Rest, readable};
use crate::engine::services::ledger::SERVICE;

/// Reckons the whole book anew.
pub(super) async fn of_rows(report: &mut Report, rest: &Rest<'_>) -> anyhow::Result<()> {
    let found = audit(rest.stores.of(&SERVICE)?).await;
    let Some(found) = readable(report, Law::MoneyChain, ROWS, found)? else { return Ok(()) };
    for law in [Law::MoneyChain, Law::EntriesBalanced, Law::LimitsHeld] {
        report.check_many(law, found.transfers);
    }
    report.check_many(Law::BalancesAsTransfers, found.accounts);
    report.check_many(Law::HoldsAsTransfers, found.holds);
    of_money::check(report, rest, found.of_payments).await?;
    for one in found.findings {
        let law = match one.law {
            BookLaw::Chain => Law::MoneyChain,
            BookLaw::Balanced => Law::EntriesBalanced,
            BookLaw::Balances => Law::BalancesAsTransfers,
            BookLaw::Limits => Law::LimitsHeld,
            BookLaw::Holds => Law::HoldsAsTransfers,
        };
        report.find(law, one.subject, one.detail);
    }
    Ok(())
}
