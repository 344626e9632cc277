use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::printable::{PrintableError, printable};

/// A stock keeping unit: 1 to 64 printable characters, blanks inside included. Blanks at its ends
/// are cut off and characters composed (NFC) when it is parsed; upper and lower case differ. Cheap
/// to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(Arc<str>);

impl Sku {
    /// The most characters a sku may have.
    pub const LEN_MAX: usize = 64;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not a sku.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sku: {0}")]
pub struct ParseSkuError(PrintableError);

impl FromStr for Sku {
    type Err = ParseSkuError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        printable(text, Self::LEN_MAX).map(|text| Self(text.as_ref().into())).map_err(ParseSkuError)
    }
}

impl TryFrom<String> for Sku {
    type Error = ParseSkuError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0.as_ref().to_owned()
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
