use shared_events::contract::{
    Contact, ContactError, Reason, TextError, TextRule, country_code, phone_number,
};

use super::Form;
use crate::domain::{Address, bounds};
use crate::grpc::proto;

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
        let address = normalised(address);
        for error in address.faults() {
            let path = format!("{field}.{}", error.0.name());
            self.violations.add(path, Reason::InvalidAddress, error);
        }
        Some(address)
    }

    pub(crate) fn contact(&mut self, contact: &proto::Contact) -> Option<Contact> {
        let parsed = Contact::new(&contact.email, &contact.phone, &contact.locale).ok();
        if parsed.is_none() {
            // Each part that is invalid, not only the first.
            let parts = [
                Contact::new(&contact.email, "", ""),
                Contact::new("", &contact.phone, ""),
                Contact::new("", "", &contact.locale),
            ];
            for error in parts.into_iter().filter_map(Result::err) {
                let field = format!("contact.{}", contact_field(error));
                self.violations.add(field, Reason::InvalidContact, error);
            }
        }
        // A well-formed e-mail address with hidden characters is refused: it is not what was typed.
        if let Err(error @ TextError::Hidden { .. }) =
            TextRule::line(bounds::EMAIL_MAX).check(&contact.email)
            && Contact::new(&contact.email, "", "").is_ok()
        {
            self.violations.add("contact.email", Reason::InvalidContact, error);
        }
        parsed
    }
}

/// An address with each part in one spelling. What has none stays as it is, for the check.
pub(super) fn normalised(address: proto::Address) -> Address {
    let phone = phone_number(&address.phone);
    // How long a part may be is checked later.
    let (line, lines) = (TextRule::line(usize::MAX), TextRule::lines(usize::MAX));
    let stored = |rule: TextRule, text: String| rule.stored(&text).unwrap_or(text);
    Address {
        street: stored(line, address.street),
        city: stored(line, address.city),
        postal_code: stored(line, address.postal_code),
        country: country_code(&address.country),
        name: stored(line, address.name),
        company: stored(line, address.company),
        street_line2: stored(line, address.street_line2),
        region: stored(line, address.region),
        phone: phone.map_or(address.phone, Option::unwrap_or_default),
        instructions: stored(lines, address.instructions),
    }
}
