//! Who gets an order and who pays for it.

use order_actor::grpc::proto;
use shared_events::contract::Contact;

use super::fields::Field;
use super::rows::Raw;
use super::{NotKept, countries, phones, said};

/// What stands where the file has no street or city.
const UNKNOWN: &str = "unknown";

/// The columns of an address.
struct Fields {
    name: [Field; 3],
    company: Field,
    street: [Field; 2],
    city: Field,
    region: Field,
    postal_code: Field,
    country: Field,
    phone: Field,
}

const SHIP: Fields = Fields {
    name: [Field::ShipName, Field::ShipFirstName, Field::ShipLastName],
    company: Field::ShipCompany,
    street: [Field::ShipStreet, Field::ShipStreetLine2],
    city: Field::ShipCity,
    region: Field::ShipRegion,
    postal_code: Field::ShipPostalCode,
    country: Field::ShipCountry,
    phone: Field::ShipPhone,
};

const BILL: Fields = Fields {
    name: [Field::BillName, Field::BillFirstName, Field::BillLastName],
    company: Field::BillCompany,
    street: [Field::BillStreet, Field::BillStreetLine2],
    city: Field::BillCity,
    region: Field::BillRegion,
    postal_code: Field::BillPostalCode,
    country: Field::BillCountry,
    phone: Field::BillPhone,
};

/// The address to which the order goes, and the invoice's where that is another.
pub fn addresses(
    raw: &Raw,
    not_kept: &mut Vec<NotKept>,
) -> (proto::Address, Option<proto::Address>) {
    let ship = address(raw, &SHIP, not_kept);
    let bill = address(raw, &BILL, not_kept);
    let mut ship = match (ship, &bill) {
        (Some(ship), _) => ship,
        // Shops leave it out where it is the same.
        (None, Some(bill)) => bill.clone(),
        (None, None) => proto::Address::default(),
    };
    let same = bill.as_ref().is_some_and(|bill| {
        proto::Address { phone: String::new(), ..bill.clone() }
            == proto::Address { phone: String::new(), ..ship.clone() }
    });
    let has_postal_codes = raw.mapping.columns.contains_key(&SHIP.postal_code);
    let filled = |address| filled(address, has_postal_codes);
    let bill = bill.filter(|_| !same).map(filled);
    ship.instructions = raw.get(Field::Instructions).to_owned();
    (filled(ship), bill)
}

/// None where the file has nothing of it but, perhaps, names.
fn address(raw: &Raw, fields: &Fields, not_kept: &mut Vec<NotKept>) -> Option<proto::Address> {
    let get = |field: Field| raw.get(field).to_owned();
    let [whole, first, last] = fields.name.map(|field| raw.get(field));
    let name = if whole.is_empty() { format!("{first} {last}") } else { whole.to_owned() };
    let [street, street_line2] = fields.street.map(get);
    let country = countries::code(raw.get(fields.country)).to_owned();
    // Spreadsheets are kept from reading a number by an apostrophe.
    let postal_code = get(fields.postal_code).trim_start_matches('\'').to_owned();
    let city = get(fields.city);
    if [&street, &city, &postal_code, &country].iter().all(|text| text.is_empty()) {
        return None;
    }
    let phone = phone(raw, fields.phone, &country, not_kept);
    Some(proto::Address {
        street,
        city,
        postal_code,
        country,
        name: name.trim().to_owned(),
        company: get(fields.company),
        street_line2,
        region: get(fields.region),
        phone,
        instructions: String::new(),
    })
}

fn filled(mut address: proto::Address, has_postal_codes: bool) -> proto::Address {
    for text in [&mut address.street, &mut address.city] {
        if text.is_empty() {
            UNKNOWN.clone_into(text);
        }
    }
    if address.postal_code.is_empty() && !has_postal_codes {
        UNKNOWN.clone_into(&mut address.postal_code);
    }
    address
}

/// How the customer is reached. What cannot be used is left out and told.
pub fn contact(raw: &Raw, country: &str, not_kept: &mut Vec<NotKept>) -> proto::Contact {
    let mut email = raw.get(Field::Email).to_owned();
    if Contact::new(&email, "", "").is_err() {
        not_kept.push(said("e-mail address", "it cannot be written to"));
        email.clear();
    }
    let mut locale = raw.get(Field::Locale).to_owned();
    if Contact::new("", "", &locale).is_err() {
        not_kept.push(said("locale", "it is not a language tag (BCP 47)"));
        locale.clear();
    }
    proto::Contact { email, phone: phone(raw, Field::Phone, country, not_kept), locale }
}

fn phone(raw: &Raw, field: Field, country: &str, not_kept: &mut Vec<NotKept>) -> String {
    let text = raw.get(field).trim_start_matches('\'');
    if text.is_empty() {
        return String::new();
    }
    phones::e164(text, country).unwrap_or_else(|| {
        let why = "it is no number of the address's country, nor one with a country code";
        let note = said("phone", why);
        // The same number often stands in several columns.
        if !not_kept.contains(&note) {
            not_kept.push(note);
        }
        String::new()
    })
}
