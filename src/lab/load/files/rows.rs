//! The rows of a file as orders: rows of one order stand together.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Read;
use std::sync::Arc;

use anyhow::Context as _;

use super::fields::{Field, ONCE};
use super::mapping::{Columns, Mapping};
use super::{NotKept, said};
use crate::client::Failure;
use crate::lab::load::plan;
use crate::lab::load::records::{Fault, Record, Records};

/// Rows of one order that are kept: one more than an order may have lines, so that it is refused.
const KEPT_MAX: usize = 2_001;

/// A row of the file: what each field says, by the mapping.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its line in the file; the heading is line 1.
    pub line: u64,
    /// What is wrong with it as a row of the table.
    pub fault: Option<Fault>,
    /// Names and amounts of taxes of the order.
    pub taxes: Vec<(String, String)>,
    /// Attributes of its line.
    pub attributes: Vec<(String, String)>,
    /// Metadata of its order.
    pub metadata: Vec<(String, String)>,
    /// What tells it from other rows.
    pub print: u64,
    values: BTreeMap<Field, String>,
}

impl Row {
    /// What the row says; empty where nothing.
    pub fn get(&self, field: Field) -> &str {
        self.values.get(&field).map_or("", String::as_str)
    }

    /// With this value.
    pub fn set(&mut self, field: Field, value: String) {
        if !value.is_empty() {
            self.values.insert(field, value);
        }
    }

    /// A row of these cells, by the names of their columns.
    pub fn of(line: u64, cells: &BTreeMap<String, String>, mapping: &Mapping) -> Self {
        let cell = |name: &String| cells.get(name).map_or("", String::as_str);
        let mut row = Self { line, ..Self::default() };
        for (field, columns) in &mapping.columns {
            let text = columns.names().iter().map(cell).find(|text| !text.is_empty());
            row.set(*field, text.unwrap_or_default().to_owned());
        }
        let metadata =
            mapping.metadata.iter().map(|(key, name)| (key.clone(), cell(name).to_owned()));
        row.metadata = metadata.filter(|(_, text)| !text.is_empty()).collect();
        row
    }

    /// Whether it is a line of an order, and not only more of what the order itself says.
    pub fn is_line(&self) -> bool {
        [Field::Sku, Field::Title, Field::Quantity].iter().any(|field| !self.get(*field).is_empty())
    }
}

/// The rows of one order.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Its number, as in the file.
    pub number: String,
    /// Its rows, in the order of the file.
    pub rows: Vec<Row>,
    /// Number of rows that are not kept.
    pub more: u64,
    /// Whether rows of this number came before and ended.
    pub is_repeated: bool,
    /// What was dropped on reading.
    pub not_kept: Vec<NotKept>,
    /// The mapping.
    pub mapping: Arc<Mapping>,
}

impl Raw {
    fn new(number: String, mapping: &Arc<Mapping>) -> Self {
        let mapping = Arc::clone(mapping);
        let (rows, not_kept) = (Vec::new(), Vec::new());
        Self { number, rows, more: 0, is_repeated: false, not_kept, mapping }
    }

    /// The order of these rows.
    pub fn of(number: String, rows: Vec<Row>, mapping: &Arc<Mapping>) -> Self {
        let mut raw = Self::new(number, mapping);
        rows.into_iter().for_each(|row| raw.add(row));
        raw
    }

    /// What the first row that says anything of it says, or what holds for every order.
    pub fn get(&self, field: Field) -> &str {
        let said = self.rows.iter().map(|row| row.get(field)).find(|text| !text.is_empty());
        said.unwrap_or_else(|| self.constant(field))
    }

    /// What a row says, or what holds for every line.
    pub fn of_row<'a>(&'a self, row: &'a Row, field: Field) -> &'a str {
        let said = row.get(field);
        if said.is_empty() { self.constant(field) } else { said }
    }

    fn constant(&self, field: Field) -> &str {
        self.mapping.constants.get(&field).map_or("", String::as_str)
    }

    /// A field of which two rows say different things.
    pub fn mixed(&self) -> Option<Field> {
        ONCE.into_iter().find(|field| {
            let mut said = self.rows.iter().map(|row| row.get(*field)).filter(|t| !t.is_empty());
            let first = said.next();
            said.any(|other| Some(other) != first)
        })
    }

    /// The line of the file that it begins on.
    pub fn first(&self) -> u64 {
        self.rows.first().map_or(0, |row| row.line)
    }

    fn add(&mut self, row: Row) {
        let id = row.get(Field::LineId);
        let is_same = |known: &&Row| match id {
            "" => known.print == row.print,
            id => known.get(Field::LineId) == id,
        };
        // Only the latest: no order is compared with all of itself.
        let known = self.rows.iter().rev().take(100).find(is_same);
        if let Some(known) = known.filter(|known| known.is_line() && row.fault.is_none()) {
            let what = format!("line {}", row.line);
            if id.is_empty() {
                let why = format!("it is the same as line {}; both are in the order", known.line);
                self.not_kept.push(said(&what, &why));
            } else {
                let why =
                    format!("it is the same item as line {}, which is in the order", known.line);
                self.not_kept.push(said(&what, &why));
                return;
            }
        }
        if self.rows.len() < KEPT_MAX {
            self.rows.push(row);
        } else {
            self.more += 1;
        }
    }
}

/// The rows of a decoded file.
pub struct Rows {
    records: Records,
    mapping: Arc<Mapping>,
    columns: Vec<(Field, Vec<usize>)>,
    taxes: Vec<(usize, usize)>,
    attributes: Vec<(String, usize)>,
    metadata: Vec<(String, usize)>,
    width: usize,
    path: String,
    open: Option<Raw>,
    // Eight bytes of each number that was complete.
    done: HashSet<u64>,
}

impl Rows {
    /// Reads the heading.
    ///
    /// # Errors
    /// Usage where a column is missing without which no order can be read: one of `needed`, and one
    /// of each list of `one_of`.
    pub fn new(
        file: Box<dyn Read + Send>,
        separator: u8,
        mapping: &Arc<Mapping>,
        path: &str,
        needed: (&[Field], &[&[Field]]),
    ) -> Result<Self, Failure> {
        let usage = |what: String| Failure::Usage(format!("{path}: {what}"));
        let is_quoted = mapping.quotes || separator != b'\t';
        let mut records = Records::separated(file, separator, is_quoted);
        let head = records.next().map_err(|error| usage(error.to_string()))?.unwrap_or_default();
        if let Some(fault) = &head.fault {
            return Err(usage(format!("the heading: {}", fault.detail)));
        }
        let at = |name: &String| {
            (0..head.len()).find(|column| {
                let field = String::from_utf8_lossy(head.field(*column)).into_owned();
                field.trim().eq_ignore_ascii_case(name.trim())
            })
        };
        let columns: Vec<(Field, Vec<usize>)> = mapping
            .columns
            .iter()
            .map(|(field, columns)| (*field, columns.names().iter().filter_map(at).collect()))
            .filter(|(_, columns): &(_, Vec<_>)| !columns.is_empty())
            .collect();
        let known = |field: &Field| {
            columns.iter().any(|(known, _)| known == field) || mapping.constants.contains_key(field)
        };
        let (all, one_of) = needed;
        let missing = all.iter().find(|field| !known(field)).map(|field| vec![*field]);
        let missing = missing.or_else(|| {
            let missing = one_of.iter().find(|fields| !fields.iter().any(known));
            missing.map(|fields| fields.to_vec())
        });
        if let Some(fields) = missing {
            return Err(usage(no_column(mapping, &fields, head.len())));
        }
        let pair = |(key, name): (&String, &String)| at(name).map(|column| (key.clone(), column));
        let taxes = mapping.taxes.iter().filter_map(|[name, value]| at(name).zip(at(value)));
        let attributes = mapping.attributes.iter().map(|name| (name, name)).filter_map(pair);
        Ok(Self {
            taxes: taxes.collect(),
            attributes: attributes.collect(),
            metadata: mapping.metadata.iter().filter_map(pair).collect(),
            columns,
            width: head.len(),
            records,
            mapping: Arc::clone(mapping),
            path: path.to_owned(),
            open: None,
            done: HashSet::new(),
        })
    }

    /// The next row.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next_row(&mut self) -> Result<Option<Row>, Failure> {
        let record = self
            .records
            .next()
            .with_context(|| format!("{}: after line {}", self.path, self.records.line()))?;
        Ok(record.map(|record| self.row(&record)))
    }

    /// The next order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next(&mut self) -> Result<Option<Raw>, Failure> {
        loop {
            let Some(row) = self.next_row()? else {
                return Ok(self.open.take());
            };
            let number = row.get(Field::Number).to_owned();
            let continues = match &self.open {
                Some(open) if number.is_empty() => self.mapping.continuation || !row.is_line(),
                Some(open) => open.number == number,
                None => false,
            };
            if continues && let Some(open) = &mut self.open {
                open.add(row);
                continue;
            }
            let mut next = Raw::new(number, &self.mapping);
            // Rows without a number are an order each: nothing shows which belong together.
            next.is_repeated = !next.number.is_empty() && !self.done.insert(mark(&next.number));
            next.add(row);
            if let Some(complete) = self.open.replace(next) {
                return Ok(Some(complete));
            }
        }
    }

    fn row(&self, record: &Record) -> Row {
        let cell = |column: usize| {
            let text = String::from_utf8_lossy(record.field(column)).into_owned();
            text.trim().to_owned()
        };
        let cells = |named: &[(String, usize)]| {
            let cells = named.iter().map(|(key, column)| (key.clone(), cell(*column)));
            cells.filter(|(_, text)| !text.is_empty()).collect::<Vec<_>>()
        };
        let taxes = self.taxes.iter().map(|(name, value)| (cell(*name), cell(*value)));
        let mut row = Row {
            line: record.line,
            fault: None,
            taxes: taxes.filter(|(_, amount)| !amount.is_empty()).collect(),
            attributes: cells(&self.attributes),
            metadata: cells(&self.metadata),
            print: record.print(),
            values: BTreeMap::new(),
        };
        for (field, columns) in &self.columns {
            let text = columns.iter().map(|column| cell(*column)).find(|text| !text.is_empty());
            row.set(*field, text.unwrap_or_default());
        }
        let texts = row.values.iter().map(|(field, text)| (*field, text.as_str()));
        row.fault = fault(record, self.width, texts);
        row
    }
}

/// What is wrong with a record as a row of a table with this many columns. Of its fields these are
/// used, with their names.
pub fn fault<'a, N: fmt::Display>(
    record: &Record,
    width: usize,
    texts: impl IntoIterator<Item = (N, &'a str)>,
) -> Option<Fault> {
    if let Some(fault) = &record.fault {
        return Some(fault.clone());
    }
    if record.len() != width {
        let has = record.len();
        return Some(Fault::malformed(format!("it has {has} fields, the heading has {width}")));
    }
    let (name, _) = texts.into_iter().find(|(_, text)| text.contains('\u{fffd}'))?;
    let detail = format!("{name} has bytes that are none of the file's encoding");
    Some(Fault::malformed(detail))
}

/// Error text for a missing column.
fn no_column(mapping: &Mapping, fields: &[Field], columns: usize) -> String {
    let empty: [String; 0] = [];
    let names: Vec<&str> = fields
        .iter()
        .flat_map(|field| mapping.columns.get(field).map_or(&empty[..], Columns::names))
        .map(String::as_str)
        .collect();
    let (columns, names) = (format!("{columns} columns"), names.join(", "));
    format!("the heading has {columns} and none of {names}; see docs/importing.md")
}

/// Eight bytes that identify an order; two have the same once in 10^19 pairs.
pub fn mark(number: &str) -> u64 {
    plan::derived(&format!("number/{number}")).as_u64_pair().0
}
