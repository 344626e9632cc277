use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in UTC, in microseconds since 1970-01-01T00:00:00Z.
///
/// Microseconds because Postgres stores those; a finer instant would change on its way through the
/// journal. Written as RFC 3339 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first accepted instant: 0001-01-01T00:00:00Z, the first of protobuf's range.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// The last accepted instant: 9999-12-31T23:59:59.999999Z, the last of protobuf's range to the
    /// microsecond.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The instant that many microseconds after 1970, clamped to [`Self::MIN`]..=[`Self::MAX`].
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The instant that many microseconds after 1970, if it is accepted.
    #[must_use]
    pub fn checked_from_micros(micros: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&micros).then_some(Self(micros))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This instant plus a duration, clamped to [`Self::MAX`].
    #[must_use]
    pub fn plus(self, while_: Duration) -> Self {
        let micros = i64::try_from(while_.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// `jiff::Timestamp` reserves room for any zone and so ends at 9999-12-30T22:00:00Z; it cannot
/// parse that second. The last instants are printed and parsed as two days earlier.
const DAY: i64 = 24 * 60 * 60 * 1_000_000;

impl Timestamp {
    /// Date and time in UTC.
    fn civil(self) -> Result<jiff::civil::DateTime, jiff::Error> {
        let utc = |micros| {
            let instant = jiff::Timestamp::from_microsecond(micros)?;
            Ok::<_, jiff::Error>(jiff::tz::Offset::UTC.to_datetime(instant))
        };
        if self.0 <= Self::MAX.0 - 2 * DAY {
            utc(self.0)
        } else {
            utc(self.0 - 2 * DAY)?.checked_add(jiff::Span::new().days(2))
        }
    }
}

/// Always in six decimals.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.civil().map_err(|_| fmt::Error)?;
        write!(f, "{civil:.6}Z")
    }
}

/// The text is not an accepted instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTimestampError {
    /// It is not RFC 3339 with a zone.
    #[error("not an RFC 3339 instant such as 2011-08-31T17:45:00Z")]
    NoInstant,
    /// It is one before [`Timestamp::MIN`] or after [`Timestamp::MAX`].
    #[error("not an instant of the years 1 to 9999 in UTC")]
    OutOfRange,
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no_instant = |_| ParseTimestampError::NoInstant;
        let parsed: Result<jiff::Timestamp, _> = text.parse();
        let micros = match parsed {
            Ok(instant) => instant.as_microsecond(),
            Err(_) => {
                at_the_end(text).map_err(no_instant)?.ok_or(ParseTimestampError::NoInstant)?
            }
        };
        Self::checked_from_micros(micros).ok_or(ParseTimestampError::OutOfRange)
    }
}

/// The microseconds of an instant beyond the range of `jiff::Timestamp`; none where the text has no
/// time or no zone.
fn at_the_end(text: &str) -> Result<Option<i64>, jiff::Error> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text)?;
    let Some((time, offset)) = pieces.time().zip(pieces.to_numeric_offset()) else {
        return Ok(None);
    };
    let civil = pieces.date().to_datetime(time).checked_sub(jiff::Span::new().days(2))?;
    let earlier = offset.to_timestamp(civil)?.as_microsecond();
    Ok(earlier.checked_add(2 * DAY))
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
