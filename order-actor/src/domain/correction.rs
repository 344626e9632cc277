//! Corrections of an order's personal data: who gets it, where, and how the customer is reached.
//! Never here: until when it may be corrected (`commands/correct`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_events::contract::{Contact, ContactError, Timestamp};

use super::evolve::{Evolved, WRONG_STATE};
use super::{Address, AddressPart, Order, Person, Role};

/// New values of parts of an address; the others stay. Personal data: `Debug` hides them.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AddressPatch(pub BTreeMap<AddressPart, String>);

impl fmt::Debug for AddressPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl AddressPatch {
    /// The address with these parts.
    #[must_use]
    pub fn applied_to(&self, address: &Address) -> Address {
        let mut address = address.clone();
        for (part, value) in &self.0 {
            part.of_mut(&mut address).clone_from(value);
        }
        address
    }
}

/// New values of parts of a contact; the others stay. An empty e-mail address or phone number removes
/// it. Personal data: `Debug` hides them.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct ContactPatch {
    /// The e-mail address.
    pub email: Option<String>,
    /// The phone number.
    pub phone: Option<String>,
    /// The language of messages.
    pub locale: Option<String>,
}

impl fmt::Debug for ContactPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactPatch(..)")
    }
}

impl ContactPatch {
    /// The contact with these parts. Those that stay are not checked again: they were accepted under
    /// the rule of their time.
    ///
    /// # Errors
    /// [`ContactError`] names the first part that is not well formed.
    pub fn applied_to(&self, contact: &Contact) -> Result<Contact, ContactError> {
        let mut contact = contact.clone();
        if let Some(email) = &self.email {
            contact.email = Contact::new(email, "", "")?.email;
        }
        if let Some(phone) = &self.phone {
            contact.phone = Contact::new("", phone, "")?.phone;
        }
        if let Some(locale) = &self.locale {
            contact.locale = Contact::new("", "", locale)?.locale;
        }
        Ok(contact)
    }
}

/// What becomes of the billing address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingPatch {
    /// It stays.
    #[default]
    Keep,
    /// The invoice goes to the delivery address.
    Remove,
    /// These parts change; where there was none, it is made of them.
    Change(AddressPatch),
}

/// See [`Event::OrderCorrected`](super::Event::OrderCorrected).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCorrected {
    /// All the personal data of the order from now on, what stayed included.
    pub person: Arc<Person>,
    /// The fields that changed, such as `address.street`.
    pub fields: Vec<String>,
    /// Why.
    pub reason: String,
    /// The role that corrected it.
    pub asked_by: Role,
    /// When.
    pub at: Timestamp,
}

impl Person {
    /// The fields in which another differs, such as `address.street`.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let (one, two) = (&self.contact, &other.contact);
        let mut fields = Vec::new();
        let contact = [
            ("contact.email", one.email != two.email),
            ("contact.phone", one.phone != two.phone),
            ("contact.locale", one.locale != two.locale),
        ];
        fields.extend(contact.iter().filter(|(_, differs)| *differs).map(|(at, _)| (*at).into()));
        let mut compare = |path: &str, one: &Address, two: &Address| {
            let parts = AddressPart::ALL.into_iter();
            let differing = parts.filter(|part| part.of(one) != part.of(two));
            fields.extend(differing.map(|part| format!("{path}.{}", part.name())));
        };
        compare("address", &self.address, &other.address);
        match (&self.billing_address, &other.billing_address) {
            (Some(one), Some(two)) => compare("billing_address", one, two),
            (None, None) => {}
            _ => fields.push("billing_address".to_owned()),
        }
        fields
    }
}

/// The order with other personal data.
pub(super) fn corrected(mut order: Order, event: &OrderCorrected) -> Evolved {
    let (Order::Pending(_) | Order::Confirmed(_)) = order else { return Err(WRONG_STATE) };
    let details = order.details_mut().ok_or(WRONG_STATE)?;
    if event.fields.is_empty() || details.person.differing(&event.person) != event.fields {
        return Err("not the fields that changed");
    }
    let before = std::mem::replace(&mut details.person, Arc::clone(&event.person));
    details.placed_person.get_or_insert(before);
    if event.asked_by == Role::Customer {
        details.customer_corrections += 1;
    }
    Ok(order)
}
