//! The comparisons, one file each.

mod calls; // 2: through gRPC
mod cold; // 6: orders that are asleep
mod deadlines; // 8: many due deadlines
mod first_order; // 18: from the start to the first order
mod followers; // 10: journal, Redis, service
pub mod growth; // 7 and 9: what grows with a journal, and what should not
mod hot_product; // 5: one product in all orders
mod http; // 11, 12 and 14: calls by HTTP, with tokens, by TLS
mod in_process; // 1: actors and journal
mod ledger; // L1, L2, L3 and V1: the book of money
mod many_orders; // 19, 20 and 21: what 100,000 orders leave behind
mod money; // P1 and P2: orders that are paid
mod one_process; // 16 and 17: to confirmed, in one process
mod overload; // 15: too many calls, and one bad caller
pub mod reaction; // 4: everything that follows an order
mod sqlite; // 3: rows 1 and 2 on SQLite
mod sse; // 13: watchers by server-sent events
mod stream; // 2b: commands by the stream
mod telemetry; // 22 and 23: the cost of being looked at

use crate::lab::Lab;
use crate::measure::Pace;
use crate::report::Row;

/// Row numbers in the order in which they run; 7 and 9 share their journal.
pub const NUMBERS: &[&str] = &[
    "1", "2", "2b", "3", "4", "5", "6", "7+9", "8", "10", "11", "12", "13", "14", "15", "16", "17",
    "18", "19+20+21", "22", "23", "L1+L2+V1", "L3", "P1+P2",
];

/// Measures rows.
///
/// # Errors
/// Where a contender fails: then nothing is reported.
pub async fn measure(number: &str, lab: &Lab, pace: Pace) -> anyhow::Result<Vec<Row>> {
    let row = match number {
        "1" => in_process::measure(lab, pace).await,
        "2" => calls::measure(lab, pace).await,
        "2b" => stream::measure(lab, pace).await,
        "3" => sqlite::measure(lab, pace).await,
        "4" => reaction::measure(lab, pace).await,
        "5" => hot_product::measure(lab, pace).await,
        "6" => cold::measure(lab, pace).await,
        "7+9" => return growth::measure(lab, pace).await,
        "8" => deadlines::measure(lab, pace).await,
        "10" => followers::measure(lab, pace).await,
        "11" => http::measure(lab, pace).await,
        "12" => http::tokens(lab, pace).await,
        "13" => sse::measure(lab, pace).await,
        "14" => http::tls(lab, pace).await,
        "15" => overload::measure(lab, pace).await,
        "16" => one_process::steady(lab, pace).await,
        "17" => one_process::in_flight(lab, pace).await,
        "18" => first_order::measure(lab, pace).await,
        "19+20+21" => return many_orders::measure(lab, pace).await,
        "L1+L2+V1" => return ledger::measure(lab, pace).await,
        "L3" => ledger::holds(lab, pace).await,
        "P1+P2" => return money::measure(lab, pace).await,
        "22" => telemetry::measure(lab, pace).await,
        "23" => telemetry::collectors(lab, pace).await,
        _ => anyhow::bail!("there is no row {number}; there are {}", NUMBERS.join(", ")),
    };
    Ok(vec![row?])
}
