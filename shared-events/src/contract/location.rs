use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a location of stock, such as a warehouse or a shop: 1 to 40 ASCII letters, digits
/// and `-`, `_`, `.`, beginning with a letter or digit; upper and lower case differ. `main` is where
/// everything is that names no location; it is the default and takes no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LocationName(Option<Arc<str>>);

impl LocationName {
    /// The most characters of a name.
    pub const LEN_MAX: usize = 40;
    /// The name of the location that always exists.
    pub const MAIN: &'static str = "main";

    /// The location that always exists.
    #[must_use]
    pub const fn main() -> Self {
        Self(None)
    }

    /// Whether it is the one that always exists.
    #[must_use]
    pub const fn is_main(&self) -> bool {
        self.0.is_none()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(Self::MAIN)
    }
}

/// The text is not the name of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1 to 40 of letters (a to z), digits, `-`, `_` and `.`, beginning with a letter or digit")]
pub struct ParseLocationError;

impl FromStr for LocationName {
    type Err = ParseLocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let may_stand = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || text.len() > Self::LEN_MAX || !text.chars().all(may_stand) {
            return Err(ParseLocationError);
        }
        Ok(Self((text != Self::MAIN).then(|| text.into())))
    }
}

impl TryFrom<String> for LocationName {
    type Error = ParseLocationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LocationName> for String {
    fn from(name: LocationName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for LocationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_main_is_the_default() {
        for name in ["main", "berlin", "WH-01", "0.a_b", &"x".repeat(40)] {
            let parsed: LocationName = name.parse().unwrap();
            assert_eq!(parsed.as_str(), name);
            assert_eq!(parsed.is_main(), name == "main");
            let json = serde_json::to_string(&parsed).unwrap();
            assert_eq!(serde_json::from_str::<LocationName>(&json).unwrap(), parsed);
        }
        for wrong in ["", " ", "-a", "a b", "Köln", "a/b", &"x".repeat(41)] {
            assert_eq!(wrong.parse::<LocationName>(), Err(ParseLocationError), "{wrong}");
        }
        assert!(LocationName::default() < "0".parse().unwrap());
    }
}
