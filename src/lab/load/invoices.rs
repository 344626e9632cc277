use std::collections::{HashSet, VecDeque};
use std::io::Read;

use anyhow::Context as _;
use shared_events::contract::Timestamp;
use uuid::Uuid;

use super::files::{Times, Written};
use super::plan;
use super::records::{Fault, Record, Records};
use crate::client::Failure;

/// Lines of other invoices that may come between two of the same one.
const APART_MAX: u64 = 100;
/// Lines over which one invoice may extend; a longer one is split.
const SPAN_MAX: u64 = 10_000;
/// Lines of one invoice that are kept: one more than an order may have, so that the engine refuses
/// it.
const KEPT_MAX: usize = 2_001;
/// Bytes of a field that is used; the engine accepts no longer ones.
const FIELD_MAX: usize = 256;

const COLUMNS: [&str; 7] =
    ["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

/// A line of the file, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its number in the file; the header is line 1.
    pub number: u64,
    /// The product.
    pub stock_code: String,
    /// Number of units; negative on credit notes.
    pub quantity: String,
    /// Price of one unit.
    pub price: String,
    /// What is wrong with it as a line of the table.
    pub fault: Option<Fault>,
}

/// The lines of one invoice or credit note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invoice {
    /// Its number; that of a credit note starts with `C`.
    pub number: String,
    /// Its time, from its first line.
    pub time: String,
    /// Its customer, from its first line; empty where unknown.
    pub customer: String,
    /// Its country, from its first line.
    pub country: String,
    /// Its lines, in the order of the file.
    pub rows: Vec<Row>,
    /// Number of lines that are not kept.
    pub more: u64,
    /// Whether a later line names another customer.
    pub mixed: bool,
    /// Whether it is the rest of an invoice whose other lines were returned before: it came too
    /// late.
    pub split: bool,
    /// The line of the file that it begins on.
    pub first: u64,
    /// The last line of the file that belongs to it.
    pub last: u64,
}

impl Invoice {
    /// Whether it is a credit note.
    pub fn is_credit_note(&self) -> bool {
        self.number.starts_with('C')
    }

    /// Its time; UTC where it names neither an offset nor a zone.
    pub fn at(&self) -> Option<Timestamp> {
        Times::default().instant(&self.time)
    }

    /// Number of its lines in the file.
    pub fn lines(&self) -> u64 {
        u64::try_from(self.rows.len()).unwrap_or(u64::MAX).saturating_add(self.more)
    }
}

/// The invoices of a file, in the order of their first lines. In memory are only the incomplete
/// ones, and eight bytes of each complete one.
pub struct Invoices {
    records: Records,
    written: Written,
    columns: [usize; 7],
    width: usize,
    open: VecDeque<Invoice>,
    done: HashSet<u64>,
    line: u64,
    left: u64,
    ended: bool,
}

impl Invoices {
    /// Reads the header; returns at most `limit` invoices.
    ///
    /// # Errors
    /// Usage where a column is missing, or the file is not text.
    pub fn new(
        file: Box<dyn Read + Send>,
        written: &Written,
        limit: Option<u64>,
    ) -> Result<Self, Failure> {
        let usage = |what: String| Failure::Usage(format!("--csv: {what}"));
        let separator = written.separator.unwrap_or(b',');
        let mut records = Records::separated(written.decoded(file), separator, true);
        let head = records.next().map_err(|error| usage(error.to_string()))?.unwrap_or_default();
        if let Some(fault) = &head.fault {
            return Err(usage(format!("the header: {}", fault.detail)));
        }
        let mut columns = [0; 7];
        for (place, name) in columns.iter_mut().zip(COLUMNS) {
            *place = (0..head.len())
                .find(|column| named(head.field(*column), name))
                .ok_or_else(|| usage(no_column(&head, name)))?;
        }
        let line = records.line();
        Ok(Self {
            records,
            written: written.clone(),
            columns,
            width: head.len(),
            open: VecDeque::new(),
            done: HashSet::new(),
            line,
            left: limit.unwrap_or(u64::MAX),
            ended: false,
        })
    }

    /// What is wrong with a line of the table.
    fn fault(&self, record: &Record) -> Option<Fault> {
        if let Some(fault) = &record.fault {
            return Some(fault.clone());
        }
        if record.len() != self.width {
            let (has, head) = (record.len(), self.width);
            return Some(Fault::malformed(format!("it has {has} fields, the header has {head}")));
        }
        // A description in another encoding does no harm; the columns that are used must be text.
        self.columns.iter().zip(COLUMNS).find_map(|(column, name)| {
            let bytes = record.field(*column);
            if bytes.len() > FIELD_MAX {
                let detail = format!("{name} is longer than {FIELD_MAX} bytes");
                return Some(Fault::malformed(detail));
            }
            let is_text = std::str::from_utf8(bytes).is_ok();
            (!is_text).then(|| Fault::malformed(format!("{name} is not UTF-8")))
        })
    }

    fn take(&mut self, record: &Record) {
        let [invoice, stock_code, quantity, time, price, customer, country] = self.columns;
        let field = |column: usize| {
            let bytes = record.field(column);
            let kept = bytes.get(..bytes.len().min(FIELD_MAX)).unwrap_or_default();
            String::from_utf8_lossy(kept).trim().to_owned()
        };
        let number = field(invoice);
        let row = Row {
            number: self.line,
            stock_code: field(stock_code),
            quantity: self.written.number(field(quantity)),
            price: self.written.number(field(price)),
            fault: self.fault(record),
        };
        let at = self.written.time(field(time));
        let customer = plan::customer_number(&field(customer)).to_owned();
        // Lines without a number are an invoice each: nothing shows which belong together.
        let known = self.open.iter_mut().find(|known| known.number == number && !number.is_empty());
        if let Some(known) = known {
            if known.rows.iter().all(|row| row.fault.is_some()) {
                (known.time, known.country) = (at, field(country));
                known.customer = customer;
            } else {
                known.mixed |= row.fault.is_none() && known.customer != customer;
            }
            known.last = self.line;
            if known.rows.len() < KEPT_MAX {
                known.rows.push(row);
            } else {
                known.more += 1;
            }
            return;
        }
        let split = !number.is_empty() && self.done.contains(&mark(&number));
        self.open.push_back(Invoice {
            number,
            time: at,
            customer,
            country: field(country),
            rows: vec![row],
            split,
            first: self.line,
            last: self.line,
            ..Invoice::default()
        });
    }
}

impl Iterator for Invoices {
    type Item = Result<Invoice, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let complete = |first: &Invoice| {
                self.ended
                    || first.last + APART_MAX < self.line
                    || first.first + SPAN_MAX < self.line
            };
            if self.open.front().is_some_and(complete) {
                self.left = self.left.checked_sub(1)?;
                let invoice = self.open.pop_front()?;
                self.done.insert(mark(&invoice.number));
                return Some(Ok(invoice));
            }
            if self.ended || self.left == 0 {
                return None;
            }
            match self.records.next() {
                Ok(None) => self.ended = true,
                Ok(Some(record)) => {
                    // Blank lines are skipped, and a quoted field may hold several.
                    self.line = record.line;
                    self.take(&record);
                }
                Err(error) => {
                    self.left = 0;
                    let line = self.records.line();
                    return Some(
                        Err(error)
                            .with_context(|| format!("--csv: after line {line}"))
                            .map_err(Failure::Other),
                    );
                }
            }
        }
    }
}

/// Whether a field of the header has this name.
fn named(field: &[u8], name: &str) -> bool {
    let field = String::from_utf8_lossy(field);
    field.trim_start_matches('\u{feff}').trim() == name
}

/// Error text for a missing column, with the likely reason.
fn no_column(head: &Record, name: &str) -> String {
    let first = head.field(0);
    let separator = [(b';', "semicolons"), (b'\t', "tabs"), (b'|', "bars")]
        .into_iter()
        .find(|(byte, _)| head.len() == 1 && first.contains(byte));
    let hint = if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        "; the file is UTF-16, and here it is UTF-8; say --encoding utf-16le".to_owned()
    } else if let Some((_, separator)) = separator {
        let said = "say --separator where that is meant";
        format!("; its columns are separated by {separator}, and here by commas; {said}")
    } else {
        String::new()
    };
    format!("the header has no column {name}{hint}; see docs/importing.md")
}

/// Eight bytes that identify an invoice; two have the same once in 10^19 pairs.
fn mark(number: &str) -> u64 {
    let id = Uuid::new_v5(&plan::NAMESPACE, number.as_bytes());
    id.as_u64_pair().0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

    fn read(lines: &str) -> Vec<Invoice> {
        let text = format!("{HEAD}{lines}");
        let file = Box::new(std::io::Cursor::new(text.into_bytes()));
        Invoices::new(file, &Written::default(), None).unwrap().map(Result::unwrap).collect()
    }

    fn line(invoice: &str) -> String {
        format!("{invoice},85123A,\"HOLDER, WHITE\",6,2010-12-01 08:26:00,2.55,17850.0,Norway\n")
    }

    #[test]
    fn interleaved_lines_of_an_invoice_are_put_together() {
        let found = read(&[line("1"), line("2"), line("1"), line("C3")].concat());
        let short: Vec<_> = found.iter().map(|i| (i.number.as_str(), i.lines(), i.split)).collect();
        assert_eq!(short, [("1", 2, false), ("2", 1, false), ("C3", 1, false)]);
        assert_eq!(found[0].customer, "17850");
        assert_eq!(found[0].rows[1].number, 4);
        assert!(found[2].is_credit_note());
        assert_eq!(found[0].at().unwrap().to_string(), "2010-12-01T08:26:00.000000Z");
    }

    #[test]
    fn an_invoice_that_continues_too_late_is_marked_as_split() {
        let between: String = (10..150).map(|n| line(&n.to_string())).collect();
        let found = read(&[line("1"), between, line("1")].concat());
        assert_eq!(found.iter().filter(|invoice| invoice.number == "1").count(), 2);
        assert!(!found.first().unwrap().split);
        assert!(found.last().unwrap().split);
    }

    #[test]
    fn short_and_non_text_lines_are_kept_and_marked() {
        let found = read("1,85123A\n");
        assert!(found[0].rows[0].fault.is_some());
        let file = |line: &[u8]| -> Box<dyn Read + Send> {
            Box::new(std::io::Cursor::new([HEAD.as_bytes(), line].concat()))
        };
        let malformed = |line: &[u8]| {
            let mut found = Invoices::new(file(line), &Written::default(), None).unwrap();
            found.next().unwrap().unwrap().rows[0].fault.is_some()
        };
        assert!(malformed(b"1,85\xff,x,6,2010-12-01 08:26:00,2.55,17850.0,Norway\n"));
        // Only the columns that are used must be text.
        assert!(!malformed(b"1,85123A,\xff,6,2010-12-01 08:26:00,2.55,17850.0,Norway\n"));
    }

    #[test]
    fn an_offset_or_a_zone_is_applied_and_a_contradiction_refused() {
        let parsed = |text: &str| Times::default().instant(text).map(|at| at.to_string());
        for (text, expected) in [
            ("2026-03-02 09:15:00", "09:15"),
            ("2026-03-02T09:15:00Z", "09:15"),
            ("2026-03-02 09:15:00 UTC", "09:15"),
            ("2026-03-02T09:15:00-05:00", "14:15"),
            ("2026-03-02 09:15:00 -0500", "14:15"),
            ("2026-03-02 09:15:00 +0100", "08:15"),
            ("2026-03-02T09:15:00+01:00[Europe/Berlin]", "08:15"),
            ("2026-03-02T09:15:00[Europe/Berlin]", "08:15"),
        ] {
            let expected = format!("2026-03-02T{expected}:00.000000Z");
            assert_eq!(parsed(text), Some(expected), "{text}");
        }
        for wrong in ["", "yesterday", "2/3/2026 9:15", "2026-03-02T09:15:00+02:00[Europe/Berlin]"]
        {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_missing_column_is_named() {
        let file = Box::new(std::io::Cursor::new(b"InvoiceNo,StockCode\n1,2\n".to_vec()));
        let Err(Failure::Usage(text)) = Invoices::new(file, &Written::default(), None) else {
            panic!("accepted")
        };
        assert!(text.contains("Quantity"), "{text}");
        let refused = |text: Vec<u8>| match Invoices::new(
            Box::new(std::io::Cursor::new(text)),
            &Written::default(),
            None,
        ) {
            Err(Failure::Usage(text)) => text,
            _ => panic!("accepted"),
        };
        assert!(refused(HEAD.replace(',', ";").into_bytes()).contains("semicolons"));
        let wide: Vec<u8> = HEAD.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(refused([b"\xff\xfe".to_vec(), wide].concat()).contains("UTF-16"));
    }
}
