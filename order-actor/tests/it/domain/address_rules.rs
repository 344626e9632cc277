//! Addresses by the data of their country. The examples are those of the data.

use order_actor::domain::{
    Address, AddressPart, Command, CountryFault, Event, Order, Place, Policy, Rejection, decide,
    replay,
};

use super::payments::placed_by;
use super::support::*;

/// Made by `scripts/addresses.py`: country, region where it is of one, postal code.
const EXAMPLES: &str = include_str!("address_examples.tsv");

fn there(country: &str, region: &str, postal_code: &str) -> Address {
    Address {
        country: country.to_owned(),
        region: region.to_owned(),
        postal_code: postal_code.to_owned(),
        ..address()
    }
}

fn fault(country: &str, region: &str, postal_code: &str) -> (AddressPart, String) {
    let fault = there(country, region, postal_code).check_by_country();
    let CountryFault { part, detail } = fault.expect_err("not of its country");
    (part, detail)
}

#[test]
fn every_example_of_the_data_is_of_its_country() {
    let mut of_regions = 0;
    let rows = EXAMPLES.lines().filter(|line| !line.starts_with('#'));
    for line in rows.clone() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [country, region, code] = cells[..] else { panic!("{line}") };
        match there(country, region, code).check_by_country() {
            Ok(()) => of_regions += usize::from(!region.is_empty()),
            // The data have examples of countries without a region, where one is needed.
            Err(fault) => assert_eq!((region, fault.part), ("", AddressPart::Region), "{line}"),
        }
    }
    assert!(rows.count() > 1_000 && of_regions > 500, "{of_regions}");
}

#[test]
fn regions_are_known_by_their_names_and_codes() {
    for (country, region, code) in [
        ("JP", "Tokyo", "154-0023"),
        ("JP", "東京都", "154-0023"),
        ("JP", "JP-13", "154-0023"),
        ("US", "CA", "95014"),
        ("US", "california", "95014-1010"),
        ("US", "US-CA", "95014"),
        ("CA", "on", "K1A 0B1"),
        ("CA", "Québec", "h3z2y7"),
        ("BR", "sao paulo", "01310-100"),
        ("BR", "São Paulo", "01310100"),
        ("IT", "TO", "10121"),
        ("IT", "Torino", "10121"),
        ("AU", "nsw", "2000"),
        ("IN", "Karnataka", "560001"),
        ("ES", "Madrid", "28001"),
        ("CN", "香港", "999077"),
        ("CN", "Beijing Shi", "100096"),
        ("KR", "Seoul", "03051"),
        ("AE", "Dubai", ""),
        // No list of them.
        ("AS", "AS", "96799"),
        // Not needed: any will do.
        ("DE", "Bayern", "80331"),
        ("GB", "Kent", "CT1 2EH"),
        ("IE", "Cork", ""),
        // With what stands before it, in small letters.
        ("CH", "", "CH-8000"),
        ("SE", "", "SE-111 22"),
        ("NL", "", "1012 ab"),
        ("GB", "", "gir 0aa"),
    ] {
        let found = there(country, region, code).check_by_country();
        assert_eq!(found, Ok(()), "{country} {region} {code}");
    }
}

#[test]
fn what_is_not_of_the_country_is_named_without_its_value() {
    let region = |detail: &str| (AddressPart::Region, detail.to_owned());
    let code = |detail: &str| (AddressPart::PostalCode, detail.to_owned());
    let states = "an address in US names its region, such as AL or Alabama";
    for (address, expected) in [
        (("US", "", "95014"), region(states)),
        (("US", "Bavaria", "95014"), region(states)),
        (("US", "-", "95014"), region(states)),
        (("AS", "", "96799"), region("an address in AS names its region")),
        (("US", "NY", "95014"), code("postal codes of New York begin otherwise")),
        (("CA", "ON", "H3Z 2Y7"), code("postal codes of Ontario begin otherwise")),
        (("IT", "Torino", "00100"), code("postal codes of Torino begin otherwise")),
        (("US", "CA", "9501"), code("a postal code of US has the form of 95014")),
        (("US", "CA", "95014\n"), code("a postal code of US has the form of 95014")),
        (("GB", "", "W1"), code("a postal code of GB has the form of EC1Y 8SY")),
        (("FR", "", "7500O"), code("a postal code of FR has the form of 33380")),
        // Digits of another script are none that a carrier sorts by.
        (("SG", "", "٥٤٦٠٨٠"), code("a postal code of SG has the form of 546080")),
        (("CN", "香港", "100000"), code("the postal code has another form in this region of CN")),
    ] {
        let (country, region, postal_code) = address;
        assert_eq!(fault(country, region, postal_code), expected, "{address:?}");
    }
}

#[test]
fn only_new_addresses_are_checked_and_only_where_that_is_set() {
    let decided = |order: &Order, place: &Place| {
        let policy = Policy { check_addresses: true, ..Policy::default() };
        decide(order, &Command::from(place.clone()), &by_owner(), after(0), &policy)
    };
    let wrong = there("GB", "", "W1");
    let there = Place { address: wrong.clone(), ..a_place() };
    let refused = |field: &str| {
        let at = format!("{field}.postal_code");
        let detail = "a postal code of GB has the form of EC1Y 8SY".to_owned();
        Err::<Vec<Event>, _>(Rejection::AddressNotOfCountry { at, detail })
    };
    assert_eq!(decided(&Order::Absent, &there), refused("address"));
    let billed = Place { billing_address: Some(wrong), ..a_place() };
    assert_eq!(decided(&Order::Absent, &billed), refused("billing_address"));
    assert_eq!(decided(&Order::Absent, &a_place()).map(|events| events.len()), Ok(1));
    // Placed before that was set: the same order again is the same.
    let order = replay(&[placed_by(there.clone())]).unwrap();
    assert_eq!(decided(&order, &there), Ok(Vec::new()));
}
