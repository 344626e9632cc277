use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use shared_events::contract::{Currency, Money};

use super::calls::Measured;
use super::invoices::Invoice;
use super::plan::Problem;
use crate::cli::{Failure, Output};

/// What became of a load. Counts are of the file, so that a second load gives the same; only
/// `appended` and the latencies tell the two apart.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Lines read, without the head.
    pub lines: u64,
    /// Invoices, credit notes included.
    pub invoices: u64,
    /// Invoices that ask for an order.
    pub orders: u64,
    /// Credit notes.
    pub credit_notes: u64,
    /// Orders that the engine took.
    pub placed: u64,
    /// Orders that were refused, by the first code.
    pub refused: BTreeMap<String, u64>,
    /// Orders whose stock was held.
    pub confirmed: u64,
    /// Orders that were cancelled, by reason.
    pub cancelled: BTreeMap<String, u64>,
    /// Orders that nobody confirmed while the load waited.
    pub unconfirmed: u64,
    /// Orders that left in a parcel.
    pub fulfilled: u64,
    /// Confirmed orders that the engine did not let leave, because somebody else had sent or
    /// cancelled them, by code.
    pub fulfil_refused: BTreeMap<String, u64>,
    /// What came back.
    pub returned: Returned,
    /// Lines of credit notes that no earlier order explains, or that are no credit, by reason.
    pub unmatched: BTreeMap<String, u64>,
    /// Lines of credit notes whose return the engine refused, by code; `PARTLY_RETURNED` where it took
    /// the units of some orders and not of others.
    pub returns_refused: BTreeMap<String, u64>,
    /// Commands sent: place, fulfil, request and approve.
    pub commands: u64,
    /// Commands that appended something; 0 where all was done before.
    pub appended: u64,
    /// How long it took.
    pub seconds: u64,
    /// Commands per second.
    pub commands_per_second: u64,
    /// From sending a command to its answer, in microseconds.
    pub latency_micros: Latency,
}

/// What came back.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Returned {
    /// Returns that were approved: one per credit note and order.
    pub returns: u64,
    /// Lines of credit notes.
    pub lines: u64,
    /// Units.
    pub units: u64,
    /// Refunds, in minor units of the currency.
    pub minor: i64,
    /// The currency.
    pub currency: String,
}

/// Quantiles of a latency.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half of all commands took no longer.
    pub p50: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// None took longer.
    pub max: u64,
}

/// A line that was not accepted, as the report file shows it.
#[derive(Serialize)]
struct Shown<'a> {
    line: u64,
    invoice: &'a str,
    code: &'a str,
    detail: &'a str,
}

/// Counts what becomes of invoices; lines that are not accepted go to the file at once.
pub struct Report {
    inner: Mutex<Inner>,
    currency: Currency,
}

struct Inner {
    counts: Counts,
    file: Option<(PathBuf, BufWriter<File>)>,
    problems: u64,
    failed: Option<std::io::Error>,
}

impl Report {
    /// Begins the file, where one is wanted.
    ///
    /// # Errors
    /// Usage where it cannot be written.
    pub fn new(path: Option<&Path>, currency: Currency) -> Result<Self, Failure> {
        let file = path
            .map(|path| {
                let begun = File::create(path).and_then(|file| {
                    let mut file = BufWriter::new(file);
                    write!(file, "{{\"problems\":[")?;
                    Ok((path.to_owned(), file))
                });
                begun.map_err(|error| {
                    Failure::Usage(format!("--report {}: {error}", path.display()))
                })
            })
            .transpose()?;
        let returned = Returned { currency: currency.code().to_owned(), ..Returned::default() };
        let counts = Counts { returned, ..Counts::default() };
        let inner = Inner { counts, file, problems: 0, failed: None };
        Ok(Self { inner: Mutex::new(inner), currency })
    }

    /// What prices are in.
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// Counts something.
    pub fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner).counts);
    }

    /// Counts an invoice that was read.
    pub fn read(&self, invoice: &Invoice) {
        self.count(|counts| {
            counts.lines += invoice.lines();
            // The rest of an invoice that came back too late is no other invoice.
            if !invoice.split {
                counts.invoices += 1;
                if invoice.is_credit_note() {
                    counts.credit_notes += 1;
                } else {
                    counts.orders += 1;
                }
            }
        });
    }

    /// Writes down a line that was not accepted.
    pub fn problem(&self, invoice: &Invoice, problem: &Problem) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { file: Some((_, file)), problems, failed, .. } = &mut *inner else { return };
        let shown = Shown {
            line: problem.line,
            invoice: &invoice.number,
            code: &problem.code,
            detail: &problem.detail,
        };
        let comma = if *problems == 0 { "\n" } else { ",\n" };
        *problems += 1;
        let written = write!(file, "{comma}")
            .and_then(|()| serde_json::to_writer(&mut *file, &shown).map_err(Into::into));
        if let Err(error) = written {
            failed.get_or_insert(error);
        }
    }

    /// What commands took, all together.
    pub fn measured(&self, measured: &Measured, elapsed: Duration) {
        let latencies = &measured.latencies;
        self.count(|counts| {
            counts.commands = latencies.len();
            counts.appended = measured.appended;
            counts.seconds = elapsed.as_secs();
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
            counts.commands_per_second = latencies.len().saturating_mul(1_000) / millis;
            counts.latency_micros = Latency {
                p50: latencies.value_at_quantile(0.5),
                p99: latencies.value_at_quantile(0.99),
                max: latencies.max(),
            };
        });
    }

    /// Ends the file and shows the table.
    ///
    /// # Errors
    /// Where the file could not be written.
    pub fn finish(self, out: &Output) -> Result<(), Failure> {
        let Inner { counts, file, failed, .. } =
            self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        if out.json {
            out.value(&counts);
        } else {
            show(out, &counts, self.currency);
        }
        let Some((path, mut file)) = file else { return Ok(()) };
        let rest = serde_json::to_string(&counts).context("report")?;
        let rest = rest.strip_prefix('{').unwrap_or(&rest);
        let written = match failed {
            Some(error) => Err(error),
            None => write!(file, "\n],{rest}\n").and_then(|()| file.flush()),
        };
        Ok(written.with_context(|| format!("--report {}", path.display()))?)
    }
}

fn show(out: &Output, counts: &Counts, currency: Currency) {
    let row = |name: &str, value: &str| out.line(format!("{name:<44} {value}"));
    let number = |name: &str, value: u64| row(name, &value.to_string());
    let by = |name: &str, reasons: &BTreeMap<String, u64>| {
        for (reason, times) in reasons {
            number(&format!("{name} {reason}"), *times);
        }
    };
    number("lines", counts.lines);
    number("invoices", counts.invoices);
    number("  orders", counts.orders);
    number("    placed", counts.placed);
    number("      confirmed", counts.confirmed);
    number("      fulfilled", counts.fulfilled);
    by("      cancelled", &counts.cancelled);
    by("      not fulfilled", &counts.fulfil_refused);
    if counts.unconfirmed > 0 {
        number("      unconfirmed", counts.unconfirmed);
    }
    by("    refused", &counts.refused);
    number("  credit notes", counts.credit_notes);
    let money = Money::new(counts.returned.minor, currency);
    row("    lines returned", &format!("{} ({money})", counts.returned.lines));
    by("    lines unmatched", &counts.unmatched);
    by("    lines refused", &counts.returns_refused);
    row("commands", &format!("{} ({} appended)", counts.commands, counts.appended));
    row("commands/s", &format!("{} over {} s", counts.commands_per_second, counts.seconds));
    let Latency { p50, p99, max } = counts.latency_micros;
    row("latency", &format!("p50 {p50} µs, p99 {p99} µs, max {max} µs"));
}
