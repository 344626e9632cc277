use std::collections::BTreeMap;

use super::check::Contradiction;
use super::clients::{Answer, Call};
use crate::client::Output;
use crate::lab::load::provider::Paid;
use crate::verify;

/// What happened and what was found.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) seconds: u64,
    pub(super) kills: u32,
    pub(super) faults: BTreeMap<String, u32>,
    pub(super) calls: BTreeMap<&'static str, usize>,
    /// Latency of the calls that were answered, over all tries, in milliseconds.
    pub(super) latency_ms: BTreeMap<&'static str, u64>,
    pub(super) orders: u64,
    pub(super) events: u64,
    /// None where it did not drain in time.
    pub(super) drained_in_ms: Option<u128>,
    /// How many facts each follower is behind in the end.
    pub(super) behind: BTreeMap<String, u64>,
    /// Appends that the database took from a process that did not own the shard.
    pub(super) appends_of_others: i64,
    pub(super) contradictions: Vec<Contradiction>,
    pub(super) findings: Vec<verify::Finding>,
    /// What the books come to, where orders were paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) paid: Option<Paid>,
}

impl Report {
    /// Nothing was lost, done twice or appended by another than the owner, everything drained, and
    /// where orders are paid some were, and all books agree.
    pub(super) fn is_clean(&self) -> bool {
        self.contradictions.is_empty()
            && self.findings.is_empty()
            && self.appends_of_others == 0
            && self.drained_in_ms.is_some()
            && self.paid.as_ref().is_none_or(is_right)
    }
}

/// Whether there were books to compare, and they agree.
fn is_right(paid: &Paid) -> bool {
    paid.agrees() && !paid.payments.is_empty()
}

pub(super) fn counts(calls: &[Call]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        let kind = match call.answer {
            Answer::Done(_) => "done",
            Answer::Repeated => "done by an earlier try",
            Answer::Nothing(_) => "nothing to do",
            Answer::Shown(..) => "shown",
            Answer::Refused(_) => "refused",
            Answer::Doubt => "in doubt",
        };
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts
}

pub(super) fn latencies(calls: &[Call]) -> BTreeMap<&'static str, u64> {
    let answered = calls.iter().filter(|call| call.answer != Answer::Doubt);
    let mut took: Vec<u64> = answered
        .map(|call| call.returned.duration_since(call.invoked).as_millis())
        .map(|millis| u64::try_from(millis).unwrap_or(u64::MAX))
        .collect();
    took.sort_unstable();
    let of_thousand = |part: usize| {
        let at = (took.len() * part / 1_000).min(took.len().saturating_sub(1));
        took.get(at).copied().unwrap_or(0)
    };
    [("p50", 500), ("p99", 990), ("p99.9", 999), ("max", 1_000)]
        .map(|(name, part)| (name, of_thousand(part)))
        .into()
}

pub(super) fn show(report: &Report, out: &Output) {
    if out.json {
        out.value(report);
        return;
    }
    for (fault, times) in &report.faults {
        out.line(format!("{times:>6}  {fault}"));
    }
    for (kind, calls) in &report.calls {
        out.line(format!("{calls:>6}  calls: {kind}"));
    }
    let took = |name: &str| report.latency_ms.get(name).copied().unwrap_or(0);
    out.line(format!(
        "latency p50 {} ms, p99 {} ms, p99.9 {} ms, max {} ms",
        took("p50"),
        took("p99"),
        took("p99.9"),
        took("max")
    ));
    for Contradiction { kind, order_id, detail } in &report.contradictions {
        out.line(format!("{kind} order/{order_id}: {detail}"));
    }
    if let Some(paid) = &report.paid {
        show_paid(paid, out);
    }
    for finding in &report.findings {
        out.line(format!("{} {}: {}", finding.law.code(), finding.subject, finding.detail));
    }
    out.line(format!(
        "seed {}: {} kills in {} s, {}; {} events of {} orders; appends of others \
         than the owner {}, contradictions {}, differences {}",
        report.seed,
        report.kills,
        report.seconds,
        match report.drained_in_ms {
            Some(millis) => format!("drained in {millis} ms"),
            None => format!("not drained: {:?}", report.behind),
        },
        report.events,
        report.orders,
        report.appends_of_others,
        report.contradictions.len(),
        report.findings.len()
    ));
}

fn show_paid(paid: &Paid, out: &Output) {
    if paid.payments.is_empty() {
        out.line("no order was paid: there are no books to compare");
    }
    for (status, payments) in &paid.payments {
        out.line(format!("{payments:>6}  payments: {status}"));
    }
    for (currency, sums) in &paid.sums {
        out.line(format!(
            "books in minor units of {currency}: captured {} (provider {}), refunded {} \
             (provider {}), delivered and kept {}",
            sums.captured, sums.captured_there, sums.refunded, sums.refunded_there, sums.kept
        ));
    }
    for one in &paid.first_differing {
        let whose = one.unclaimed.as_ref().unwrap_or(&one.order_id);
        out.line(format!("books of {whose} differ: {:?}", one.books));
    }
    if paid.open > 0 || !paid.sound {
        let sound = paid.sound;
        out.line(format!("operations without an end {}; book sound: {sound}", paid.open));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_of_no_payment_at_all_are_not_right() {
        let none = Paid { sound: true, ..Paid::default() };
        assert!(none.agrees() && !is_right(&none));
        assert!(is_right(&Paid { payments: [("CAPTURED".to_owned(), 1)].into(), ..none }));
    }
}
