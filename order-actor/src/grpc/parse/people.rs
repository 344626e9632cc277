use shared_events::contract::{Contact, ContactError, Reason, TextError, TextRule, country_code};

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
    /// An address; `field` is its path.
    pub(crate) fn address(
        &mut self,
        field: &'static str,
        address: Option<proto::Address>,
    ) -> Option<Address> {
        let Some(address) = address else {
            self.violations.add(field, Reason::InvalidAddress, "required");
            return None;
        };
        let phone = match address.phone.as_str() {
            "" => String::new(),
            // As it will be dialled; where it cannot be, the check says so.
            phone => Contact::new("", phone, "")
                .ok()
                .and_then(|contact| contact.phone)
                .unwrap_or(address.phone),
        };
        let address = Address {
            street: address.street,
            city: address.city,
            postal_code: address.postal_code,
            country: country_code(&address.country),
            name: address.name,
            company: address.company,
            street_line2: address.street_line2,
            region: address.region,
            phone,
            instructions: address.instructions,
        };
        // The check reports only the first invalid part. Replacing that part reveals the next one.
        let mut probe = address.clone();
        for _ in 0..10 {
            let Err(error) = probe.check() else { break };
            let path = format!("{field}.{}", error.field());
            self.violations.add(path, Reason::InvalidAddress, error);
            let (part, right) = match error {
                AddressError::Street => (&mut probe.street, "GB"),
                AddressError::City => (&mut probe.city, "GB"),
                AddressError::PostalCode => (&mut probe.postal_code, "GB"),
                AddressError::Country => (&mut probe.country, "GB"),
                AddressError::Name => (&mut probe.name, ""),
                AddressError::Company => (&mut probe.company, ""),
                AddressError::Region => (&mut probe.region, ""),
                AddressError::StreetLine2 => (&mut probe.street_line2, ""),
                AddressError::Phone => (&mut probe.phone, ""),
                AddressError::Instructions => (&mut probe.instructions, ""),
            };
            right.clone_into(part);
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
