use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use shared_events::contract::{Currency, Money};
use tempfile::NamedTempFile;

use super::calls::Measured;
use super::invoices::Invoice;
use super::plan::Problem;
use crate::client::{Failure, Output};

/// Lines left out that are shown without a report file.
const FIRST: usize = 10;

/// The result of a load. Counts are of the file, so that a second load gives the same; only
/// `appended` and the latencies tell the two apart.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Lines read, without the header.
    pub lines: u64,
    /// Invoices, credit notes included.
    pub invoices: u64,
    /// Invoices that are not credit notes.
    pub orders: u64,
    /// Credit notes.
    pub credit_notes: u64,
    /// Orders that the engine accepted.
    pub placed: u64,
    /// Orders that were refused, by the first code.
    pub refused: BTreeMap<String, u64>,
    /// Orders whose stock was reserved.
    pub confirmed: u64,
    /// Orders that were cancelled, by reason.
    pub cancelled: BTreeMap<String, u64>,
    /// Orders that were not confirmed while the load waited.
    pub unconfirmed: u64,
    /// Orders that were shipped.
    pub fulfilled: u64,
    /// Confirmed orders that the engine refused to ship, because another client had shipped or
    /// cancelled them, by code.
    pub fulfil_refused: BTreeMap<String, u64>,
    /// Returns.
    pub returned: Returned,
    /// Lines of credit notes that match no earlier order, or are not valid, by reason.
    pub unmatched: BTreeMap<String, u64>,
    /// Lines of credit notes whose return the engine refused, by code; `PARTLY_RETURNED` where it
    /// accepted the units of some orders and not of others.
    pub returns_refused: BTreeMap<String, u64>,
    /// Lines that did not become what the file says: refused, unmatched, or of an order that was
    /// cancelled.
    pub left_out: u64,
    /// The first of them.
    pub first_left_out: Vec<LeftOut>,
    /// Commands sent: place, fulfil, request and approve.
    pub commands: u64,
    /// Commands that appended something; 0 where all was done before.
    pub appended: u64,
    /// Duration in seconds.
    pub seconds: u64,
    /// Commands per second.
    pub commands_per_second: u64,
    /// From sending a command to its answer, in microseconds.
    pub latency_micros: Latency,
}

/// Returns and refunds.
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
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The maximum.
    pub max: u64,
}

/// A line that was left out.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// Its number in the file.
    pub line: u64,
    /// Its invoice.
    pub invoice: String,
    /// A stable code.
    pub code: String,
    /// The reason.
    pub detail: String,
}

/// Counts the results of invoices; lines that are not accepted go to the file immediately.
pub struct Report {
    inner: Mutex<Inner>,
    currency: Currency,
}

struct Inner {
    counts: Counts,
    file: Option<ReportFile>,
    problems: u64,
    failed: Option<std::io::Error>,
}

/// The report while it is written: a temporary file beside its path, which it replaces when
/// complete. What is not an ordinary file, or belongs to another program, such as /dev/stdout, is
/// written to directly.
struct ReportFile {
    path: PathBuf,
    file: BufWriter<File>,
    beside: Option<NamedTempFile>,
}

impl ReportFile {
    fn begin(path: &Path) -> std::io::Result<Self> {
        // A link is kept, and its target replaced.
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let found = std::fs::metadata(&place).ok();
        let is_open_elsewhere = path.starts_with("/dev") || path.starts_with("/proc");
        let (file, beside) = match &found {
            Some(other) if !other.is_file() || is_open_elsewhere => {
                (OpenOptions::new().write(true).open(path)?, None)
            }
            _ => {
                let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
                let beside = NamedTempFile::new_in(parent.unwrap_or(Path::new(".")))?;
                if let Some(found) = &found {
                    beside.as_file().set_permissions(found.permissions())?;
                }
                (beside.reopen()?, Some(beside))
            }
        };
        let mut begun = Self { path: place, file: BufWriter::new(file), beside };
        write!(begun.file, "{{\"problems\":[")?;
        Ok(begun)
    }

    fn end(mut self, rest: &str) -> std::io::Result<()> {
        write!(self.file, "\n],{rest}\n")?;
        self.file.flush()?;
        if let Some(beside) = self.beside {
            beside.persist(&self.path).map_err(|error| error.error)?;
        }
        Ok(())
    }
}

impl Report {
    /// Begins the file, where one is requested. An existing file stays until the load has ended.
    ///
    /// # Errors
    /// Usage where it cannot be written.
    pub fn new(path: Option<&Path>, currency: Currency) -> Result<Self, Failure> {
        let file = path
            .map(|path| {
                ReportFile::begin(path).map_err(|error| {
                    Failure::Usage(format!("--report {}: {error}", path.display()))
                })
            })
            .transpose()?;
        let returned = Returned { currency: currency.code().to_owned(), ..Returned::default() };
        let counts = Counts { returned, ..Counts::default() };
        let inner = Inner { counts, file, problems: 0, failed: None };
        Ok(Self { inner: Mutex::new(inner), currency })
    }

    /// The currency of the prices.
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// Updates the counts.
    pub fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner).counts);
    }

    /// Counts an invoice that was read.
    pub fn read(&self, invoice: &Invoice) {
        self.count(|counts| {
            counts.lines += invoice.lines();
            // The rest of an invoice that came too late is not another invoice.
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

    /// Records a line that was left out.
    pub fn problem(&self, invoice: &Invoice, problem: &Problem) {
        self.left_out(invoice, problem, 1);
    }

    /// Records several lines that were left out as one problem.
    pub fn left_out(&self, invoice: &Invoice, problem: &Problem, lines: u64) {
        let left_out = LeftOut {
            line: problem.line,
            invoice: invoice.number.clone(),
            code: problem.code.clone(),
            detail: problem.detail.clone(),
        };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { counts, file, problems, failed } = &mut *inner;
        counts.left_out += lines;
        if let Some(ReportFile { file, .. }) = file {
            let comma = if *problems == 0 { "\n" } else { ",\n" };
            let written = write!(file, "{comma}")
                .and_then(|()| serde_json::to_writer(&mut *file, &left_out).map_err(Into::into));
            if let Err(error) = written {
                failed.get_or_insert(error);
            }
        }
        *problems += 1;
        // Lanes run side by side: what is first in the file may be reported later.
        let first = &mut counts.first_left_out;
        let place = first.partition_point(|known| known.line <= left_out.line);
        first.insert(place, left_out);
        first.truncate(FIRST);
    }

    /// Adds the measurements of all commands.
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

    /// Ends the file and shows the table. Returns whether everything became what the file says.
    ///
    /// # Errors
    /// Where the file could not be written.
    pub fn finish(self, out: &Output) -> Result<bool, Failure> {
        let Inner { counts, file, failed, .. } =
            self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        if out.json {
            out.value(&counts);
        } else {
            show(out, &counts, self.currency);
        }
        let Some(file) = file else { return Ok(counts.left_out == 0) };
        let path = file.path.clone();
        let rest = serde_json::to_string(&counts).context("report")?;
        let rest = rest.strip_prefix('{').unwrap_or(&rest);
        let written = failed.map_or_else(|| file.end(rest), Err);
        written.with_context(|| format!("--report {}", path.display()))?;
        Ok(counts.left_out == 0)
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
    if counts.left_out > 0 {
        number("lines left out", counts.left_out);
        for LeftOut { line, invoice, code, detail } in &counts.first_left_out {
            out.line(format!("  line {line}, invoice {invoice}: {code}: {detail}"));
        }
        if counts.left_out > u64::try_from(FIRST).unwrap_or(u64::MAX) {
            out.line("  …; --report FILE lists all of them");
        }
    }
}
