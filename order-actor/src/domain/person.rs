use std::fmt;

use serde::{Deserialize, Serialize};
use shared_events::contract::Contact;

use super::{Address, NewNote};

/// Who gets an order and who pays for it. All the personal data of an event stands in this one object,
/// apart from the rest. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Where the order goes.
    pub address: Address,
    /// How the customer is reached.
    pub contact: Contact,
    /// Where the invoice goes; to the address of the order where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_address: Option<Address>,
    /// Notes that were placed with the order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NewNote>,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person(..)")
    }
}
