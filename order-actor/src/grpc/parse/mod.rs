//! Proto → values. Each function takes a request apart and gives either the whole of it or every
//! field at fault. Commands are taken apart in `grpc/commands`, one file each, by the same [`Form`].
//! Never echoes a value: it may be personal data.

mod form; // what every request is made of
mod lines; // lines, units and money
mod people; // where an order goes and how its customer is reached
mod places; // places in the journal, and pages
mod reads; // requests that change nothing

use std::fmt::Display;

pub(super) use form::Form;
pub use form::{Options, Parsed};
pub(super) use lines::Units;
pub use people::contact_field;
pub use reads::{
    AsOf, OrdersPage, Reading, Watching, diff_order, get_order, list_order_events, list_orders,
    read_events, read_facts, watch_orders,
};

/// A field that is not well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path, such as `lines[3].unit_price.currency_code`.
    pub field: String,
    /// The stable code: LIFECYCLE's where it has one, else [`Violations::INVALID_FIELD`].
    pub reason: &'static str,
    /// What a well formed one is; never the value.
    pub description: String,
}

/// All that is wrong with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// The code of fields whose malformation the order itself has no code for.
    pub const INVALID_FIELD: &'static str = "INVALID_FIELD";

    /// The most violations that a status shows.
    pub const SHOWN_MAX: usize = 20;

    /// One violation alone.
    #[must_use]
    pub fn one(field: &str, reason: &'static str, description: &str) -> Self {
        let (field, description) = (field.to_owned(), description.to_owned());
        Self(vec![Violation { field, reason, description }])
    }

    /// Every violation, in the order of the fields.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    pub(super) fn add(
        &mut self,
        field: impl Into<String>,
        reason: &'static str,
        description: impl Display,
    ) {
        let description = description.to_string();
        self.0.push(Violation { field: field.into(), reason, description });
    }

    fn none_or(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}
