//! The report of what a provider pays out, line by line, as settlement imports it
//! (docs/settlement.md).

use std::str::FromStr;

use shared_events::contract::{Currency, Money};

use super::book::{Line, Move};
use super::machine::Simulator;

/// The first line of a report.
const HEADER: &str = "line_id,kind,our_reference,psp_reference,currency,gross,fee,net,\
                      settled_currency,rate,date\n";

/// What is wrong with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFault {
    /// Its first line is left out.
    MissingLine,
    /// Its first line is there once more, under another name.
    DoubledLine,
    /// Its first line is of a minor unit less.
    WrongAmount,
}

/// Not a fault of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("missing_line, doubled_line or wrong_amount")]
pub struct NotAFault;

impl FromStr for ReportFault {
    type Err = NotAFault;

    fn from_str(text: &str) -> Result<Self, NotAFault> {
        match text {
            "missing_line" => Ok(Self::MissingLine),
            "doubled_line" => Ok(Self::DoubledLine),
            "wrong_amount" => Ok(Self::WrongAmount),
            _ => Err(NotAFault),
        }
    }
}

/// Which report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportOf {
    /// Of this day (UTC, `2026-11-29`); of all days where it is empty.
    pub day: String,
    /// What is wrong with it.
    pub fault: Option<ReportFault>,
    /// In which currency it pays out, and how much of that it gives for one unit of another.
    pub settled_in: Option<(Currency, String)>,
}

/// A report as CSV. Gross is negative where the seller loses money, net is gross less fee. Only
/// lines by which money moves are in it.
#[must_use]
pub fn report(simulator: &Simulator, of: &ReportOf) -> String {
    let seed = simulator.settings().seed & 0xffff_ffff;
    let mut csv = HEADER.to_owned();
    let lines = simulator.book().lines().filter(|line| line.moved.sign() != 0);
    let of_day = lines.filter(|line| line.at.to_string().starts_with(&of.day));
    for (nth, line) in of_day.enumerate() {
        let name = format!("txn_{seed:08x}{:010x}", line.number);
        match of.fault.filter(|_| nth == 0) {
            None => csv.push_str(&written(line, &name, 0, of)),
            Some(ReportFault::MissingLine) => {}
            Some(ReportFault::DoubledLine) => {
                csv.push_str(&written(line, &name, 0, of));
                csv.push_str(&written(line, &format!("{name}_again"), 0, of));
            }
            Some(ReportFault::WrongAmount) => csv.push_str(&written(line, &name, 1, of)),
        }
    }
    csv
}

/// One line, of so many minor units less than the book has.
fn written(line: &Line, name: &str, less: i64, of: &ReportOf) -> String {
    let kind = match line.moved {
        Move::Captured | Move::CaptureFailed => "charge",
        Move::Refunded | Move::RefundFailed => "refund",
        _ => "dispute",
    };
    let currency = line.amount.currency;
    let gross = (line.amount.minor - less) * line.moved.sign();
    let our = line.our_reference.map(|our| our.0.to_string()).unwrap_or_default();
    let (in_currency, rate) = match &of.settled_in {
        Some((other, rate)) if *other != currency => (other.code(), rate.as_str()),
        _ => ("", ""),
    };
    format!(
        "{name},{kind},{our},{},{currency},{},{},{},{in_currency},{rate},{}\n",
        line.reference,
        decimal(gross, currency),
        decimal(line.fee, currency),
        decimal(gross - line.fee, currency),
        line.at,
    )
}

/// An amount in decimal digits, without its currency.
fn decimal(minor: i64, currency: Currency) -> String {
    let text = Money::new(minor, currency).to_string();
    text.split(' ').next().unwrap_or_default().to_owned()
}
