//! The daily report: what a provider pays out, line by line.

use std::fmt::Write as _;

use super::book::Book;

/// The first line of a report.
const HEADER: &str = "line,kind,payment,reference,our_reference,currency,gross,fee,net,at\n";

/// The report of a day (UTC, `2026-11-29`) as CSV. Amounts are minor units; net = gross − fee, and
/// gross is negative where the seller loses money. Only lines by which money moves are in it.
#[must_use]
pub fn report(book: &Book, day: &str) -> String {
    let mut csv = HEADER.to_owned();
    for line in book.lines().filter(|line| line.moved.sign() != 0) {
        let at = line.at.to_string();
        if at.get(..10) != Some(day) {
            continue;
        }
        let gross = line.amount.minor * line.moved.sign();
        let our = line.our_reference.map(|our| our.0.to_string()).unwrap_or_default();
        let _ = writeln!(
            csv,
            "{},{},{},{},{our},{},{gross},{},{},{at}",
            line.number,
            line.moved.name(),
            line.payment,
            line.reference,
            line.amount.currency,
            line.fee,
            gross - line.fee,
        );
    }
    csv
}
