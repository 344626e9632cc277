use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::EndedSpan;
use crate::chance::Chance;
use crate::contract::Timestamp;

/// Where spans go when they have ended.
pub trait Recorder: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
    /// Keeps a span, or counts it as lost. Never waits.
    fn record(&self, span: EndedSpan);
}

/// Whether and where spans are kept.
pub(super) struct Tracer {
    pub(super) recorder: Box<dyn Recorder>,
    pub(super) ratio: Ratio,
    pub(super) chance: Chance,
}

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// Keeps spans from now on, until the process ends: those of callers who ask for it, and of this
/// share of the calls that say nothing. The first recorder stays.
pub fn begin(recorder: Box<dyn Recorder>, ratio: Ratio) {
    let _ = TRACER.set(Tracer { recorder, ratio, chance: Chance::system() });
}

/// Whether spans are kept.
#[must_use]
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

pub(super) fn tracer() -> Option<&'static Tracer> {
    TRACER.get()
}

/// Which share of traces is recorded, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u32);

const MILLION: u32 = 1_000_000;
/// Digits after the point.
const DIGITS: usize = 6;

impl Ratio {
    /// All.
    pub const ALL: Self = Self(MILLION);
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether a trace with this id belongs to the share: the same for every process.
    #[must_use]
    pub const fn has(self, trace: u128) -> bool {
        trace % (MILLION as u128) < self.0 as u128
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is a number from 0 to 1 with at most six digits, such as 0.01".to_owned();
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > DIGITS {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let part: u32 = format!("{part:0<DIGITS$}").parse().map_err(|_| wrong())?;
        let millionths = whole.checked_mul(MILLION).and_then(|whole| whole.checked_add(part));
        millionths.filter(|it| *it <= MILLION).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:06}", self.0 % MILLION);
        match part.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / MILLION),
            part => write!(f, "{}.{part}", self.0 / MILLION),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_shown_as_it_is_read_and_means_that_share() {
        for (text, of_a_million) in [("0", 0), ("1", MILLION), ("0.01", 10_000), ("0.000001", 1)] {
            let ratio: Ratio = text.parse().unwrap();
            assert_eq!((ratio.to_string().as_str(), ratio), (text, Ratio(of_a_million)));
            let had = (0..u128::from(MILLION)).filter(|trace| ratio.has(*trace)).count();
            assert_eq!(had, of_a_million as usize);
        }
        for wrong in ["", ".", "1.1", "2", "-1", "0.0000001", "1e-3", "99999999999", "0.", ".5"] {
            assert!(wrong.parse::<Ratio>().is_err(), "{wrong}");
        }
    }
}
