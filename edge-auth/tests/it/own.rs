//! An issuer of one's own: key files, and tokens signed with them.

use std::time::Duration;

use edge_auth::{
    Checked, Denied, Grant, Identity, Issuers, KeySet, MintError, PublicKey, Role, SigningKey,
    own_issuer,
};
use shared_events::contract::Timestamp;

use crate::support::now;

fn check(public: &str, token: &str, at: Timestamp) -> Result<Identity, Denied> {
    let mut issuers = Issuers::default();
    issuers.add_own(own_issuer(), KeySet::of(PublicKey::from_pem(public).unwrap())).unwrap();
    match issuers.check(token, [0; 32], at) {
        Checked::Holder(identity) => Ok((*identity).clone()),
        Checked::Denied(denied) => Err(denied),
        Checked::Wait(_) => panic!("nobody to be asked"),
    }
}

#[test]
fn a_token_of_our_own_key_says_role_subject_and_scopes() {
    let private = SigningKey::generate().unwrap();
    let key = SigningKey::from_pem(&private).unwrap();
    let scopes = ["returns.judge".to_owned(), "orders.read".to_owned()];
    for (role, scopes) in [
        (Role::Ops, &scopes[..]),
        (Role::Ops, &[]),
        (Role::Service, &[]),
        (Role::ReturnsDesk, &[]),
        (Role::Customer, &[]),
    ] {
        let valid_for = Duration::from_secs(60);
        let grant = Grant { role, subject: "anna", scopes, valid_for };
        let token = key.issue(&grant, "id", now()).unwrap();
        // Who has only the public key can verify as well.
        for file in [&private, &key.public_pem()] {
            let found = check(file, &token, now()).unwrap();
            assert_eq!((found.role, found.subject.as_str()), (role, "anna"));
            assert_eq!(found.scopes, (!scopes.is_empty()).then(|| scopes.to_vec()));
        }
        let later = now().plus(Duration::from_secs(121));
        assert_eq!(check(&private, &token, later), Err(Denied::Expired));
    }
}

#[test]
fn a_token_of_another_key_is_not_ours() {
    let [ours, theirs] = [(); 2].map(|()| SigningKey::generate().unwrap());
    let key = SigningKey::from_pem(&theirs).unwrap();
    let valid_for = Duration::from_secs(60);
    let grant = Grant { role: Role::Ops, subject: "eve", scopes: &[], valid_for };
    let token = key.issue(&grant, "id", now()).unwrap();
    assert_eq!(check(&ours, &token, now()), Err(Denied::Key));
    let forever = Grant { valid_for: Duration::MAX, ..grant };
    assert_eq!(key.issue(&forever, "id", now()), Err(MintError::TooLong));
}

#[test]
fn what_is_no_key_is_refused() {
    let private = SigningKey::generate().unwrap();
    let key = SigningKey::from_pem(&private).unwrap();
    let public = key.public_pem();
    assert_eq!(SigningKey::from_pem(&public).unwrap_err(), MintError::PublicOnly);
    let cut = private.replace('A', "");
    let rsa = include_str!("keys/only-for-tests.pem");
    for text in ["", "secret", &cut, rsa] {
        assert_eq!(SigningKey::from_pem(text).unwrap_err(), MintError::NotAKey, "{text}");
        assert_eq!(PublicKey::from_pem(text).unwrap_err(), MintError::NotAKey, "{text}");
    }
    assert!(!key.name().is_empty());
}
