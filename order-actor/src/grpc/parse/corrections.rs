use std::collections::{BTreeMap, BTreeSet};

use shared_events::contract::Reason;

use super::Form;
use super::people::normalised;
use crate::domain::{AddressError, AddressPart, AddressPatch, BillingPatch, ContactPatch};
use crate::grpc::proto;

/// Paths of a mask; there are 26 of them.
const PATHS_MAX: usize = 64;
const CONTACT: [&str; 3] = ["email", "phone", "locale"];

/// What of the contact and the addresses is corrected.
pub(crate) struct Corrections {
    pub(crate) contact: ContactPatch,
    pub(crate) address: AddressPatch,
    pub(crate) billing_address: BillingPatch,
}

/// The fields that a mask names.
#[derive(Default)]
struct Named {
    contact: BTreeSet<&'static str>,
    address: BTreeSet<AddressPart>,
    billing_address: BTreeSet<AddressPart>,
    /// Whether the billing address is named as a whole.
    all_of_billing: bool,
}

impl Named {
    /// Adds a path; false where there is no such field.
    fn add(&mut self, path: &str) -> bool {
        let (message, field) = match path.split_once('.') {
            Some((message, field)) => (message, Some(field)),
            None => (path, None),
        };
        let wanted = |name: &str| field.is_none_or(|field| field == name);
        let parts = AddressPart::ALL.into_iter().filter(|part| wanted(part.name()));
        let mut parts = parts.peekable();
        match message {
            "contact" => {
                let mut fields = CONTACT.into_iter().filter(|name| wanted(name)).peekable();
                let known = fields.peek().is_some();
                self.contact.extend(fields);
                known
            }
            "address" | "billing_address" => {
                let known = parts.peek().is_some();
                if message == "address" {
                    self.address.extend(parts);
                } else {
                    self.all_of_billing |= field.is_none();
                    self.billing_address.extend(parts);
                }
                known
            }
            _ => false,
        }
    }
}

impl Form {
    /// The fields of the request that its mask names; without a mask, all of each message given.
    pub(crate) fn corrections(
        &mut self,
        request: proto::CorrectOrderRequest,
    ) -> Option<Corrections> {
        let proto::CorrectOrderRequest { contact, address, billing_address, update_mask, .. } =
            request;
        let mut paths = update_mask.map(|mask| mask.paths).unwrap_or_default();
        if paths.is_empty() {
            let given = [
                ("contact", contact.is_some()),
                ("address", address.is_some()),
                ("billing_address", billing_address.is_some()),
            ];
            paths.extend(given.iter().filter(|(_, is)| *is).map(|(path, _)| (*path).to_owned()));
        }
        let mut named = Named::default();
        if paths.is_empty() || paths.len() > PATHS_MAX {
            self.invalid("update_mask", format!("1 to {PATHS_MAX} fields"));
            return None;
        }
        for (index, path) in paths.iter().enumerate() {
            if !named.add(path) {
                let fields = "contact, address, billing_address, or a field of them";
                self.invalid(format!("update_mask.paths[{index}]"), fields);
            }
        }
        let contact = self.contact_patch(&named.contact, contact.unwrap_or_default());
        let billing_address = if named.all_of_billing && billing_address.is_none() {
            Some(BillingPatch::Remove)
        } else if named.billing_address.is_empty() {
            Some(BillingPatch::Keep)
        } else {
            let given = billing_address.unwrap_or_default();
            let patch = self.address_patch("billing_address", &named.billing_address, given);
            patch.map(BillingPatch::Change)
        };
        if address.is_none() && named.address.len() == AddressPart::ALL.len() {
            self.violations.add("address", Reason::InvalidAddress, "required");
            return None;
        }
        let address = self.address_patch("address", &named.address, address.unwrap_or_default());
        Some(Corrections {
            contact: contact?,
            address: address?,
            billing_address: billing_address?,
        })
    }

    fn contact_patch(
        &mut self,
        named: &BTreeSet<&'static str>,
        given: proto::Contact,
    ) -> Option<ContactPatch> {
        let named = |name: &str, value: String| named.contains(name).then_some(value);
        let patch = ContactPatch {
            email: named("email", given.email),
            phone: named("phone", given.phone),
            locale: named("locale", given.locale),
        };
        let contact = self.contact(&proto::Contact {
            email: patch.email.clone().unwrap_or_default(),
            phone: patch.phone.clone().unwrap_or_default(),
            locale: patch.locale.clone().unwrap_or_default(),
        })?;
        Some(ContactPatch {
            email: patch.email.map(|_| contact.email.unwrap_or_default()),
            phone: patch.phone.map(|_| contact.phone.unwrap_or_default()),
            locale: patch.locale.map(|_| contact.locale.as_str().to_owned()),
        })
    }

    /// The named parts of an address. Whether the whole is right in its country is known where all
    /// are named; of some of them only their form is, and the domain checks the rest.
    fn address_patch(
        &mut self,
        field: &'static str,
        named: &BTreeSet<AddressPart>,
        given: proto::Address,
    ) -> Option<AddressPatch> {
        let address = normalised(given);
        let is_whole = named.len() == AddressPart::ALL.len();
        let is_malformed = |part: &AddressPart| !part.has_form(part.of(&address));
        let wrong: Vec<AddressError> = if is_whole {
            address.faults().collect()
        } else {
            named.iter().copied().filter(is_malformed).map(AddressError).collect()
        };
        for error in wrong {
            let path = format!("{field}.{}", error.0.name());
            self.violations.add(path, Reason::InvalidAddress, error);
        }
        let parts = named.iter().map(|part| (*part, part.of(&address).clone()));
        Some(AddressPatch(parts.collect::<BTreeMap<_, _>>()))
    }
}
