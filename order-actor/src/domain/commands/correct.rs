use std::sync::Arc;

use serde::Serialize;

use super::{Decide, DecisionContext};
use crate::domain::address_rules::of_its_country;
use crate::domain::guards::{
    Decision, NOTHING_HAPPENS, invalid_transition, leaves_room_to_end, reason_given,
    within_customer_limit,
};
use crate::domain::{
    Address, AddressPatch, BillingPatch, By, CommandKind, ContactPatch, Details, Event, Order,
    OrderCorrected, Person, Policy, Rejection, Role,
};

/// Correct contact or addresses of an order of which units are still to be shipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Correct {
    /// What changes of the contact.
    pub contact: ContactPatch,
    /// What changes of the delivery address.
    pub address: AddressPatch,
    /// What becomes of the billing address.
    pub billing_address: BillingPatch,
    /// Why, 1 to [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub reason: String,
}

impl Decide for Correct {
    fn kind(&self) -> CommandKind {
        CommandKind::Correct
    }

    fn allows(&self, by: &By) -> bool {
        matches!(by.role(), Role::Customer | Role::Service | Role::Ops)
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let (Order::Pending(_) | Order::Confirmed(_)) = order else {
            return Err(invalid_transition(order, "CorrectOrder"));
        };
        reason_given(&self.reason)?;
        let person = self.applied_to(&details.person, context.policy)?;
        let fields = details.person.differing(&person);
        if fields.is_empty() {
            return NOTHING_HAPPENS;
        }
        within_customer_limit(context.by, "it is corrected", details.customer_corrections)?;
        leaves_room_to_end(details)?;
        Ok(vec![Event::OrderCorrected(OrderCorrected {
            person: Arc::new(person),
            fields,
            reason: self.reason.clone(),
            asked_by: context.by.role(),
            at: context.now,
        })])
    }
}

impl Correct {
    /// The personal data with these corrections, checked as at placing where it changes.
    fn applied_to(&self, person: &Person, policy: &Policy) -> Result<Person, Rejection> {
        let contact = self.contact.applied_to(&person.contact);
        let contact = contact.map_err(Rejection::InvalidContact)?;
        let address = self.address.applied_to(&person.address);
        if address != person.address {
            address.check().map_err(Rejection::InvalidAddress)?;
            of_its_country(policy, "address", &address)?;
        }
        let billing_address = match &self.billing_address {
            BillingPatch::Keep => person.billing_address.clone(),
            BillingPatch::Remove => None,
            BillingPatch::Change(patch) => {
                let none = Address::default();
                let address = patch.applied_to(person.billing_address.as_ref().unwrap_or(&none));
                address.check().map_err(Rejection::InvalidBillingAddress)?;
                if person.billing_address.as_ref() != Some(&address) {
                    of_its_country(policy, "billing_address", &address)?;
                }
                Some(address)
            }
        };
        // Notes are kept once, by the event that brought them.
        Ok(Person { address, contact, billing_address, notes: Vec::new() })
    }
}
