use std::collections::{HashSet, VecDeque};
use std::io::Read;

use anyhow::Context as _;
use csv::ByteRecord;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use shared_events::contract::Timestamp;
use uuid::Uuid;

use super::plan;
use crate::cli::Failure;

/// Lines of other invoices that may stand between two of the same one.
const APART_MAX: u64 = 100;
/// Lines over which one invoice may reach; beyond, it is split.
const SPAN_MAX: u64 = 10_000;
/// Lines of one invoice that are kept: one more than an order may have, so that the engine says so.
const KEPT_MAX: usize = 2_001;

const COLUMNS: [&str; 7] =
    ["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

/// A line of the file, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its number in the file, the head being 1.
    pub number: u64,
    /// What was sold.
    pub stock_code: String,
    /// How many units; below zero on credit notes.
    pub quantity: String,
    /// The price of one.
    pub price: String,
    /// Whether it has another number of fields than the head, or bytes that are not UTF-8.
    pub malformed: bool,
}

/// The lines of one invoice or credit note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invoice {
    /// Its number; credit notes start with `C`.
    pub number: String,
    /// When, as its first line says.
    pub time: String,
    /// Whose, as its first line says; empty where unknown.
    pub customer: String,
    /// Where to, as its first line says.
    pub country: String,
    /// Its lines, in the order of the file.
    pub rows: Vec<Row>,
    /// Lines beyond those that are kept.
    pub more: u64,
    /// Whether a later line names another customer.
    pub mixed: bool,
    /// Whether its lines had been told before: it came back too late.
    pub split: bool,
    /// The line of the file that it begins on.
    pub first: u64,
    /// The line of the file that it was last seen on.
    pub last: u64,
}

impl Invoice {
    /// Whether it takes something back.
    pub fn is_credit_note(&self) -> bool {
        self.number.starts_with('C')
    }

    /// Its time, read as UTC; the file names no zone.
    pub fn at(&self) -> Option<Timestamp> {
        let time: DateTime = self.time.trim().parse().ok()?;
        let instant = time.to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some(Timestamp::from_micros(instant.as_microsecond()))
    }

    /// Lines of it in the file.
    pub fn lines(&self) -> u64 {
        u64::try_from(self.rows.len()).unwrap_or(u64::MAX).saturating_add(self.more)
    }
}

/// The invoices of a file, in the order of their first lines. Only those that are incomplete are
/// in memory, and eight bytes of each that is done.
pub struct Invoices {
    records: csv::ByteRecordsIntoIter<Box<dyn Read + Send>>,
    columns: [usize; 7],
    width: usize,
    open: VecDeque<Invoice>,
    done: HashSet<u64>,
    line: u64,
    left: u64,
    ended: bool,
}

impl Invoices {
    /// Reads the head; at most `limit` invoices.
    ///
    /// # Errors
    /// Usage where a column is missing, or the file is no text.
    pub fn new(file: Box<dyn Read + Send>, limit: Option<u64>) -> Result<Self, Failure> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
        let head =
            reader.headers().map_err(|error| Failure::Usage(format!("--csv: {error}")))?.clone();
        let mut columns = [0; 7];
        for (place, name) in columns.iter_mut().zip(COLUMNS) {
            let named = |field: &str| field.trim_start_matches('\u{feff}').trim() == name;
            *place = head.iter().position(named).ok_or_else(|| {
                Failure::Usage(format!("--csv: the head has no column {name}; see the README"))
            })?;
        }
        Ok(Self {
            records: reader.into_byte_records(),
            columns,
            width: head.len(),
            open: VecDeque::new(),
            done: HashSet::new(),
            line: 1,
            left: limit.unwrap_or(u64::MAX),
            ended: false,
        })
    }

    /// When the first invoice was written.
    ///
    /// # Errors
    /// Usage where no invoice has a time.
    pub fn first_time(self) -> Result<Timestamp, Failure> {
        for invoice in self {
            if let Some(at) = invoice?.at() {
                return Ok(at);
            }
        }
        Err(Failure::Usage("--csv: no invoice has a readable InvoiceDate".to_owned()))
    }

    fn take(&mut self, record: &ByteRecord) {
        let [invoice, stock_code, quantity, time, price, customer, country] = self.columns;
        let bytes = |column: usize| record.get(column).unwrap_or_default();
        // A description in another encoding harms nobody; what we use must be text.
        let is_text = self.columns.iter().all(|column| std::str::from_utf8(bytes(*column)).is_ok());
        let field = |column: usize| String::from_utf8_lossy(bytes(column)).trim().to_owned();
        let number = field(invoice);
        let row = Row {
            number: self.line,
            stock_code: field(stock_code),
            quantity: field(quantity),
            price: field(price),
            malformed: record.len() != self.width || !is_text,
        };
        let customer = plan::customer_number(&field(customer)).to_owned();
        // Lines without a number are an invoice each: nobody can say what belongs together.
        let known = self.open.iter_mut().find(|known| known.number == number && !number.is_empty());
        if let Some(known) = known {
            if known.rows.iter().all(|row| row.malformed) {
                (known.time, known.country) = (field(time), field(country));
                known.customer = customer;
            } else {
                known.mixed |= !row.malformed && known.customer != customer;
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
            time: field(time),
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
                None => self.ended = true,
                Some(Ok(record)) => {
                    // Blank lines are passed over, and a quoted field may hold several.
                    self.line = record.position().map_or(self.line + 1, csv::Position::line);
                    self.take(&record);
                }
                Some(Err(error)) => {
                    self.left = 0;
                    let line = self.line + 1;
                    return Some(
                        Err(error)
                            .with_context(|| format!("--csv: record {line}"))
                            .map_err(Failure::Other),
                    );
                }
            }
        }
    }
}

/// Eight bytes that stand for an invoice; two share them once in 10^19 pairs.
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
        Invoices::new(file, None).unwrap().map(Result::unwrap).collect()
    }

    fn line(invoice: &str) -> String {
        format!("{invoice},85123A,\"HOLDER, WHITE\",6,2010-12-01 08:26:00,2.55,17850.0,Norway\n")
    }

    #[test]
    fn lines_of_an_invoice_are_put_together_though_others_stand_between() {
        let found = read(&[line("1"), line("2"), line("1"), line("C3")].concat());
        let short: Vec<_> = found.iter().map(|i| (i.number.as_str(), i.lines(), i.split)).collect();
        assert_eq!(short, [("1", 2, false), ("2", 1, false), ("C3", 1, false)]);
        assert_eq!(found[0].customer, "17850");
        assert_eq!(found[0].rows[1].number, 4);
        assert!(found[2].is_credit_note());
        assert_eq!(found[0].at().unwrap().to_string(), "2010-12-01T08:26:00.000000Z");
    }

    #[test]
    fn an_invoice_that_comes_back_too_late_is_said_to_be_split() {
        let between: String = (10..150).map(|n| line(&n.to_string())).collect();
        let found = read(&[line("1"), between, line("1")].concat());
        assert_eq!(found.iter().filter(|invoice| invoice.number == "1").count(), 2);
        assert!(!found.first().unwrap().split);
        assert!(found.last().unwrap().split);
    }

    #[test]
    fn a_short_line_and_one_that_is_no_text_are_kept_and_marked() {
        let found = read("1,85123A\n");
        assert!(found[0].rows[0].malformed);
        let file = |line: &[u8]| -> Box<dyn Read + Send> {
            Box::new(std::io::Cursor::new([HEAD.as_bytes(), line].concat()))
        };
        let malformed = |line: &[u8]| {
            let mut found = Invoices::new(file(line), None).unwrap();
            found.next().unwrap().unwrap().rows[0].malformed
        };
        assert!(malformed(b"1,85\xff,x,6,2010-12-01 08:26:00,2.55,17850.0,Norway\n"));
        // Only what we use has to be text.
        assert!(!malformed(b"1,85123A,\xff,6,2010-12-01 08:26:00,2.55,17850.0,Norway\n"));
    }

    #[test]
    fn a_missing_column_is_named() {
        let file = Box::new(std::io::Cursor::new(b"InvoiceNo,StockCode\n1,2\n".to_vec()));
        let Err(Failure::Usage(text)) = Invoices::new(file, None) else { panic!("accepted") };
        assert!(text.contains("Quantity"), "{text}");
    }
}
