//! What a cell says: amounts, units, instants, yes and no. Without floating point.

use std::fmt;

use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use serde::Deserialize;
use shared_events::contract::{Currency, Timestamp};

/// The character between units and their fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
pub enum DecimalMark {
    /// `1,234.50`
    #[default]
    #[serde(rename = ".")]
    #[value(name = ".")]
    Point,
    /// `1.234,50`
    #[serde(rename = ",")]
    #[value(name = ",")]
    Comma,
}

/// A decimal number: `digits / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    digits: i128,
    scale: u32,
}

/// The most digits of a number.
const DIGITS_MAX: usize = 25;

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self { digits: 0, scale: 0 };

    /// A number as people write it: with a sign, a currency before or after it, and groups of
    /// digits.
    pub fn parse(text: &str, mark: DecimalMark) -> Option<Self> {
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | ',');
        let text = text.trim().trim_start_matches(|c: char| !is_part(c));
        let text = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let (text, is_negative) = match text.strip_prefix('-') {
            Some(text) => (text, true),
            None => (text.strip_prefix('+').unwrap_or(text), false),
        };
        let text = text.trim_start_matches(|c: char| !is_part(c));
        let (point, other) = match mark {
            DecimalMark::Point => ('.', ','),
            DecimalMark::Comma => (',', '.'),
        };
        let (whole, fraction) = text.split_once(point).unwrap_or((text, ""));
        let whole = ungrouped(whole, other)?;
        let digits = format!("{whole}{fraction}");
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits || digits.len() > DIGITS_MAX {
            return None;
        }
        let digits: i128 = digits.parse().ok()?;
        let scale = u32::try_from(fraction.len()).ok()?;
        Some(Self { digits: if is_negative { -digits } else { digits }, scale })
    }

    /// This times a number of units.
    pub fn times(self, units: u32) -> Self {
        Self { digits: self.digits.saturating_mul(i128::from(units)), scale: self.scale }
    }

    /// The sum of both.
    pub fn plus(self, other: Self) -> Self {
        let scale = self.scale.max(other.scale);
        let raised = |one: Self| {
            one.digits.saturating_mul(10_i128.saturating_pow(scale.saturating_sub(one.scale)))
        };
        Self { digits: raised(self).saturating_add(raised(other)), scale }
    }

    /// In minor units of a currency, rounded half away from zero, and whether that is exact; none
    /// where it does not fit.
    pub fn minor(self, currency: Currency) -> Option<(i64, bool)> {
        let exponent = currency.exponent();
        if self.scale <= exponent {
            let factor = 10_i128.checked_pow(exponent - self.scale)?;
            return Some((i64::try_from(self.digits.checked_mul(factor)?).ok()?, true));
        }
        let divisor = 10_i128.checked_pow(self.scale - exponent)?;
        let rest = self.digits % divisor;
        let away = i128::from(rest.unsigned_abs() * 2 >= divisor.unsigned_abs());
        let rounded = self.digits / divisor + away * self.digits.signum();
        Some((i64::try_from(rounded).ok()?, rest == 0))
    }

    /// As a whole number of units, such as `6` or `6.0`.
    pub fn whole(self) -> Option<i64> {
        let divisor = 10_i128.checked_pow(self.scale)?;
        (self.digits % divisor == 0).then(|| i64::try_from(self.digits / divisor).ok())?
    }
}

/// A whole number of a cell that holds nothing else, such as `6`, `-6`, or `6.0` as spreadsheets
/// write it.
pub fn whole_number(text: &str) -> Option<i64> {
    let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+');
    let is_number = text.bytes().all(is_part) && text.ends_with(|c: char| c.is_ascii_digit());
    if is_number { Decimal::parse(text, DecimalMark::Point)?.whole() } else { None }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::try_from(self.scale).unwrap_or(0);
        let digits = format!("{:0>1$}", self.digits.unsigned_abs(), scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if self.digits < 0 { "-" } else { "" };
        let point = if scale > 0 { "." } else { "" };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

/// The digits before the mark without what groups them; none where the groups are not of three
/// (or, as in India, two) with three at the end.
fn ungrouped(text: &str, other: char) -> Option<String> {
    let groups: Vec<&str> =
        text.split(|c: char| c == other || c.is_whitespace() || matches!(c, '\'' | '’')).collect();
    if let [first, middle @ .., last] = groups.as_slice()
        && !(matches!(first.len(), 1..=3)
            && middle.iter().all(|group| matches!(group.len(), 2 | 3))
            && last.len() == 3)
    {
        return None;
    }
    Some(groups.concat())
}

/// How times are written.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Patterns (strftime) that are tried before ISO 8601.
    pub patterns: Vec<String>,
    /// The zone of times that name neither an offset nor a zone; UTC where absent.
    pub zone: Option<TimeZone>,
}

impl Times {
    /// The instant that a text names; none where it names none, or contradicts itself.
    pub fn instant(&self, text: &str) -> Option<Timestamp> {
        let text = text.trim();
        let by_pattern = self.patterns.iter().find_map(|pattern| self.by_pattern(pattern, text));
        by_pattern.or_else(|| self.iso(text))
    }

    fn by_pattern(&self, pattern: &str, text: &str) -> Option<Timestamp> {
        let time = BrokenDownTime::parse(pattern, text).ok()?;
        if let Ok(instant) = time.to_timestamp() {
            return micros(instant);
        }
        let local = time.to_datetime().ok();
        let local = local.or_else(|| time.to_date().ok().map(DateTime::from))?;
        self.local(local)
    }

    fn local(&self, time: DateTime) -> Option<Timestamp> {
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        micros(time.to_zoned(zone).ok()?.timestamp())
    }

    /// A time such as `2010-12-01 08:26:00`, with or without an offset (`Z`, `+02:00`, ` -0500`,
    /// `UTC`) or a zone (`[Europe/Berlin]`).
    fn iso(&self, text: &str) -> Option<Timestamp> {
        let utc = ["UTC", "GMT"].iter().find_map(|name| text.strip_suffix(name));
        let text = utc.map_or_else(|| text.to_owned(), |text| format!("{}Z", text.trim_end()));
        // Many programs write a blank before the offset.
        let signs = [" +", " -"];
        let text = signs.iter().fold(text, |text, sign| text.replace(sign, sign.trim_start()));
        let pieces = Pieces::parse(&text).ok()?;
        if pieces.time_zone_annotation().is_some() {
            return micros(text.parse::<Zoned>().ok()?.timestamp());
        }
        let time = pieces.date().to_datetime(pieces.time().unwrap_or_default());
        match pieces.to_numeric_offset() {
            Some(offset) => at(time, offset),
            None => self.local(time),
        }
    }
}

fn at(time: DateTime, offset: Offset) -> Option<Timestamp> {
    micros(time.to_zoned(TimeZone::fixed(offset)).ok()?.timestamp())
}

fn micros(instant: jiff::Timestamp) -> Option<Timestamp> {
    Some(Timestamp::from_micros(instant.as_microsecond()))
}

/// Whether a cell says yes.
pub fn is_yes(text: &str) -> bool {
    ["true", "yes", "1", "y"].iter().any(|yes| text.eq_ignore_ascii_case(yes))
}

/// Whether a cell says no.
pub fn is_no(text: &str) -> bool {
    ["false", "no", "0", "n"].iter().any(|no| text.eq_ignore_ascii_case(no))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor(text: &str, mark: DecimalMark) -> Option<(i64, bool)> {
        Decimal::parse(text, mark)?.minor("GBP".parse().unwrap())
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        use DecimalMark::{Comma, Point};
        for (text, mark, expected) in [
            ("4.50", Point, 450),
            ("£4.50", Point, 450),
            ("-£4.50", Point, -450),
            ("1,234.50", Point, 123_450),
            ("1,00,000", Point, 10_000_000),
            ("12.5 EUR", Point, 1_250),
            ("4,50", Comma, 450),
            ("1.234,50 €", Comma, 123_450),
            ("1 234,50", Comma, 123_450),
            ("1'234.50", Point, 123_450),
            ("6", Comma, 600),
        ] {
            assert_eq!(minor(text, mark), Some((expected, true)), "{text}");
        }
        for wrong in ["", "x", "4,50", "1,23,4", "1.2.3", ".5", "1e3", "--1", "12,3456.00"] {
            assert_eq!(minor(wrong, Point), None, "{wrong}");
        }
        assert_eq!(minor("1.005", Point), Some((101, false)));
        assert_eq!(minor("-1.005", Point), Some((-101, false)));
        assert_eq!(minor("1.0040", Point), Some((100, false)));
        assert_eq!(minor("1.5000", Point), Some((150, true)));
    }

    #[test]
    fn sums_and_products_are_exact() {
        let parse = |text: &str| Decimal::parse(text, DecimalMark::Point).unwrap();
        let third = parse("3.3333");
        assert_eq!(third.times(3).minor("GBP".parse().unwrap()), Some((1_000, false)));
        assert_eq!(parse("1.5").plus(parse("0.25")), parse("1.75"));
        assert_eq!(parse("1.5").plus(parse("-0.25")), parse("1.25"));
        for text in ["1.75", "-0.05", "6", "0.00", "-12"] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("6.0").whole(), Some(6));
        assert_eq!(parse("6.5").whole(), None);
        for (text, expected) in [("6", 6), ("+6", 6), ("-6", -6), ("6.0", 6), ("-6.000", -6)] {
            assert_eq!(whole_number(text), Some(expected), "{text}");
        }
        for wrong in ["", "6.5", "6.", ".0", "6 pcs", "x6", "--6", "6-", "1,000", "6.0.0", "1e3"] {
            assert_eq!(whole_number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_follow_pattern_offset_or_zone() {
        let zone = |name: &str| TimeZone::get(name).unwrap();
        let times = |pattern: &str, name: &str| Times {
            patterns: if pattern.is_empty() { Vec::new() } else { vec![pattern.to_owned()] },
            zone: (!name.is_empty()).then(|| zone(name)),
        };
        for (text, pattern, name, expected) in [
            ("02/03/2026 09:15", "%d/%m/%Y %H:%M", "", "2026-03-02T09:15"),
            ("02.03.2026", "%d.%m.%Y", "Europe/Berlin", "2026-03-01T23:00"),
            ("2026-07-02 09:15:00", "", "Europe/Berlin", "2026-07-02T07:15"),
            ("2026-07-02 09:15:00 -0400", "", "Europe/Berlin", "2026-07-02T13:15"),
            ("14-07-2026T18:53:56+02:00", "%d-%m-%YT%H:%M:%S%:z", "", "2026-07-14T16:53"),
        ] {
            let at = times(pattern, name).instant(text).unwrap().to_string();
            assert!(at.starts_with(expected), "{text}: {at}");
        }
        assert_eq!(times("", "").instant("02/03/2026 09:15"), None);
    }
}
