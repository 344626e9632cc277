//! Settlement reports of providers as CSV: what each line says, or which line is at fault.
//! Never here: what a line is matched with.

use std::collections::BTreeMap;

use shared_events::contract::{
    Currency, LineKind, Money, MoneyError, OperationId, TextRule, Timestamp,
};

/// The largest report, in bytes. A larger one is sent in parts.
pub const REPORT_BYTES_MAX: usize = 900_000;
/// The most lines of one report, without its first.
pub const REPORT_LINES_MAX: usize = 5_000;
/// The most characters of a name or reference of a provider.
const NAME_MAX: usize = 100;
/// Faults that are told at once.
const FAULTS_MAX: usize = 20;
/// The most digits of a rate, before its point and after it.
const RATE_DIGITS: usize = 9;

/// The columns that every report has.
const NEEDED: [&str; 7] = ["line_id", "kind", "currency", "gross", "fee", "net", "date"];
/// The columns that it may have.
const OTHERS: [&str; 5] = ["our_reference", "psp_reference", "settled_currency", "settled", "rate"];

/// What one line of a report says. Amounts are of one currency, and gross is fee and net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportLine {
    /// The provider's name of the line.
    pub name: String,
    /// What it is for.
    pub kind: LineKind,
    /// The operation of ours that it names.
    pub our_reference: Option<OperationId>,
    /// The provider's name of what it is for.
    pub psp_reference: Option<String>,
    /// Before the provider's fee; below zero where the shop loses it.
    pub gross: Money,
    /// The provider's fee.
    pub fee: Money,
    /// What is left.
    pub net: Money,
    /// What was paid out in another currency, and the rate as the report has it.
    pub settled: Option<(Money, String)>,
    /// When.
    pub at: Timestamp,
}

/// A line that is none of a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Fault {
    /// The line of the file, from 1: the names of the columns.
    pub line: usize,
    /// What is wrong with it; never shows what stands there.
    pub what: String,
}

/// The lines of a report, each with its number in the file, from 2. A line that stands in it twice
/// is there once.
///
/// # Errors
/// The faults, in order; the first of them where there are many.
pub fn report_lines(text: &str) -> Result<Vec<(usize, ReportLine)>, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let one = |line, what: &str| vec![Fault { line, what: what.to_owned() }];
    if text.len() > REPORT_BYTES_MAX || text.lines().count() > REPORT_LINES_MAX + 1 {
        let what = format!("at most {REPORT_BYTES_MAX} bytes and {REPORT_LINES_MAX} lines");
        return Err(one(1, &what));
    }
    if TextRule::lines(REPORT_BYTES_MAX).check(text).is_err() {
        return Err(one(1, "a control or invisible character stands in the report"));
    }
    let mut lines = text.lines().zip(1_usize..);
    let columns = match lines.next() {
        Some((first, _)) => Columns::of(first).map_err(|what| one(1, &what))?,
        None => return Err(one(1, "the names of the columns are missing")),
    };
    let mut found: Vec<(usize, ReportLine)> = Vec::new();
    let mut faults = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        match columns.line(line) {
            Ok(one) => match known.get(&one.name).and_then(|place| found.get(*place)) {
                None => {
                    known.insert(one.name.clone(), found.len());
                    found.push((number, one));
                }
                Some((_, earlier)) if *earlier == one => {}
                Some((earlier, _)) => {
                    let what = format!("line {earlier} has the same line_id and says otherwise");
                    faults.push(Fault { line: number, what });
                }
            },
            Err(what) => faults.push(Fault { line: number, what }),
        }
        if faults.len() >= FAULTS_MAX {
            break;
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// Where each column stands.
struct Columns(BTreeMap<&'static str, usize>);

/// The fields of one line, by their columns.
struct Fields<'a> {
    columns: &'a Columns,
    fields: Vec<String>,
}

impl Columns {
    fn of(first: &str) -> Result<Self, String> {
        let names = fields(first).ok_or("a quote is not closed")?;
        let mut places = BTreeMap::new();
        for (name, place) in names.iter().zip(0..) {
            let mut columns = NEEDED.into_iter().chain(OTHERS);
            if let Some(known) = columns.find(|known| *known == name.trim())
                && places.insert(known, place).is_some()
            {
                return Err(format!("the column {known} stands there twice"));
            }
        }
        match NEEDED.iter().find(|name| !places.contains_key(*name)) {
            Some(missing) => Err(format!("the column {missing} is missing")),
            None => Ok(Self(places)),
        }
    }

    fn line(&self, line: &str) -> Result<ReportLine, String> {
        let fields = fields(line).ok_or("a quote is not closed")?;
        Fields { columns: self, fields }.read()
    }
}

impl Fields<'_> {
    /// A field without blanks at its ends; empty where it, or its column, is not there.
    fn text(&self, column: &str) -> &str {
        let place = self.columns.0.get(column);
        place.and_then(|place| self.fields.get(*place)).map_or("", |text| text.trim())
    }

    /// A name or reference of the provider.
    fn name(&self, column: &str) -> Result<Option<String>, String> {
        let text = self.text(column);
        let fits = text.len() <= NAME_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(format!("{column}: 1 to {NAME_MAX} printable ASCII characters"));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn currency(&self, column: &str) -> Result<Currency, String> {
        self.text(column).parse().map_err(|error: MoneyError| format!("{column}: {error}"))
    }

    fn money(&self, column: &str, currency: Currency) -> Result<Money, String> {
        let money = Money::parse_decimal(self.text(column), currency);
        money.map_err(|error| format!("{column}: {error}"))
    }

    fn at(&self) -> Result<Timestamp, String> {
        let text = self.text("date");
        let at = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        at.parse().map_err(|_| "date: a day such as 2026-11-29, or an RFC 3339 instant".to_owned())
    }

    fn read(&self) -> Result<ReportLine, String> {
        let name = self.name("line_id")?.ok_or("line_id: required")?;
        let kind = self.text("kind").to_ascii_uppercase();
        let kind = LineKind::of_code(&kind)
            .ok_or("kind: one of charge, refund, fee, adjustment, dispute")?;
        let our_reference = match self.text("our_reference") {
            "" => None,
            text => {
                let id = text.parse::<OperationId>();
                Some(id.map_err(|_| "our_reference: a UUID, or nothing")?)
            }
        };
        let psp_reference = self.name("psp_reference")?;
        let currency = self.currency("currency")?;
        let of = |column| self.money(column, currency);
        let (gross, fee, net) = (of("gross")?, of("fee")?, of("net")?);
        if fee.plus(net) != Ok(gross) {
            return Err("gross is not fee and net".to_owned());
        }
        if (gross.minor, fee.minor) == (0, 0) {
            return Err("it moves nothing".to_owned());
        }
        if (kind == LineKind::Fee) != (gross.minor == 0) {
            return Err("gross: zero for a fee, and for nothing else".to_owned());
        }
        let settled = self.settled(net)?;
        let at = self.at()?;
        Ok(ReportLine { name, kind, our_reference, psp_reference, gross, fee, net, settled, at })
    }

    /// What was paid out in another currency: as the report says, or what the rate makes of net.
    fn settled(&self, net: Money) -> Result<Option<(Money, String)>, String> {
        let (currency, rate) = (self.text("settled_currency"), self.text("rate"));
        if currency.is_empty() || currency == net.currency.code() {
            let stray =
                currency.is_empty() && !(rate.is_empty() && self.text("settled").is_empty());
            return match stray {
                true => Err("settled_currency: required beside settled and rate".to_owned()),
                false => Ok(None),
            };
        }
        let currency = self.currency("settled_currency")?;
        let made = exchanged(net, rate, currency).ok_or_else(|| {
            format!(
                "rate: more than 0, with at most {RATE_DIGITS} digits on each side of its point"
            )
        })?;
        let settled = match self.text("settled") {
            "" => made,
            _ => self.money("settled", currency)?,
        };
        // The provider rounds as it likes, but by no more than what cannot be paid.
        if settled.minor.abs_diff(made.minor) > 1 {
            return Err("settled is not net at this rate".to_owned());
        }
        Ok(Some((settled, rate.to_owned())))
    }
}

/// An amount at a rate, in the minor units of the other currency, halves away from zero. None where
/// the rate is none, or the result out of range.
fn exchanged(net: Money, rate: &str, to: Currency) -> Option<Money> {
    let (whole, fraction) = rate.split_once('.').unwrap_or((rate, ""));
    let digits =
        |part: &str| part.len() <= RATE_DIGITS && part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let units = format!("{whole}{fraction}").parse::<i128>().ok().filter(|units| *units > 0)?;
    let scale = u32::try_from(fraction.len()).ok()?.checked_add(net.currency.exponent())?;
    let above = i128::from(net.minor).checked_mul(units)?;
    let above = above.checked_mul(10_i128.checked_pow(to.exponent())?)?;
    let below = 10_i128.checked_pow(scale)?;
    let half = if above < 0 { -below } else { below };
    let minor = above.checked_mul(2)?.checked_add(half)? / below.checked_mul(2)?;
    Some(Money::new(i64::try_from(minor).ok()?, to))
}

/// The fields of a line of CSV; none where a quote is not closed. Fields hold no line breaks.
fn fields(line: &str) -> Option<Vec<String>> {
    let (mut all, mut field) = (Vec::new(), String::new());
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted || field.trim().is_empty() => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    all.push(field);
    (!quoted).then_some(all)
}
