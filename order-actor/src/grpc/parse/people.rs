use shared_events::contract::{Contact, ContactError, Reason, TextError, TextRule};

use super::Form;
use crate::domain::{Address, AddressError};
use crate::grpc::proto;

/// Characters of an e-mail address.
const EMAIL_MAX: usize = 254;

/// The field of a contact that an error is about.
#[must_use]
pub const fn contact_field(error: ContactError) -> &'static str {
    match error {
        ContactError::Email => "email",
        ContactError::Phone => "phone",
        ContactError::Locale => "locale",
    }
}

impl Form {
    pub(crate) fn address(&mut self, address: Option<proto::Address>) -> Option<Address> {
        let Some(proto::Address { street, city, postal_code, country }) = address else {
            self.violations.add("address", Reason::InvalidAddress, "required");
            return None;
        };
        let address = Address { street, city, postal_code, country };
        // The check reports only the first invalid part. Replacing that part reveals the next one.
        let mut probe = address.clone();
        for _ in 0..4 {
            let Err(error) = probe.check() else { break };
            let field = format!("address.{}", error.field());
            self.violations.add(field, Reason::InvalidAddress, error);
            let part = match error {
                AddressError::Street => &mut probe.street,
                AddressError::City => &mut probe.city,
                AddressError::PostalCode => &mut probe.postal_code,
                AddressError::Country => &mut probe.country,
            };
            "GB".clone_into(part);
        }
        Some(address)
    }

    pub(crate) fn contact(&mut self, contact: &proto::Contact) -> Option<Contact> {
        let parts = [
            Contact::new(&contact.email, "", ""),
            Contact::new("", &contact.phone, ""),
            Contact::new("", "", &contact.locale),
        ];
        for error in parts.into_iter().filter_map(Result::err) {
            let field = format!("contact.{}", contact_field(error));
            self.violations.add(field, Reason::InvalidContact, error);
        }
        // A well-formed e-mail address with hidden characters is refused: it is not what was typed.
        if let Err(error @ TextError::Hidden { .. }) =
            TextRule::line(EMAIL_MAX).check(&contact.email)
            && Contact::new(&contact.email, "", "").is_ok()
        {
            self.violations.add("contact.email", Reason::InvalidContact, error);
        }
        Contact::new(&contact.email, &contact.phone, &contact.locale).ok()
    }
}
