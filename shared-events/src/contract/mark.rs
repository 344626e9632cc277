use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Identifies what a log holds at a position: the first eight bytes of the hash there, big-endian.
/// A position alone does not identify a history; a position with its mark does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark(u64);

impl Mark {
    /// The mark of a position with this hash.
    #[must_use]
    pub fn of(hash: &[u8]) -> Self {
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(hash) {
            *to = *from;
        }
        Self(u64::from_be_bytes(first))
    }

    /// The mark with these 64 bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its 64 bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// As a database stores it: the same 64 bits, read as signed.
    #[must_use]
    pub const fn stored(self) -> i64 {
        self.0.cast_signed()
    }

    /// From a database.
    #[must_use]
    pub const fn from_stored(bits: i64) -> Self {
        Self(bits.cast_unsigned())
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The text is not a mark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a mark: 16 hexadecimal digits")]
pub struct ParseMarkError;

impl FromStr for Mark {
    type Err = ParseMarkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        bits.map(Self).ok_or(ParseMarkError)
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mark_is_read_as_it_was_written(bits: u64) {
            let mark = Mark::from_bits(bits);
            prop_assert_eq!(mark.to_string().parse(), Ok(mark));
            prop_assert_eq!(Mark::from_stored(mark.stored()), mark);
            prop_assert_eq!(Mark::of(&bits.to_be_bytes()), mark);
        }
    }

    #[test]
    fn other_texts_are_not_marks() {
        for text in ["", "0", "+000000000000000", "00000000000000000", "000000000000000g"] {
            assert_eq!(text.parse::<Mark>(), Err(ParseMarkError), "{text}");
        }
    }
}
