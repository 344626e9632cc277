//! The lines of a CSV file as records, in bounded memory.
//!
//! A quoted field may hold line breaks. A quote that is never closed looks the same at first, but
//! costs only its own line: where the text after it cannot be a field, the lines after it are read
//! again.
//!
//! Never here: the meaning of columns.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead, BufReader, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Bytes of a record: a hundred times the longest of a shop.
pub const RECORD_MAX: usize = 1024 * 1024;
/// Lines over which quoted fields of one record may extend.
pub const LINES_MAX: usize = 100;

/// The stable code of a line that is no record of the table.
const MALFORMED: &str = "MALFORMED_LINE";
/// The stable code of a line with a quote that is not closed.
const QUOTE: &str = "QUOTE_NOT_CLOSED";

/// Why a record is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A stable code.
    pub code: &'static str,
    /// The message.
    pub detail: String,
}

impl Fault {
    /// The line is no record of the table.
    pub fn malformed(detail: String) -> Self {
        Self { code: MALFORMED, detail }
    }

    /// One of a record that was kept elsewhere; none where no record has this code.
    pub fn of(code: &str, detail: String) -> Option<Self> {
        let code = [MALFORMED, QUOTE].into_iter().find(|known| *known == code)?;
        Some(Self { code, detail })
    }

    fn quote(what: &str) -> Self {
        let detail = format!("a quote opens in it and is not closed: {what}");
        Self { code: QUOTE, detail }
    }

    fn too_long() -> Self {
        Self::malformed(format!("it is longer than {RECORD_MAX} bytes, the most of a line"))
    }
}

/// A record: fields, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The line of the file that it begins on; the first is 1.
    pub line: u64,
    /// What is wrong with it as a record.
    pub fault: Option<Fault>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Record {
    /// Number of its fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field; empty where it is missing or not trusted.
    pub fn field(&self, column: usize) -> &[u8] {
        let begin = match column.checked_sub(1) {
            Some(before) => self.ends.get(before).copied(),
            None => Some(0),
        };
        let end = self.ends.get(column).copied();
        begin.zip(end).and_then(|(begin, end)| self.bytes.get(begin..end)).unwrap_or_default()
    }

    /// What tells its fields from those of other records.
    pub fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.bytes, &self.ends).hash(&mut hasher);
        hasher.finish()
    }

    /// Broken within its last field, which is dropped.
    fn broken(mut self, fault: Fault) -> Self {
        self.ends.pop();
        self.fault = Some(fault);
        self
    }
}

/// A line of the file without its end.
struct Line {
    number: u64,
    text: Vec<u8>,
    // Whether the line is longer than what is kept of it.
    cut: bool,
}

/// Lines that end in LF, CR LF or CR.
struct Lines {
    file: BufReader<Box<dyn Read + Send>>,
    number: u64,
    // Whether the line before ended in CR: a following LF belongs to it.
    after_cr: bool,
}

impl Lines {
    fn next(&mut self) -> std::io::Result<Option<Line>> {
        let mut text = Vec::new();
        let (mut cut, mut begun) = (false, false);
        loop {
            let found = self.file.fill_buf()?;
            if found.is_empty() {
                if !begun {
                    return Ok(None);
                }
                break;
            }
            if std::mem::take(&mut self.after_cr) && found.starts_with(b"\n") {
                self.file.consume(1);
                continue;
            }
            begun = true;
            let end = found.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = found.get(..end.unwrap_or(found.len())).unwrap_or_default();
            let kept = part.len().min(RECORD_MAX - text.len());
            cut |= kept < part.len();
            text.extend_from_slice(part.get(..kept).unwrap_or_default());
            self.after_cr = end.is_some_and(|end| found.get(end) == Some(&b'\r'));
            let used = part.len() + usize::from(end.is_some());
            self.file.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        Ok(Some(Line { number: self.number, text, cut }))
    }
}

/// A record that is put together from lines.
struct Parser {
    reader: Reader,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    length: usize,
    fields: usize,
}

impl Parser {
    fn new(separator: u8, quoting: bool) -> Self {
        let (bytes, ends) = (Vec::new(), Vec::new());
        let reader = ReaderBuilder::new().delimiter(separator).quoting(quoting).build();
        Self { reader, bytes, ends, length: 0, fields: 0 }
    }

    fn begin(&mut self) {
        self.reader.reset();
        (self.length, self.fields) = (0, 0);
    }

    /// Takes a line; returns whether the record ends with it.
    fn line(&mut self, text: &[u8]) -> bool {
        // Empty input would mean the end of the file.
        (!text.is_empty() && self.feed(text)) || self.feed(b"\n")
    }

    /// Ends the record here.
    fn end(&mut self) {
        self.feed(b"");
    }

    fn feed(&mut self, mut text: &[u8]) -> bool {
        loop {
            // A field is never longer than its text.
            self.bytes.resize(self.bytes.len().max(self.length + text.len() + 1), 0);
            self.ends.resize(self.ends.len().max(self.fields + 16), 0);
            let bytes = self.bytes.get_mut(self.length..).unwrap_or_default();
            let ends = self.ends.get_mut(self.fields..).unwrap_or_default();
            let (result, read, written, ended) = self.reader.read_record(text, bytes, ends);
            self.length += written;
            self.fields += ended;
            text = text.get(read..).unwrap_or_default();
            match result {
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
                ReadRecordResult::InputEmpty => return false,
                ReadRecordResult::Record | ReadRecordResult::End => return true,
            }
        }
    }

    fn record(&self, line: u64) -> Record {
        Record {
            line,
            fault: None,
            bytes: self.bytes.get(..self.length).unwrap_or_default().to_vec(),
            ends: self.ends.get(..self.fields).unwrap_or_default().to_vec(),
        }
    }
}

/// The records of a file. Blank lines are skipped.
pub struct Records {
    lines: Lines,
    // Lines that were read ahead and begin records of their own.
    again: VecDeque<Line>,
    // Number of fields of the header; known once that is read.
    width: Option<usize>,
    parser: Parser,
    alone: Parser,
}

impl Records {
    /// Of this file, whose first record is the header, with this separator, and with or without
    /// quotes around fields.
    pub fn separated(file: Box<dyn Read + Send>, separator: u8, quoting: bool) -> Self {
        let lines = Lines { file: BufReader::new(file), number: 0, after_cr: false };
        let parser = || Parser::new(separator, quoting);
        let (parser, alone) = (parser(), parser());
        Self { lines, again: VecDeque::new(), width: None, parser, alone }
    }

    /// The number of the last line read, from 1.
    pub fn line(&self) -> u64 {
        self.lines.number
    }

    /// The next record.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next(&mut self) -> std::io::Result<Option<Record>> {
        let first = loop {
            match self.next_line()? {
                None => return Ok(None),
                Some(line) if line.text.is_empty() && !line.cut => {}
                Some(line) => break line,
            }
        };
        let record = self.record(first)?;
        self.width.get_or_insert(record.len());
        Ok(Some(record))
    }

    fn next_line(&mut self) -> std::io::Result<Option<Line>> {
        match self.again.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next(),
        }
    }

    /// The record that begins with this line.
    fn record(&mut self, first: Line) -> std::io::Result<Record> {
        self.parser.begin();
        let ended = self.parser.line(&first.text);
        if first.cut {
            if !ended {
                self.parser.end();
            }
            return Ok(self.parser.record(first.number).broken(Fault::too_long()));
        }
        if ended {
            return Ok(self.parser.record(first.number));
        }
        // A quote is open. Fields before it are complete; it is in the next one.
        let in_first = self.parser.fields == 0;
        let mut more = Vec::new();
        let fault = self.read_on(in_first, first.text.len(), &mut more)?;
        let Some(fault) = fault else { return Ok(self.parser.record(first.number)) };
        for line in more.into_iter().rev() {
            self.again.push_front(line);
        }
        self.parser.begin();
        self.parser.line(&first.text);
        self.parser.end();
        Ok(self.parser.record(first.number).broken(fault))
    }

    /// Reads on until the record ends; returns what is wrong with it, if anything.
    fn read_on(
        &mut self,
        in_first: bool,
        mut length: usize,
        more: &mut Vec<Line>,
    ) -> std::io::Result<Option<Fault>> {
        loop {
            let Some(line) = self.next_line()? else {
                return Ok(Some(Fault::quote("the file ends")));
            };
            length += line.text.len() + 1;
            let number = line.number;
            let ended = self.parser.line(&line.text);
            self.alone.begin();
            let stands_alone = self.alone.line(&line.text)
                && Some(self.alone.fields) == self.width
                // Where the open field is the first, its last line has all the others.
                && !(ended && in_first);
            let cut = line.cut;
            more.push(line);
            if stands_alone {
                let what = format!("line {number} is a complete line of the table");
                return Ok(Some(Fault::quote(&what)));
            }
            if cut || length > RECORD_MAX {
                let what = format!("not within {RECORD_MAX} bytes");
                return Ok(Some(Fault::quote(&what)));
            }
            if ended {
                let fits = self.width.is_none_or(|width| width == self.parser.fields);
                let what = || format!("up to line {number} the number of fields is another");
                return Ok((!fits).then(|| Fault::quote(&what())));
            }
            if more.len() == LINES_MAX {
                return Ok(Some(Fault::quote(&format!("not within {LINES_MAX} lines"))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Option<&'static str>, Vec<String>)> {
        let file = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        let mut records = Records::separated(file, b',', true);
        let mut found = Vec::new();
        while let Some(record) = records.next().unwrap() {
            let field = |column| String::from_utf8_lossy(record.field(column)).into_owned();
            let fields = (0..record.len()).map(field).collect();
            found.push((record.line, record.fault.map(|fault| fault.code), fields));
        }
        found
    }

    fn lines(text: &str) -> Vec<(u64, Option<&'static str>)> {
        read(text).into_iter().map(|(line, fault, _)| (line, fault)).collect()
    }

    const OPEN: Option<&str> = Some("QUOTE_NOT_CLOSED");

    #[test]
    fn quoted_fields_may_hold_lines_and_every_end_of_a_line_counts() {
        let found = read("a,b,c\r\n1,\"x\r\n\r\ny\",2\r3,\"\"\"\",4\n\n\n5,6,7");
        let shown: Vec<_> =
            found.iter().map(|(line, fault, fields)| (*line, *fault, fields.join("|"))).collect();
        let expected = [
            (1, None, "a|b|c".to_owned()),
            (2, None, "1|x\n\ny|2".to_owned()),
            (5, None, "3|\"|4".to_owned()),
            (8, None, "5|6|7".to_owned()),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_unclosed_quote_costs_only_its_own_line() {
        // To the end of the file; up to the next quote; up to one that closes it as if it had been
        // intended.
        assert_eq!(lines("a,b,c\n1,\"x,2\n3,y,4\n"), [(1, None), (2, OPEN), (3, None)]);
        assert_eq!(
            lines("a,b,c\n1,\"x,2\n3,\"y\",4\n5,6,7\n"),
            [(1, None), (2, OPEN), (3, None), (4, None)]
        );
        assert_eq!(lines("a,b,c\n1,\"x,2\n3,y\",4\n"), [(1, None), (2, OPEN), (3, None)]);
        assert_eq!(lines("a,b,c\n\"1,x,2\n3,y,4\n"), [(1, None), (2, OPEN), (3, None)]);
        // Fields before it are known.
        assert_eq!(read("a,b,c\n1,\"x,2\n")[1].2, ["1"]);
    }

    #[test]
    fn the_first_field_may_hold_lines_too() {
        let found = read("note,b,c\n\"one\ntwo\",1,2\n3,4,5\n");
        assert_eq!(found[1].2, ["one\ntwo", "1", "2"]);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn no_field_is_read_without_bound() {
        let long = "x".repeat(RECORD_MAX + 1);
        let text = format!("a,b,c\n1,{long},2\n3,4,5\n");
        assert_eq!(lines(&text), [(1, None), (2, Some("MALFORMED_LINE")), (3, None)]);
        // A record of many lines as well.
        let text = format!("a,b,c\n1,\"{}\n3,4,5\n", "x\n".repeat(LINES_MAX + 1));
        assert_eq!(lines(&text)[1], (2, OPEN));
        assert_eq!(lines(&text).last(), Some(&(LINES_MAX as u64 + 4, None)));
    }
}
