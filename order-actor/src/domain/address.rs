use std::fmt;

use serde::{Deserialize, Serialize};
use shared_events::contract::{TextRule, phone_number};

use super::bounds::{CITY_MAX, NAME_MAX, POSTAL_CODE_MAX, STREET_MAX, TEXT_MAX};

/// A delivery address. Personal data: `Debug` hides it, and it must not appear in any log, id,
/// metric or error.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street and number, 1 to [`STREET_MAX`] characters.
    pub street: String,
    /// City, at most [`CITY_MAX`] characters; empty only where addresses may have none.
    pub city: String,
    /// Postal code, at most [`POSTAL_CODE_MAX`] characters; empty where none is required.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub postal_code: String,
    /// ISO 3166-1 alpha-2, such as `GB`.
    pub country: String,
    /// Who gets it, at most [`NAME_MAX`] characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The company, at most [`NAME_MAX`] characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub company: String,
    /// A second line of the street, at most [`STREET_MAX`] characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub street_line2: String,
    /// State, province or county, at most [`NAME_MAX`] characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// The phone number at the door, in E.164.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phone: String,
    /// Words for whoever brings it, at most [`TEXT_MAX`] characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

/// A part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressPart {
    /// [`Address::name`]
    Name,
    /// [`Address::company`]
    Company,
    /// [`Address::street`]
    Street,
    /// [`Address::street_line2`]
    StreetLine2,
    /// [`Address::city`]
    City,
    /// [`Address::postal_code`]
    PostalCode,
    /// [`Address::region`]
    Region,
    /// [`Address::country`]
    Country,
    /// [`Address::phone`]
    Phone,
    /// [`Address::instructions`]
    Instructions,
}

impl AddressPart {
    /// Every part.
    pub const ALL: [Self; 10] = [
        Self::Name,
        Self::Company,
        Self::Street,
        Self::StreetLine2,
        Self::City,
        Self::PostalCode,
        Self::Region,
        Self::Country,
        Self::Phone,
        Self::Instructions,
    ];

    /// Its field name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Company => "company",
            Self::Street => "street",
            Self::StreetLine2 => "street_line2",
            Self::City => "city",
            Self::PostalCode => "postal_code",
            Self::Region => "region",
            Self::Country => "country",
            Self::Phone => "phone",
            Self::Instructions => "instructions",
        }
    }

    /// Its value.
    #[must_use]
    pub const fn of(self, address: &Address) -> &String {
        match self {
            Self::Name => &address.name,
            Self::Company => &address.company,
            Self::Street => &address.street,
            Self::StreetLine2 => &address.street_line2,
            Self::City => &address.city,
            Self::PostalCode => &address.postal_code,
            Self::Region => &address.region,
            Self::Country => &address.country,
            Self::Phone => &address.phone,
            Self::Instructions => &address.instructions,
        }
    }

    /// Its place.
    pub const fn of_mut(self, address: &mut Address) -> &mut String {
        match self {
            Self::Name => &mut address.name,
            Self::Company => &mut address.company,
            Self::Street => &mut address.street,
            Self::StreetLine2 => &mut address.street_line2,
            Self::City => &mut address.city,
            Self::PostalCode => &mut address.postal_code,
            Self::Region => &mut address.region,
            Self::Country => &mut address.country,
            Self::Phone => &mut address.phone,
            Self::Instructions => &mut address.instructions,
        }
    }

    /// Whether a text can be this part of some address, wherever that is.
    #[must_use]
    pub fn has_form(self, text: &str) -> bool {
        let fits = |max: usize| !text.trim().is_empty() && TextRule::line(max).check(text).is_ok();
        let line = |max: usize| TextRule::line(max).check(text).is_ok();
        match self {
            Self::Street => fits(STREET_MAX),
            Self::City => text.is_empty() || fits(CITY_MAX),
            Self::PostalCode => text.is_empty() || fits(POSTAL_CODE_MAX),
            Self::Country => is_among(text, COUNTRIES),
            Self::Name | Self::Company | Self::Region => line(NAME_MAX),
            Self::StreetLine2 => line(STREET_MAX),
            Self::Phone => phone_number(text).is_ok(),
            Self::Instructions => TextRule::lines(TEXT_MAX).check(text).is_ok(),
        }
    }

    /// What must be true of it.
    fn rule(self) -> String {
        const VISIBLE: &str = "none of them a control, bidirectional or invisible one";
        match self {
            Self::Street => format!("street is 1 to {STREET_MAX} characters, {VISIBLE}"),
            Self::City => format!(
                "city is 1 to {CITY_MAX} characters, {VISIBLE}; it may be empty in countries whose \
                 addresses have none, in some of them if there is a region"
            ),
            Self::PostalCode => format!(
                "postal code is 1 to {POSTAL_CODE_MAX} characters; it may be empty in countries \
                 where parcels arrive without one"
            ),
            Self::Country => "country is an ISO 3166-1 alpha-2 code such as GB".to_owned(),
            Self::Phone => "phone is a number in E.164, such as +442071838750".to_owned(),
            Self::Instructions => {
                format!("instructions are at most {TEXT_MAX} characters, none of them hidden")
            }
            Self::Name | Self::Company | Self::Region => {
                format!("{} is at most {NAME_MAX} characters, {VISIBLE}", self.name())
            }
            Self::StreetLine2 => {
                format!("{} is at most {STREET_MAX} characters, {VISIBLE}", self.name())
            }
        }
    }
}

/// The part of an address that is invalid; never shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.rule())]
pub struct AddressError(pub AddressPart);

/// Countries that require a postal code, by Google's address data (libaddressinput, `require`).
/// Other countries have none, or do not need one.
const WITH_POSTAL_CODE: &str = "\
AS AT AU AX BE BL BR CA CH CN CZ DE DK EE ES FI FK FM FR GB GF GG GL GP GR GS GU HU IM IN IO IT \
JE JP KR LI LT LU LV MF MH MP MQ MX MY NC NL NO NZ PF PL PM PN PR PT PW RE RO RU SE SG SH SJ SK \
SM TC TR TW UA US VI WF YT ZA";

/// Countries whose addresses need no city, by the same data.
const WITHOUT_CITY: &str = "AG GI MO SG SM VG";

/// Countries whose addresses need no city if they have a region, by the same data.
const CITY_OR_REGION: &str = "AE CO HK ID JP KY NR VN";

/// ISO 3166-1 alpha-2, officially assigned codes (ISO 3166 Maintenance Agency), and XK, by which
/// Kosovo is addressed.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN \
BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE \
EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU \
ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY \
MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM \
PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS \
ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS \
XK YE YT ZA ZM ZW";

/// Whether a code is one of a list: two letters each, with a blank between any two.
fn is_among(code: &str, codes: &str) -> bool {
    codes.as_bytes().chunks(3).any(|known| known.get(..2) == Some(code.as_bytes()))
}

/// The parts in the order in which they are checked.
const CHECKED: [AddressPart; 10] = [
    AddressPart::Street,
    AddressPart::City,
    AddressPart::Country,
    AddressPart::PostalCode,
    AddressPart::Name,
    AddressPart::Company,
    AddressPart::Region,
    AddressPart::StreetLine2,
    AddressPart::Phone,
    AddressPart::Instructions,
];

impl Address {
    /// Whether every part is well formed.
    ///
    /// # Errors
    /// [`AddressError`] names the first part that is not.
    pub fn check(&self) -> Result<(), AddressError> {
        self.faults().next().map_or(Ok(()), Err)
    }

    /// Every part that is not well formed, or missing in its country.
    pub fn faults(&self) -> impl Iterator<Item = AddressError> {
        let wrong = |part: &AddressPart| !part.has_form(part.of(self)) || self.lacks(*part);
        CHECKED.into_iter().filter(wrong).map(AddressError)
    }

    /// Whether a part is empty, and its country demands it. An unknown country demands both.
    fn lacks(&self, part: AddressPart) -> bool {
        let is_of = |codes: &str| is_among(&self.country, codes);
        let may_be_empty = match part {
            AddressPart::City => {
                is_of(WITHOUT_CITY) || is_of(CITY_OR_REGION) && !self.region.trim().is_empty()
            }
            AddressPart::PostalCode => is_of(COUNTRIES) && !is_of(WITH_POSTAL_CODE),
            _ => true,
        };
        part.of(self).is_empty() && !may_be_empty
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_country_of_the_lists_is_one() {
        let codes: BTreeSet<&str> = COUNTRIES.split(' ').collect();
        // Those of ISO 3166-1, and XK.
        assert_eq!(codes.len(), 249 + 1);
        for list in [COUNTRIES, WITH_POSTAL_CODE, WITHOUT_CITY, CITY_OR_REGION] {
            for code in list.split(' ') {
                let is_code = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
                assert!(is_code && is_among(code, list) && is_among(code, COUNTRIES), "{code}");
            }
        }
        for other in ["", "G", "GBR", "gb", "gB", "G ", "\u{c4}", "@A", "A[", "ZW ", " Z", "ZZ"] {
            assert!(!is_among(other, COUNTRIES), "{other}");
        }
    }
}
