//! The regions of each country and the form of its postal codes, by Google's address data
//! (libaddressinput): for shops that want addresses to be checked by them.
//! Never here: what every address must have (`address`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex_lite::Regex;
use shared_events::contract::letters;

use super::{Address, AddressPart, Policy, Rejection};

/// A line for each country, and below it one for each of its regions; `scripts/addresses.py` makes
/// them.
const DATA: &str = include_str!("countries.tsv");

/// By code; read when the first address is checked.
static COUNTRIES: LazyLock<BTreeMap<&'static str, Country>> = LazyLock::new(|| read(DATA));

/// A part of an address that is not one of its country. Never shows the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountryFault {
    /// The part.
    pub part: AddressPart,
    /// What must be true of it.
    pub detail: String,
}

/// What is known of the addresses of a country.
struct Country {
    code: &'static str,
    /// Whether an address has to name a region.
    needs_region: bool,
    /// What may stand before a postal code, such as `CH-`; may be empty.
    before: &'static str,
    /// The form of a postal code; any where absent.
    form: Option<Regex>,
    /// An example of one; empty where there is no form.
    example: &'static str,
    regions: Vec<Region>,
    /// Places in `regions` by names and codes, as their letters.
    by_name: BTreeMap<String, usize>,
}

/// A region of a country.
struct Region {
    /// As it is written in addresses, in one or more ways with `~` between any two.
    names: &'static str,
    /// How its postal codes begin; in any way where absent.
    begins: Option<Regex>,
    /// The form of its postal codes, where that is another than the country's.
    form: Option<Regex>,
}

/// Refuses an address that is not one of its country, where the shop wants that. `field` is its
/// path.
pub(super) fn of_its_country(
    policy: &Policy,
    field: &'static str,
    address: &Address,
) -> Result<(), Rejection> {
    if !policy.check_addresses {
        return Ok(());
    }
    address.check_by_country().map_err(|CountryFault { part, detail }| {
        let at = format!("{field}.{}", part.name());
        Rejection::AddressNotOfCountry { at, detail }
    })
}

impl Address {
    /// Whether its region and its postal code are ones of its country. Whether a postal code is
    /// needed at all is part of [`Address::check`].
    ///
    /// # Errors
    /// [`CountryFault`] for the first that is not.
    pub fn check_by_country(&self) -> Result<(), CountryFault> {
        let Some(country) = COUNTRIES.get(self.country.as_str()) else { return Ok(()) };
        let region = country.region(&self.region)?;
        country.check_postal_code(&self.postal_code, region)
    }
}

impl Country {
    /// The region of that name; none where it is not known and need not be.
    fn region(&self, name: &str) -> Result<Option<&Region>, CountryFault> {
        let name = letters(name);
        let known = self.by_name.get(&name).and_then(|place| self.regions.get(*place));
        let any_will_do = self.regions.is_empty() && !name.is_empty();
        if known.is_some() || !self.needs_region || any_will_do {
            return Ok(known);
        }
        let mut detail = format!("an address in {} names its region", self.code);
        if let Some(first) = self.regions.first() {
            detail = format!("{detail}, such as {}", first.names.replace('~', " or "));
        }
        Err(CountryFault { part: AddressPart::Region, detail })
    }

    fn check_postal_code(&self, code: &str, region: Option<&Region>) -> Result<(), CountryFault> {
        if code.is_empty() {
            return Ok(());
        }
        let wrong = |detail| Err(CountryFault { part: AddressPart::PostalCode, detail });
        let code = code.to_ascii_uppercase();
        let code = code.strip_prefix(self.before).unwrap_or(&code);
        let own = region.and_then(|region| region.form.as_ref());
        if own.or(self.form.as_ref()).is_some_and(|form| !form.is_match(code)) {
            let Self { code, example, .. } = self;
            return wrong(match own {
                Some(_) => format!("the postal code has another form in this region of {code}"),
                None => format!("a postal code of {code} has the form of {example}"),
            });
        }
        match region {
            Some(Region { begins: Some(begins), names, form: None }) if !begins.is_match(code) => {
                let name = names.split('~').next_back().unwrap_or_default();
                wrong(format!("postal codes of {name} begin otherwise"))
            }
            _ => Ok(()),
        }
    }
}

/// Reads the lines. A pattern that cannot be read allows everything; a test sees to it that each
/// can be.
fn read(data: &'static str) -> BTreeMap<&'static str, Country> {
    let mut countries = BTreeMap::new();
    let mut last: Option<Country> = None;
    for line in data.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        match cells[..] {
            ["C", code, needs, before, form, example] => {
                let country = Country {
                    code,
                    needs_region: needs.contains('S'),
                    before,
                    form: pattern(form, "$"),
                    example,
                    regions: Vec::new(),
                    by_name: BTreeMap::new(),
                };
                countries.extend(last.replace(country).map(|country| (country.code, country)));
            }
            ["R", iso, begins, form, names] => {
                let Some(country) = &mut last else { continue };
                country.add(
                    iso,
                    Region { names, begins: pattern(begins, ""), form: pattern(form, "$") },
                );
            }
            _ => {}
        }
    }
    countries.extend(last.map(|country| (country.code, country)));
    countries
}

impl Country {
    /// Adds a region, with the names and codes by which people write it: `CA`, `California`,
    /// `US-CA`.
    fn add(&mut self, iso: &str, region: Region) {
        let place = self.regions.len();
        let codes = [iso.to_owned(), format!("{}{iso}", self.code)];
        let codes = codes.into_iter().filter(|_| !iso.is_empty());
        for name in region.names.split('~').map(str::to_owned).chain(codes) {
            self.by_name.entry(letters(&name)).or_insert(place);
        }
        self.regions.push(region);
    }
}

/// The pattern of a text that begins like that, and ends with it where `end` is `$`.
fn pattern(text: &str, end: &str) -> Option<Regex> {
    if text.is_empty() { None } else { Regex::new(&format!("^(?:{text}){end}")).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_every_pattern() {
        let rows = || DATA.lines().filter(|line| !line.starts_with('#'));
        let countries: Vec<&Country> = COUNTRIES.values().collect();
        let regions = || countries.iter().flat_map(|country| &country.regions);
        assert_eq!(countries.len() + regions().count(), rows().count());
        assert!(countries.len() >= 250 && regions().count() >= 1_300);
        // Cells of patterns: the form of a country and that of a region, and how its codes begin.
        let given = |kind: &str, cell: usize| {
            let cells = rows().map(|line| line.split('\t').collect::<Vec<_>>());
            cells.filter(|cells| cells[0] == kind && !cells[cell].is_empty()).count()
        };
        assert_eq!(countries.iter().filter(|one| one.form.is_some()).count(), given("C", 4));
        assert_eq!(regions().filter(|one| one.begins.is_some()).count(), given("R", 2));
        assert_eq!(regions().filter(|one| one.form.is_some()).count(), given("R", 3));
        for country in countries {
            assert!(country.form.is_none() || !country.example.is_empty(), "{}", country.code);
        }
    }
}
