use std::fmt;

use serde::{Deserialize, Serialize};
use shared_events::contract::{Contact, TextRule};

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

/// The invalid field of an address; never shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Street.
    #[error(
        "street is 1 to {max} characters, none of them a control, bidirectional or invisible one",
        max = STREET_MAX
    )]
    Street,
    /// City.
    #[error(
        "city is 1 to {max} characters, none of them a control, bidirectional or invisible one; it \
         may be empty in countries whose addresses have none, in some of them if there is a region",
        max = CITY_MAX
    )]
    City,
    /// Postal code.
    #[error(
        "postal code is 1 to {max} characters; it may be empty in countries where parcels arrive \
         without one",
        max = POSTAL_CODE_MAX
    )]
    PostalCode,
    /// Name.
    #[error(
        "name is at most {max} characters, none of them a control, bidirectional or invisible one",
        max = NAME_MAX
    )]
    Name,
    /// Company.
    #[error(
        "company is at most {max} characters, none of them a control, bidirectional or invisible one",
        max = NAME_MAX
    )]
    Company,
    /// Region.
    #[error(
        "region is at most {max} characters, none of them a control, bidirectional or invisible one",
        max = NAME_MAX
    )]
    Region,
    /// Second line of the street.
    #[error(
        "street_line2 is at most {max} characters, none of them a control, bidirectional or invisible one",
        max = STREET_MAX
    )]
    StreetLine2,
    /// Phone.
    #[error("phone is a number in E.164, such as +442071838750")]
    Phone,
    /// Instructions.
    #[error("instructions are at most {max} characters, none of them hidden", max = TEXT_MAX)]
    Instructions,
    /// Country.
    #[error("country is an ISO 3166-1 alpha-2 code such as GB")]
    Country,
}

impl AddressError {
    /// The field it is about.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Street => "street",
            Self::City => "city",
            Self::PostalCode => "postal_code",
            Self::Country => "country",
            Self::Name => "name",
            Self::Company => "company",
            Self::Region => "region",
            Self::StreetLine2 => "street_line2",
            Self::Phone => "phone",
            Self::Instructions => "instructions",
        }
    }
}

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

impl Address {
    /// Whether every part is well formed.
    ///
    /// # Errors
    /// [`AddressError`] names the first part that is not.
    pub fn check(&self) -> Result<(), AddressError> {
        let fits = |text: &str, max: usize| {
            !text.trim().is_empty() && TextRule::line(max).check(text).is_ok()
        };
        if !fits(&self.street, STREET_MAX) {
            return Err(AddressError::Street);
        }
        let is_of = |list: &str| list.split(' ').any(|code| code == self.country);
        let has_none = self.city.is_empty()
            && (is_of(WITHOUT_CITY) || is_of(CITY_OR_REGION) && !self.region.trim().is_empty());
        if !(has_none || fits(&self.city, CITY_MAX)) {
            return Err(AddressError::City);
        }
        if self.country.len() != 2 || !is_of(COUNTRIES) {
            return Err(AddressError::Country);
        }
        let may_be_empty = !is_of(WITH_POSTAL_CODE);
        if !(fits(&self.postal_code, POSTAL_CODE_MAX)
            || self.postal_code.is_empty() && may_be_empty)
        {
            return Err(AddressError::PostalCode);
        }
        let name = TextRule::line(NAME_MAX);
        name.check(&self.name).map_err(|_| AddressError::Name)?;
        name.check(&self.company).map_err(|_| AddressError::Company)?;
        name.check(&self.region).map_err(|_| AddressError::Region)?;
        TextRule::line(STREET_MAX)
            .check(&self.street_line2)
            .map_err(|_| AddressError::StreetLine2)?;
        if !self.phone.is_empty() {
            let contact = Contact::new("", &self.phone, "");
            contact.map_err(|_| AddressError::Phone)?;
        }
        TextRule::lines(TEXT_MAX).check(&self.instructions).map_err(|_| AddressError::Instructions)
    }
}
