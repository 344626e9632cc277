//! Values are parsed once, and invalid ones are refused.

use proptest::prelude::*;
use shared_events::contract::{
    CancelReason, Contact, ContactError, Currency, Email, FactId, Locale, Mark, Money, MoneyError,
    OrderId, Origin, ParseIdError, ParseTimestampError, Quantity, Reason, Sku, Subject, TextError,
    TextRule, Timestamp, letters,
};
use shared_events::stream::{Backoff, Cursors};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

fn gbp() -> Currency {
    "GBP".parse().unwrap()
}

#[test]
fn money_is_read_and_written_without_a_float() {
    let price = Money::parse_decimal("2.55", gbp()).unwrap();
    assert_eq!(price, Money::new(255, gbp()));
    assert_eq!(price.to_string(), "2.55 GBP");
    assert_eq!(Money::parse_decimal("-11062.06", gbp()).unwrap().minor, -1_106_206);
    assert_eq!(Money::parse_decimal("3", gbp()).unwrap().minor, 300);
    assert_eq!(Money::parse_decimal("3.500", gbp()).unwrap().minor, 350);
    assert_eq!(Money::parse_decimal("0.001", gbp()), Err(MoneyError::TooFine));
    for text in ["1e3", "", "-", ".50", "1.5-", "1-", "1.5.0", "+1", "1,5"] {
        assert_eq!(Money::parse_decimal(text, gbp()), Err(MoneyError::NotDecimal), "{text}");
    }
    assert_eq!(Money::parse_decimal("99999999999999999999", gbp()), Err(MoneyError::Overflow));
    for (units, nanos) in [(1, 1_000_000_000), (0, -1_000_000_000), (1, i32::MAX), (0, i32::MIN)] {
        assert_eq!(Money::from_units_nanos(units, nanos, gbp()), Err(MoneyError::NotNanos));
    }
    for (units, nanos) in [(1, -10_000_000), (-1, 10_000_000), (i64::MAX, -1)] {
        assert_eq!(Money::from_units_nanos(units, nanos, gbp()), Err(MoneyError::NotNanos));
    }
    for (units, nanos) in [(1, 1), (-1, -1), (0, 999_999_999)] {
        assert_eq!(Money::from_units_nanos(units, nanos, gbp()), Err(MoneyError::TooFine));
    }
    let yen = Money::parse_decimal("1999", "JPY".parse().unwrap()).unwrap();
    assert_eq!((yen.minor, yen.to_string().as_str()), (1999, "1999 JPY"));
    let dinar = Money::parse_decimal("1.234", "BHD".parse().unwrap()).unwrap();
    assert_eq!((dinar.minor, dinar.to_string().as_str()), (1234, "1.234 BHD"));
}

#[test]
fn money_of_different_currencies_is_never_added() {
    let euro = Money::new(1, "EUR".parse().unwrap());
    assert_eq!(Money::new(1, gbp()).plus(euro), Err(MoneyError::CurrencyMismatch));
    assert_eq!(Money::new(i64::MAX, gbp()).plus(Money::new(1, gbp())), Err(MoneyError::Overflow));
    assert_eq!("XYZ".parse::<Currency>(), Err(MoneyError::UnknownCurrency));
    assert_eq!("gbp".parse::<Currency>(), Err(MoneyError::UnknownCurrency));
}

#[test]
fn only_currencies_in_circulation_are_accepted() {
    for code in
        ["XXX", "XTS", "XAU", "XDR", "XAD", "HRK", "BGN", "ZWL", "SLL", "CUC", "CHE", "USN", "CLF"]
    {
        assert_eq!(code.parse::<Currency>(), Err(MoneyError::NoMoney), "{code}");
        // A currency stored while it was in circulation, or unchecked, is still read.
        let json = format!("{{\"minor\":100,\"currency\":\"{code}\"}}");
        assert_eq!(serde_json::from_str::<Money>(&json).unwrap().currency.code(), code);
    }
    for code in ["ANG", "DEM", "XYZ", "gbp", "GB", "", "£££"] {
        assert_eq!(code.parse::<Currency>(), Err(MoneyError::UnknownCurrency), "{code}");
    }
    for code in ["XCG", "ZWG", "SLE", "VES", "VED", "XAF", "XOF", "XPF", "XCD", "EUR", "MRU", "STN"]
    {
        assert_eq!(code.parse::<Currency>().unwrap().code(), code);
    }
}

#[test]
fn currencies_are_ordered_by_code_and_written_as_it() {
    let of = |code| Currency::recorded(code).unwrap();
    // A code that came later than its neighbours.
    assert!(of("AOA") < of("XCG") && of("XAF") < of("XCG") && of("XCG") < of("XOF"));
    for (code, exponent) in [("GBP", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4), ("XXX", 0)] {
        assert_eq!(serde_json::to_string(&of(code)).unwrap(), format!("\"{code}\""));
        assert_eq!((of(code).to_string().as_str(), of(code).exponent()), (code, exponent));
    }
}

#[test]
fn the_nil_uuid_is_not_an_id() {
    let id: OrderId = "018f6f3e-0000-7000-8000-00000000000a".parse().unwrap();
    for spelling in [
        "018F6F3E-0000-7000-8000-00000000000A",
        "018f6f3e00007000800000000000000a",
        "{018f6f3e-0000-7000-8000-00000000000a}",
        "urn:uuid:018f6f3e-0000-7000-8000-00000000000a",
    ] {
        assert_eq!(spelling.parse(), Ok(id), "{spelling}");
        assert_eq!(OrderId::recorded(spelling), Ok(id));
    }
    assert_eq!(id.to_string(), "018f6f3e-0000-7000-8000-00000000000a");
    let nil = "00000000-0000-0000-0000-000000000000";
    for spelling in [nil, &nil.replace('-', ""), &format!("{{{nil}}}"), &format!("urn:uuid:{nil}")]
    {
        assert_eq!(spelling.parse::<OrderId>(), Err(ParseIdError::Nil), "{spelling}");
    }
    // Ids stored before this check are still read.
    assert_eq!(OrderId::recorded(nil).unwrap().to_string(), nil);
    assert!(serde_json::from_str::<OrderId>(&format!("\"{nil}\"")).is_ok());
}

#[test]
fn hidden_characters_and_long_texts_are_refused() {
    let (line, lines) = (TextRule::line(5), TextRule::lines(5));
    for good in ["", "abcde", "𐍈𐍈𐍈𐍈𐍈", "שלום", "ب\u{200c}ی", "👩\u{200d}👧"]
    {
        assert_eq!((line.check(good), lines.check(good)), (Ok(()), Ok(())), "{good:?}");
    }
    assert_eq!(line.check("abcdef"), Err(TextError::TooLong { max: 5 }));
    for breaks in ["a\nb", "a\tb", "a\r\nb"] {
        assert_eq!(lines.check(breaks), Ok(()), "{breaks:?}");
        assert!(line.check(breaks).is_err(), "{breaks:?}");
    }
    let hidden = "\0\u{7}\u{1b}\r\u{7f}\u{85}\u{9b}\u{61c}\u{180e}\u{200b}\u{200e}\u{200f}\u{2028}\
                  \u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2066}\u{2067}\u{2068}\
                  \u{2069}\u{feff}\u{fff9}\u{e0041}";
    for hidden in hidden.chars() {
        let text = format!("ab{hidden}");
        let refused = Err(TextError::Hidden { place: 3, character: hidden });
        assert_eq!((line.check(&text), lines.check(&text)), (refused, refused), "{hidden:?}");
    }
    let refused = line.check("a\u{202e}").unwrap_err().to_string();
    assert!(refused.ends_with("character 2 is U+202E"), "{refused}");
}

#[test]
fn a_text_is_stored_in_one_spelling() {
    let rule = TextRule::line(4);
    for (sent, kept) in [("", ""), ("  ", ""), (" abcd  ", "abcd"), ("u\u{308}ber", "\u{fc}ber")] {
        assert_eq!(rule.stored(sent), Ok(kept.to_owned()), "{sent:?}");
    }
    assert_eq!(rule.stored(" abcde"), Err(TextError::TooLong { max: 4 }));
    // Hidden characters count as they were sent, also where they would be cut off.
    let refused = |place, character| Err(TextError::Hidden { place, character });
    assert_eq!(rule.stored("ab\n"), refused(3, '\n'));
    assert_eq!(rule.stored("abcdefg\u{202e}"), refused(8, '\u{202e}'));
}

#[test]
fn names_are_the_same_by_their_letters() {
    for (name, same) in [
        ("São Paulo", "SAO PAULO"),
        ("Que\u{301}bec", "Québec"),
        ("Emilia-Romagna", "emilia romagna"),
        ("Parròquia d'Andorra", "Parroquia d\u{2019}andorra"),
        ("東京都", " 東京都 "),
        ("", " -"),
    ] {
        assert_eq!(letters(name), letters(same), "{name}");
    }
    assert_eq!(letters("São Paulo 2"), "saopaulo2");
    assert_ne!(letters("서울"), letters("부산"));
}

#[test]
fn invalid_values_are_refused() {
    let hidden = ["a\u{200b}b", "a\u{200d}b", "a\u{ad}b", "a\u{202e}b", "a\tb", "a\u{fe0f}"];
    for wrong in ["", "  ", &"a".repeat(65)].into_iter().chain(hidden) {
        assert!(wrong.parse::<Sku>().is_err(), "{wrong:?}");
    }
    let right = ["85123A", "gift_0001_40", "a.b-c", "Mug, 12 \"blue\"", "x/y+z", "ß=ü@%_*{}'"];
    for right in right.into_iter().chain([&*"ü".repeat(64), &"a".repeat(64)]) {
        let sku: Sku = right.parse().unwrap();
        assert_eq!(sku.as_str(), right);
        let text = serde_json::to_string(&sku).unwrap();
        assert_eq!(serde_json::from_str::<Sku>(&text).unwrap(), sku);
    }
    let composed: Sku = " u\u{308}ber ".parse().unwrap();
    assert_eq!(composed.as_str(), "\u{fc}ber");
    assert!(Quantity::new(0).is_err());
    assert!(Quantity::new(Quantity::MAX + 1).is_err());
    assert!("536365".parse::<OrderId>().is_err());
    assert_eq!(Contact::new("no at", "", ""), Err(ContactError::Email));
    assert_eq!(Contact::new("a@b@c", "", ""), Err(ContactError::Email));
    assert_eq!(Contact::new("", "0207", ""), Err(ContactError::Phone));
    assert_eq!(Contact::new("", "+0207183", ""), Err(ContactError::Phone));
    assert_eq!(Contact::new("", "", "English"), Err(ContactError::Locale));
    assert!(Contact::new("a@example.org", "+442071838750", "en-GB").is_ok());
}

#[test]
fn an_accepted_address_works_with_every_mail_server() {
    for (given, sent) in [
        ("ada@example.org", "ada@example.org"),
        ("Ada.Lovelace+orders@Example.ORG", "Ada.Lovelace+orders@example.org"),
        ("o'brien!#$%&*/=?^_`{|}~@example.org", "o'brien!#$%&*/=?^_`{|}~@example.org"),
        ("ops@localhost", "ops@localhost"),
        // As some Japanese providers gave them.
        ("taro..yamada@docomo.ne.jp", "\"taro..yamada\"@docomo.ne.jp"),
        ("taro.@docomo.ne.jp", "\"taro.\"@docomo.ne.jp"),
        (".taro@docomo.ne.jp", "\".taro\"@docomo.ne.jp"),
        (r#""a b@c\"d"@example.org"#, r#""a b@c\"d"@example.org"#),
        ("info@b\u{fc}cher.example", "info@xn--bcher-kva.example"),
        ("info@B\u{dc}CHER.example", "info@xn--bcher-kva.example"),
        ("info@\u{4f8b}\u{5b50}.\u{4e2d}\u{56fd}", "info@xn--fsqu00a.xn--fiqs8s"),
        ("info@xn--bcher-kva.example", "info@xn--bcher-kva.example"),
        ("a@a--b.example", "a@a--b.example"),
    ] {
        let email: Email = given.parse().unwrap_or_else(|_| panic!("{given} is refused"));
        assert_eq!(format!("{}@{}", email.local(), email.domain()), sent);
        // It is stored as the customer gave it.
        let contact = Contact::new(&format!(" {given}\t"), "", "").unwrap();
        assert_eq!(contact.email.as_deref(), Some(given));
    }
    let long = |local: usize, label: usize| {
        format!("{}@{}.example", "a".repeat(local), vec!["b".repeat(label); 3].join("."))
    };
    assert!(Contact::new(&long(40, 63), "", "").is_ok());
    for wrong in [
        "@example.org",
        "ada@",
        "ada",
        "@",
        "a@b@example.org",
        "a,b@example.org",
        "a:b@example.org",
        "a b@example.org",
        "evil<victim@example.com>",
        "Ada <ada@example.org>",
        "\"unclosed@example.org",
        "\"\"@example.org",
        "\"a\"b\"@example.org",
        "\"a\\\"@example.org",
        "a@example..org",
        "a@.example.org",
        "a@example.org.",
        "a@example.org,",
        "a@-example.org",
        "a@example-.org",
        "a@ex_ample.org",
        "a@127.0.0.1",
        "a@[127.0.0.1]",
        "a@[IPv6:::1]",
        "a@xn--a.example",
        // Not every mail server accepts this one.
        "j\u{f6}rg@example.org",
        // These are invisible.
        "ada@example.com\u{200b}",
        "ada\u{200b}@example.com",
        "ada@exa\u{ad}mple.com",
        "ada@exa\u{200d}mple.com",
        "ada@exa\u{2060}mple.com",
        "ada@exa\u{fe0f}mple.com",
        "ada@\u{202e}moc.elpmaxe",
        "ada@example.com\r\nBcc: x@example.com",
        "ada\0@example.com",
        "ada\u{7f}@example.com",
        "\"a\tb\"@example.com",
        &long(65, 10),
        &long(64, 63),
        &long(1, 64),
    ] {
        assert_eq!(Contact::new(wrong, "", ""), Err(ContactError::Email), "{wrong:?}");
    }
}

#[test]
fn phones_and_languages_are_normalised() {
    for (given, kept) in [
        ("+442071838750", "+442071838750"),
        ("+44 20 7183 8750", "+442071838750"),
        (" +44-20-7183-8750 ", "+442071838750"),
        ("+1 (212) 555-0100", "+12125550100"),
        ("+49\u{a0}30\u{2011}901820", "+4930901820"),
        ("+49.30/901820", "+4930901820"),
        ("00442071838750", "+442071838750"),
        ("0044 20 7183 8750", "+442071838750"),
        ("00-1 (212) 555-0100", "+12125550100"),
        ("+6834000", "+6834000"),
        ("+123456789012345", "+123456789012345"),
    ] {
        let contact = Contact::new("", given, "").unwrap_or_else(|_| panic!("{given}"));
        assert_eq!(contact.phone.as_deref(), Some(kept), "{given}");
    }
    for wrong in [
        "+44 (0)20 7183 8750",
        "0044 (0)20 7183 8750",
        "0004420718387",
        "00 44 20",
        "0012345678901234567",
        "+00442071838750",
        "00+442071838750",
        "00",
        "020 7183 8750",
        "+044 20 7183 8750",
        "+44 20",
        "+1234567890123456",
        "+44 20 7183 8750 x12",
        "+\u{664}\u{664}2071838750",
        "+44\u{200b}2071838750",
        "++442071838750",
        "-",
        "+",
    ] {
        assert_eq!(Contact::new("", wrong, ""), Err(ContactError::Phone), "{wrong:?}");
    }
    for (given, kept) in [
        ("en", "en"),
        ("en-GB", "en-GB"),
        ("de_DE", "de-DE"),
        ("DE", "de"),
        ("de-at", "de-AT"),
        ("ZH_HANT_TW", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("sl-rozaj-biske-1994", "sl-rozaj-biske-1994"),
        ("en-US-u-CA-Gregory", "en-US-u-ca-gregory"),
        ("", "en"),
    ] {
        let contact = Contact::new("", "", given).unwrap_or_else(|_| panic!("{given}"));
        assert_eq!(contact.locale.as_str(), kept, "{given}");
    }
    for wrong in ["English", "e", "de_DE.UTF-8", "de__DE", "de-", "-de", "12", "d\u{e9}", "en-x"] {
        assert_eq!(Contact::new("", "", wrong), Err(ContactError::Locale), "{wrong:?}");
    }
}

#[test]
fn values_stored_under_older_rules_are_read_unchanged() {
    for json in [
        r#"{"email":"a..b@x..com","phone":"+12","locale":"en-12345"}"#,
        r#"{"email":"a@[127.0.0.1]","locale":"en-gb"}"#,
        r#"{"locale":"en"}"#,
    ] {
        let contact: Contact = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&contact).unwrap(), json);
    }
    assert_eq!(serde_json::from_str::<Contact>("{}").unwrap().locale, Locale::default());
}

#[test]
fn personal_data_is_not_shown_by_debug() {
    let contact = Contact::new("a@example.org", "+442071838750", "en-GB").unwrap();
    assert_eq!(format!("{contact:?}"), "Contact(..)");
    assert_eq!(format!("{:?}", "a@example.org".parse::<Email>().unwrap()), "Email(..)");
}

/// Any instant, above all near the limits.
fn an_instant() -> impl Strategy<Value = Timestamp> {
    let (min, max) = (Timestamp::MIN.micros(), Timestamp::MAX.micros());
    let week = 7 * 24 * 60 * 60 * 1_000_000;
    prop_oneof![
        2 => min..=max,
        1 => min..=min + week,
        2 => max - week..=max,
        1 => prop::sample::select(vec![min, max, 0]),
    ]
    .prop_map(Timestamp::from_micros)
}

#[test]
fn the_last_instant_of_the_calendar_is_accepted() {
    let last = Timestamp::MAX;
    assert_eq!(last.to_string(), "9999-12-31T23:59:59.999999Z");
    assert_eq!(Timestamp::MIN.to_string(), "0001-01-01T00:00:00.000000Z");
    for text in ["9999-12-31T23:59:59.999999Z", "9999-12-31T15:59:59.999999-08:00"] {
        assert_eq!(text.parse(), Ok(last), "{text}");
    }
    assert_eq!(
        "9999-12-30T22:00:00.5Z".parse::<Timestamp>().unwrap().to_string(),
        "9999-12-30T22:00:00.500000Z"
    );
    assert_eq!(
        "9999-12-31T23:59:59-01:00".parse::<Timestamp>(),
        Err(ParseTimestampError::OutOfRange)
    );
    assert_eq!("0000-12-31T23:59:59Z".parse::<Timestamp>(), Err(ParseTimestampError::OutOfRange));
    for text in ["9999-12-31", "9999-12-31T23:59:59", "tomorrow", ""] {
        assert_eq!(text.parse::<Timestamp>(), Err(ParseTimestampError::NoInstant), "{text}");
    }
    assert_eq!(last.plus(Duration::MAX), last);
}

proptest! {
    /// A stored contact would be stored as the same again, and is read as it was written.
    #[test]
    fn contacts_are_normalised_once(
        email in r#"[ -~\u{fc}\u{200b}]{0,6}[.a-z"]{0,9}@[a-zA-Z0-9.\-\u{fc}\u{200d}]{1,20}|\PC{0,9}@\PC{0,9}|"#,
        phone in r"\+[0-9 \-().]{6,20}|\PC{0,9}|",
        locale in r"[a-zA-Z]{2,3}([_-][a-zA-Z0-9]{1,9}){0,3}|\PC{0,5}|",
    ) {
        if let Ok(contact) = Contact::new(&email, &phone, &locale) {
            prop_assert!(contact.check().is_ok());
            let text = |part: &Option<String>| part.clone().unwrap_or_default();
            let (email, phone) = (text(&contact.email), text(&contact.phone));
            let again = Contact::new(&email, &phone, contact.locale.as_str()).unwrap();
            prop_assert!(again == contact, "{email} {phone} {:?}", contact.locale);
            let json = serde_json::to_string(&contact).unwrap();
            prop_assert!(serde_json::from_str::<Contact>(&json).unwrap() == contact);
        }
        if let Ok(sent) = email.parse::<Email>() {
            let sent = format!("{}@{}", sent.local(), sent.domain());
            prop_assert!(sent.is_ascii() && sent.len() <= 254);
            let again = sent.parse::<Email>().unwrap();
            prop_assert_eq!(format!("{}@{}", again.local(), again.domain()), sent);
        }
    }

    #[test]
    fn money_survives_the_wire(minor in any::<i64>(), code in prop::sample::select(vec!["GBP", "JPY", "BHD"])) {
        let money = Money::new(minor, code.parse().unwrap());
        let (units, nanos) = money.units_nanos();
        prop_assert_eq!(Money::from_units_nanos(units, nanos, money.currency), Ok(money));
    }

    #[test]
    fn money_survives_text(minor in -1_000_000_000_000_i64..1_000_000_000_000, code in prop::sample::select(vec!["GBP", "JPY", "BHD"])) {
        let money = Money::new(minor, code.parse().unwrap());
        let text = money.to_string();
        let number = text.split(' ').next().unwrap();
        prop_assert_eq!(Money::parse_decimal(number, money.currency), Ok(money));
    }

    #[test]
    fn instants_survive_text(instant in an_instant()) {
        if let Ok(known) = jiff::Timestamp::from_microsecond(instant.micros()) {
            prop_assert_eq!(instant.to_string(), format!("{known:.6}"));
        }
        prop_assert_eq!(instant.to_string().parse::<Timestamp>(), Ok(instant));
        let json = serde_json::to_string(&instant).unwrap();
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), instant);
    }

    #[test]
    fn waits_grow_and_stay_within_their_bounds(attempt in 0_u32..100, random in any::<u32>()) {
        let backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(10) };
        let wait = backoff.wait(attempt, random);
        let full = backoff.first.saturating_mul(2_u32.saturating_pow(attempt.min(30))).min(backoff.longest);
        prop_assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
    }

    #[test]
    fn cursors_count_what_lies_between(moves in prop::collection::vec((0_u16..4, 0_u64..100), 0..20)) {
        let head: Cursors = moves.iter().copied().collect();
        let none = Cursors::default();
        prop_assert!(head.covers(&none));
        prop_assert_eq!(none.behind(&head), head.iter().map(|(_, position)| position).sum::<u64>());
        prop_assert_eq!(head.behind(&head), 0);
    }
}

#[test]
fn a_cursor_past_the_log_is_ahead_of_it() {
    let at = |places: &[(u16, u64, u64)]| {
        let mut cursors = Cursors::default();
        for (shard, position, mark) in places {
            cursors.advance_to(*shard, *position, (*mark > 0).then(|| Mark::from_bits(*mark)));
        }
        cursors
    };
    let head = at(&[(0, 5, 50), (1, 7, 70)]);
    for level_or_behind in [&[][..], &[(0, 5, 50), (1, 7, 70)], &[(0, 4, 1), (1, 7, 0)]] {
        assert_eq!(at(level_or_behind).beyond(&head), None);
    }
    // Past its end, in another shard than it has, or at its end with another mark.
    for (beyond, shard) in [((0, 6, 60), 0), ((1, 8, 0), 1), ((2, 1, 10), 2), ((1, 7, 71), 1)] {
        assert_eq!(at(&[beyond]).beyond(&head), Some(shard));
    }
}

#[test]
fn a_fact_id_depends_on_everything_that_distinguishes_facts() {
    let [subject, other] = [1, 2].map(|bits| Subject::from_uuid(Uuid::from_u128(bits)));
    let at = |micros| Timestamp::from_micros(micros);
    let of =
        |source, event, place, time, index| FactId::of_event(source, event, place, time, index);
    let orders = Origin::Orders;
    let one = of(orders, (subject, 1), (0, 1), at(1), 0);
    assert_eq!(one, of(orders, (subject, 1), (0, 1), at(1), 0));
    let others = [
        of(Origin::Inventory, (subject, 1), (0, 1), at(1), 0),
        of(orders, (other, 1), (0, 1), at(1), 0),
        of(orders, (subject, 2), (0, 1), at(1), 0),
        of(orders, (subject, 1), (1, 1), at(1), 0),
        of(orders, (subject, 1), (0, 2), at(1), 0),
        of(orders, (subject, 1), (0, 1), at(2), 0),
        of(orders, (subject, 1), (0, 1), at(1), 1),
        FactId::caused_by(orders, one, "order.created.v1", 0),
        FactId::caused_by(orders, one, "order.created.v1", 1),
        FactId::once(orders, subject.uuid(), "order.created.v1"),
        FactId::at(orders, 0, 1, 0),
    ];
    let all: BTreeSet<FactId> = others.into_iter().chain([one]).collect();
    assert_eq!(all.len(), 12);
    assert_eq!(one.to_string().parse(), Ok(one));
    let caused = |nth| FactId::caused_by(orders, one, "order.created.v1", nth);
    let is_known = |id: FactId| id.is_caused_by(orders, one, "order.created.v1");
    assert!(is_known(caused(0)) && is_known(caused(FactId::CAUSED_MAX - 1)));
    assert!(!is_known(caused(FactId::CAUSED_MAX)) && !is_known(one));
    assert!("1".parse::<FactId>().is_err());
    assert_eq!(one.as_request_id().uuid(), one.uuid());
}

#[test]
fn a_mark_survives_the_wire_in_one_spelling() {
    let mark = Mark::from_bits(0xab);
    assert_eq!(serde_json::to_string(&mark).unwrap(), "\"00000000000000ab\"");
    assert_eq!(serde_json::from_str::<Mark>("\"00000000000000ab\"").unwrap(), mark);
    assert_eq!(format!("{mark:?}"), "00000000000000ab");
    for text in ["\"ab\"", "\"00000000000000xy\"", "171"] {
        assert!(serde_json::from_str::<Mark>(text).is_err(), "{text}");
    }
}

#[test]
fn every_reason_has_a_code_a_status_a_meaning_and_a_remedy() {
    let codes: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert_eq!(Reason::of(&reason.to_string()), Some(*reason));
        assert_eq!(reason.statuses().first(), Some(&reason.status()), "{reason}");
        let spelt = |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        assert!(reason.statuses().iter().all(|status| spelt(status.name())), "{reason}");
        for text in [reason.meaning(), reason.remedy()] {
            assert!(text.ends_with(['.', '?']), "{reason}: {text}");
        }
    }
    assert_eq!(Reason::of("NO_SUCH_REASON"), None);
}

#[test]
fn values_subtract_and_print() {
    let pounds = |minor| Money::new(minor, gbp());
    assert_eq!(pounds(3).minus(pounds(5)), Ok(pounds(-2)));
    let euro = Money::new(1, "EUR".parse().unwrap());
    assert_eq!(pounds(3).minus(euro), Err(MoneyError::CurrencyMismatch));
    assert_eq!(pounds(i64::MIN).minus(pounds(1)), Err(MoneyError::Overflow));
    assert_eq!(Quantity::new(7).unwrap().to_string(), "7");
    let later = Timestamp::from_micros(5);
    assert_eq!(later.since(Timestamp::from_micros(2)), Duration::from_micros(3));
    assert_eq!(Timestamp::from_micros(2).since(later), Duration::ZERO);
    let reasons = [
        (CancelReason::CustomerRequest, "CUSTOMER_REQUEST"),
        (CancelReason::InsufficientStock, "INSUFFICIENT_STOCK"),
        (CancelReason::SlaTimeout, "SLA_TIMEOUT"),
        (CancelReason::PaymentFailed, "PAYMENT_FAILED"),
        (CancelReason::Ops, "OPS"),
    ];
    assert!(reasons.iter().all(|(reason, code)| reason.code() == *code));
    let contact = Contact::new("", "", "de-CH").unwrap();
    assert_eq!(contact.locale.language(), "de");
}
