use ledger::domain::{
    Account, AccountKind, AccountName, ChartAccount, Limit, NewAccount, Opened, Sums, wallet_of,
    wallets_of,
};
use shared_events::contract::CustomerId;
use uuid::Uuid;

use super::support::{Book, name};

#[test]
fn names_of_accounts_are_plain() {
    for good in ["a", "wallet:c-17", "PSP_RECEIVABLE:acme.eu", "7", &"x".repeat(100)] {
        assert_eq!(good.parse::<AccountName>().unwrap().as_str(), good);
    }
    for bad in ["", "-a", ":a", "a b", "a/b", "ä", "a\0", &"x".repeat(101)] {
        assert!(bad.parse::<AccountName>().is_err(), "{bad:?}");
    }
}

#[test]
fn codes_of_kinds_and_limits_are_read_as_they_are_written() {
    for code in ["ASSET", "LIABILITY", "EQUITY", "INCOME", "EXPENSE", "MEMO"] {
        assert_eq!(code.parse::<AccountKind>().unwrap().code(), code);
    }
    for code in ["NONE", "DEBITS_WITHIN_CREDITS", "CREDITS_WITHIN_DEBITS"] {
        assert_eq!(code.parse::<Limit>().unwrap().code(), code);
    }
    assert!("asset".parse::<AccountKind>().is_err());
    assert!("".parse::<Limit>().is_err());
}

#[test]
fn a_balance_is_on_the_side_on_which_its_kind_grows() {
    let sums = Sums { debits_posted: 30, credits_posted: 100, debits_held: 5, credits_held: 1 };
    assert_eq!(sums.balance(AccountKind::Liability), 70);
    assert_eq!(sums.balance(AccountKind::Asset), -70);
    assert_eq!(sums.available(Limit::None), None);
    assert_eq!(sums.available(Limit::DebitsWithinCredits), Some(65));
    assert!(sums.within(Limit::DebitsWithinCredits));
    assert!(!sums.within(Limit::CreditsWithinDebits));
    let other = Sums { debits_posted: 100, credits_posted: 30, debits_held: 1, credits_held: 5 };
    assert_eq!(other.available(Limit::CreditsWithinDebits), Some(65));
    assert!(other.within(Limit::CreditsWithinDebits));
}

#[test]
fn an_open_account_fits_also_where_a_limit_was_given_to_it() {
    let terms = |kind: AccountKind, currency: &str, limit: Limit| {
        let currency = currency.parse().unwrap();
        NewAccount { name: name("cash"), kind, currency, limit }
    };
    let meant = terms(AccountKind::Asset, "GBP", Limit::None);
    for limit in [Limit::None, Limit::CreditsWithinDebits, Limit::DebitsWithinCredits] {
        assert!(meant.fits(&terms(AccountKind::Asset, "GBP", limit)));
        let limited = terms(AccountKind::Asset, "GBP", Limit::CreditsWithinDebits);
        let fits = limited.fits(&terms(AccountKind::Asset, "GBP", limit));
        assert_eq!(fits, limit == Limit::CreditsWithinDebits);
    }
    assert!(!meant.fits(&terms(AccountKind::Memo, "GBP", Limit::None)));
    assert!(!meant.fits(&terms(AccountKind::Asset, "EUR", Limit::None)));
}

#[test]
fn terms_of_an_account_never_change() {
    let mut book = Book::new();
    let first = book.open("cash", AccountKind::Asset, "GBP", Limit::CreditsWithinDebits);
    let Opened::Open { account: Account { number: 1, .. }, exists: false } = first else {
        panic!("{first:?}")
    };
    let again = book.open("cash", AccountKind::Asset, "GBP", Limit::CreditsWithinDebits);
    assert!(matches!(again, Opened::Open { exists: true, .. }));
    for (kind, currency, limit) in [
        (AccountKind::Memo, "GBP", Limit::CreditsWithinDebits),
        (AccountKind::Asset, "EUR", Limit::CreditsWithinDebits),
        (AccountKind::Asset, "GBP", Limit::None),
    ] {
        let other = book.open("cash", kind, currency, limit);
        assert!(matches!(other, Opened::OtherTerms { .. }), "{other:?}");
    }
    assert_eq!(book.head.accounts, 1);
    assert_eq!(book.accounts[&name("cash")].terms.kind, AccountKind::Asset);
}

#[test]
fn a_wallet_has_one_name_and_a_limit() {
    let customer = CustomerId::from_uuid(Uuid::from_u128(0xa7));
    let terms = ChartAccount::Wallet(customer).terms("GBP".parse().unwrap()).unwrap();
    assert_eq!(terms.name.as_str(), "wallet:00000000-0000-0000-0000-0000000000a7:GBP");
    assert!(terms.name.as_str().starts_with(&wallets_of(customer)));
    assert_eq!((terms.kind, terms.limit), (AccountKind::Liability, Limit::DebitsWithinCredits));
    assert_eq!(wallet_of(&terms.name), Some((customer, terms.currency)));
    for other in [
        "wallet:anna",
        "wallet:anna:GBP",
        "wallet:00000000-0000-0000-0000-0000000000A7:GBP",
        "wallet:000000000000000000000000000000a7:GBP",
        "wallet:00000000-0000-0000-0000-0000000000a7",
        "wallet:00000000-0000-0000-0000-0000000000a7:gbp",
        "wallet:00000000-0000-0000-0000-0000000000a7:GBP:2",
        "purse:00000000-0000-0000-0000-0000000000a7:GBP",
    ] {
        assert_eq!(wallet_of(&name(other)), None, "{other}");
    }
}
