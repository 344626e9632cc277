use serde::{Deserialize, Serialize};

use super::printable::{PrintableError, printable};

/// Names that a client gave an order beside its id. Each is empty where it gave none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderNames {
    /// The number by which people know it, unique per installation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order_number: String,
    /// Its id in the client's own system, unique per shop.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_id: String,
    /// The shop that it is of. No name is one shop of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shop: String,
}

/// One of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameField {
    /// [`OrderNames::order_number`]
    OrderNumber,
    /// [`OrderNames::external_id`]
    ExternalId,
    /// [`OrderNames::shop`]
    Shop,
}

impl NameField {
    /// The name of the field, such as `order_number`.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::OrderNumber => "order_number",
            Self::ExternalId => "external_id",
            Self::Shop => "shop",
        }
    }

    /// The most characters.
    #[must_use]
    pub const fn max(self) -> usize {
        match self {
            Self::OrderNumber | Self::Shop => 40,
            Self::ExternalId => 100,
        }
    }

    /// A name as it is stored; an empty one says nothing.
    ///
    /// # Errors
    /// [`PrintableError`]
    pub fn parse(self, text: &str) -> Result<String, PrintableError> {
        if text.is_empty() {
            return Ok(String::new());
        }
        printable(text, self.max()).map(std::borrow::Cow::into_owned)
    }
}

impl OrderNames {
    /// Whether the client gave none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.order_number.is_empty() && self.external_id.is_empty() && self.shop.is_empty()
    }

    /// Each with its text.
    #[must_use]
    pub fn all(&self) -> [(NameField, &str); 3] {
        [
            (NameField::OrderNumber, &self.order_number),
            (NameField::ExternalId, &self.external_id),
            (NameField::Shop, &self.shop),
        ]
    }
}
