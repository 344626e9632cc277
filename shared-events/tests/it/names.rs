//! Names of orders, and the number that an order has without one.

use proptest::prelude::*;
use shared_events::contract::{NameField, OrderId, OrderNames, OrderNumber, PrintableError};
use uuid::Uuid;

fn id(bits: u128) -> OrderId {
    OrderId::from_uuid(Uuid::from_u128(bits))
}

proptest! {
    #[test]
    fn an_order_is_among_the_places_of_its_number(bits in any::<u128>(), version in 0_u128..16) {
        let bits = (bits & !(0xf << 76)) | (version << 76);
        // Ids of version 7 from 2004 to 2074.
        let bits = if version == 7 { bits & ((1 << 121) - 1) } else { bits };
        let number = OrderNumber::of(id(bits));
        prop_assert!(number.places().iter().any(|(from, to)| (*from..=*to).contains(&id(bits))));
        let text = number.to_string();
        prop_assert!(OrderNumber::is_form(&text), "{}", text);
        prop_assert_eq!(text.parse::<OrderNumber>(), Ok(number));
        let typed = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        prop_assert_eq!(typed.parse::<OrderNumber>(), Ok(number));
    }
}

#[test]
fn a_number_never_changes_and_no_other_text_is_one() {
    let four = id(0x1b4e_28ba_2fa1_41d2_883f_0016_d3cc_a427);
    let seven = id(0x018f_6f3e_0000_7abc_9f00_0000_0000_000a);
    assert_eq!(OrderNumber::of(four).to_string(), "3D72-HEHF-M4EJ");
    assert_eq!(OrderNumber::of(seven).to_string(), "HXQK-W000-NF3W");
    for other in ["", "1001", "3D72-HEHF-M4E", "3D72-HEHF-M4EU", "3D72-HEHF-M4EJ1", "ü"] {
        assert!(other.parse::<OrderNumber>().is_err(), "{other}");
    }
    assert!(!OrderNumber::is_form("3D72HEHFM4EJ"), "a client's own may be twelve digits");
    assert!(!OrderNumber::is_form("#1001"));
}

#[test]
fn names_are_printable_and_of_bounded_length() {
    let number = |text: &str| NameField::OrderNumber.parse(text);
    assert_eq!(number(" #1001 ").unwrap(), "#1001");
    assert_eq!(number("").unwrap(), "");
    assert_eq!(number(&"ü".repeat(40)).unwrap().chars().count(), 40);
    assert_eq!(number(&"x".repeat(41)), Err(PrintableError::Length { max: 40 }));
    assert_eq!(number("  "), Err(PrintableError::Length { max: 40 }));
    let hidden = PrintableError::Hidden { place: 2, character: '\u{200b}' };
    assert_eq!(NameField::ExternalId.parse("a\u{200b}"), Err(hidden));
    assert!(NameField::ExternalId.parse(&"x".repeat(100)).is_ok());
    let fields = OrderNames::default().all().map(|(field, text)| (field.field(), text.len()));
    assert_eq!(fields, [("order_number", 0), ("external_id", 0), ("shop", 0)]);
}
