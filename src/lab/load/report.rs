use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use shared_events::contract::Currency;
use tempfile::NamedTempFile;

use super::calls::Measured;
use super::counts::{Counts, FIRST, Latency, LeftOut, OrderNotKept, Returned, Sums, show};
use super::files::NotKept;
use super::plan::Problem;
use super::provider::Paid;
use super::source::Item;
use crate::client::{Failure, Output};

/// Counts the results of invoices; lines that are not accepted go to the file immediately.
pub struct Report {
    inner: Mutex<Inner>,
    currency: Currency,
}

struct Inner {
    counts: Counts,
    file: Option<ReportFile>,
    problems: u64,
    // Lines that are left out because that is what was asked for.
    intended: u64,
    // What is not kept waits here: the file has the problems first.
    not_kept: Option<BufWriter<File>>,
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

    fn end(
        mut self,
        not_kept: Option<BufWriter<File>>,
        count: u64,
        rest: &str,
    ) -> std::io::Result<()> {
        write!(self.file, "\n],")?;
        if let Some(not_kept) = not_kept.filter(|_| count > 0) {
            let mut aside = not_kept.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            aside.rewind()?;
            write!(self.file, "\"not_kept\":[")?;
            std::io::copy(&mut aside, &mut self.file)?;
            write!(self.file, "\n],")?;
        }
        writeln!(self.file, "{rest}")?;
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
        let aside = path.map(|_| tempfile::tempfile()).transpose().context("temporary file")?;
        let not_kept = aside.map(BufWriter::new);
        let inner = Inner { counts, file, problems: 0, intended: 0, not_kept, failed: None };
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

    /// Updates what became of the money.
    pub fn pay(&self, count: impl FnOnce(&mut Paid)) {
        self.count(|counts| count(counts.paid.get_or_insert_with(Paid::default)));
    }

    /// Adds to the sums of a currency.
    pub fn sum(&self, currency: &str, add: impl FnOnce(&mut Sums)) {
        self.count(|counts| add(counts.sums.entry(currency.to_owned()).or_default()));
    }

    /// Records what an order has that is not kept.
    pub fn not_kept(&self, order: &str, not_kept: &NotKept) {
        let told = OrderNotKept { order: order.to_owned(), not_kept: not_kept.clone() };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { counts, not_kept: aside, failed, .. } = &mut *inner;
        if let Some(aside) = aside {
            let comma = if counts.not_kept == 0 { "\n" } else { ",\n" };
            let written = write!(aside, "{comma}")
                .and_then(|()| serde_json::to_writer(&mut *aside, &told).map_err(Into::into));
            if let Err(error) = written {
                failed.get_or_insert(error);
            }
        }
        counts.not_kept += 1;
        if counts.first_not_kept.len() < FIRST {
            counts.first_not_kept.push(told);
        }
    }

    /// Says that so many of the lines that are left out are meant to be.
    pub fn intended(&self, lines: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.intended += lines;
    }

    /// Counts an invoice or an order that was read.
    pub fn read(&self, item: &Item) {
        let invoice = match item {
            Item::Invoice(invoice) => invoice,
            Item::Order(order) => {
                return self.count(|counts| {
                    counts.lines += order.lines;
                    counts.orders += 1;
                });
            }
        };
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
    pub fn problem(&self, number: &str, problem: &Problem) {
        self.left_out(number, problem, 1);
    }

    /// Records several lines that were left out as one problem.
    pub fn left_out(&self, number: &str, problem: &Problem, lines: u64) {
        let left_out = LeftOut {
            line: problem.line,
            invoice: number.to_owned(),
            code: problem.code.clone(),
            detail: problem.detail.clone(),
        };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { counts, file, problems, failed, .. } = &mut *inner;
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

    /// Ends the file and shows the table. Returns whether everything became what the file says, but
    /// for what was meant to be left out.
    ///
    /// # Errors
    /// Where the file could not be written.
    pub fn finish(self, out: &Output) -> Result<bool, Failure> {
        let Inner { counts, file, not_kept, failed, intended, .. } =
            self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        if out.json {
            out.value(&counts);
        } else {
            show(out, &counts, self.currency);
        }
        let is_complete = counts.left_out <= intended
            && counts.not_kept == 0
            && counts.paid.as_ref().is_none_or(Paid::agrees);
        let Some(file) = file else { return Ok(is_complete) };
        let path = file.path.clone();
        let rest = serde_json::to_string(&counts).context("report")?;
        let rest = rest.strip_prefix('{').unwrap_or(&rest);
        let written = failed.map_or_else(|| file.end(not_kept, counts.not_kept, rest), Err);
        written.with_context(|| format!("--report {}", path.display()))?;
        Ok(is_complete)
    }
}
