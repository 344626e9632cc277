//! What is refused before any claim counts: algorithms, headers, sizes, signatures.

use edge_auth::{Denied, Role, TOKEN_BYTES_MAX};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Desk, Key, SECOND, base64, claims, with};

#[tokio::test]
async fn tokens_of_the_three_algorithms_are_accepted() {
    for key in [Key::rsa(), Key::es(), Key::ed()] {
        let desk = Desk::open(vec![key.shown("a")]).await;
        let identity = desk.check(&key.token("a", &claims())).unwrap();
        assert_eq!((identity.role, identity.subject.as_str()), (Role::Ops, "anna"));
        assert_eq!(identity.expires, SECOND + 300);
        // Without a name the only key of the algorithm counts.
        let unnamed = key.with_header(&json!({"alg": key.algorithm()}), &claims());
        assert!(desk.check(&unnamed).is_ok());
    }
}

#[tokio::test]
async fn a_token_cannot_choose_its_algorithm_or_bring_its_key() {
    let (key, own) = (Key::rsa(), Key::es());
    let desk = Desk::open(vec![key.shown("a")]).await;
    let header = |more: Value| {
        let mut header = json!({"alg": "RS256", "kid": "a"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        header
    };
    for (more, denied) in [
        (json!({"alg": "none"}), Denied::Algorithm),
        (json!({"alg": "NONE"}), Denied::Algorithm),
        (json!({"alg": "HS256"}), Denied::Algorithm),
        (json!({"alg": "RS512"}), Denied::Algorithm),
        (json!({"alg": "rs256"}), Denied::Algorithm),
        (json!({"jwk": own.shown("a")}), Denied::Header),
        (json!({"jku": "https://evil.example/keys"}), Denied::Header),
        (json!({"x5u": "https://evil.example/chain"}), Denied::Header),
        (json!({"x5c": ["MIIB"]}), Denied::Header),
        (json!({"crit": ["exp"]}), Denied::Header),
        (json!({"b64": false}), Denied::Header),
        (json!({"zip": "DEF"}), Denied::Header),
        (json!({"typ": "logout+jwt"}), Denied::Malformed),
    ] {
        let token = key.with_header(&header(more.clone()), &claims());
        assert_eq!(desk.check(&token), Err(denied), "{more}");
    }
    // The empty signature of `none`, and a MAC made with the public key as the secret.
    let token = key.token("a", &claims());
    let (signed, _) = token.rsplit_once('.').unwrap();
    assert_eq!(desk.check(&format!("{signed}.")), Err(Denied::Signature));
    let header = base64(json!({"alg": "HS256", "kid": "a"}).to_string());
    let signed = format!("{header}.{}", base64(claims().to_string()));
    let secret =
        ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.shown("a").to_string().as_bytes());
    let mac = base64(ring::hmac::sign(&secret, signed.as_bytes()));
    assert_eq!(desk.check(&format!("{signed}.{mac}")), Err(Denied::Algorithm));
    assert_eq!(desk.fetches(), 1, "nothing was fetched for any of them");
}

#[tokio::test]
async fn a_key_verifies_only_its_own_algorithm_and_signatures() {
    let (rsa, es) = (Key::rsa(), Key::es());
    let desk = Desk::open(vec![rsa.shown("a"), es.shown("b")]).await;
    // The right name with the other algorithm is no key that is known.
    let crossed = es.with_header(&json!({"alg": "ES256", "kid": "b"}), &claims());
    assert!(desk.check(&crossed).is_ok());
    let token = es.token("b", &claims());
    let other = es.token("b", &with("sub", json!("berta")));
    let ((signed, _), (_, signature)) =
        (token.rsplit_once('.').unwrap(), other.rsplit_once('.').unwrap());
    assert_eq!(desk.check(&format!("{signed}.{signature}")), Err(Denied::Signature));
    assert_eq!(desk.check(&Key::es().token("b", &claims())), Err(Denied::Signature));
    assert_eq!(desk.check(&rsa.token("b", &claims())), Err(Denied::Key));
}

#[tokio::test]
async fn long_and_broken_tokens_are_refused_without_a_look_at_keys() {
    let key = Key::es();
    let desk = Desk::open(vec![key.shown("a")]).await;
    let long = key.token("a", &with("more", json!("x".repeat(TOKEN_BYTES_MAX))));
    assert_eq!(desk.check(&long), Err(Denied::TooLong));
    let whole = key.token("a", &claims());
    let kid = key.with_header(&json!({"alg": "ES256", "kid": "k".repeat(1_200)}), &claims());
    let array = key.with_header(&json!(["ES256"]), &claims());
    let twice = format!("{}.{}.AA", base64(r#"{"alg":"ES256","alg":"none"}"#), base64("{}"));
    let text = key.token("a", &json!("claims"));
    for broken in ["", ".", "..", "a.b", "a.b.c", "é.é.é", &whole[1..], &kid, &array, &twice, &text]
    {
        assert_eq!(desk.check(broken), Err(Denied::Malformed), "{broken}");
    }
    assert_eq!(desk.check(&format!("{whole}.x")), Err(Denied::Malformed));
    assert_eq!(desk.check(&format!("{whole}=")), Err(Denied::Malformed));
    assert_eq!(desk.fetches(), 1);
}

#[tokio::test]
async fn what_a_token_claims_is_the_same_before_its_key_is_known() {
    let (key, new) = (Key::es(), Key::es());
    let desk = Desk::open(vec![key.shown("a")]).await;
    let verified = desk.check(&key.token("a", &claims())).unwrap();
    let claimed = |token: &str| desk.issuers.claimed(token, crate::support::now());
    assert_eq!(claimed(&new.token("new", &claims())), Some(verified));
    assert_eq!(claimed(&new.token("new", &with("aud", json!("account")))), None);
    assert_eq!(claimed("no token"), None);
}

#[tokio::test]
async fn a_token_with_two_hundred_groups_is_accepted() {
    let key = Key::es();
    let desk = Desk::open(vec![key.shown("a")]).await;
    // Entra names groups by their ids.
    let mut groups: Vec<String> =
        (0..200).map(|n| format!("018f6f3e-5b7c-7d2a-9f10-{n:012}")).collect();
    groups.push("ordinal-svc".to_owned());
    let token = key.token("a", &with("realm_access", json!({"roles": groups})));
    assert_eq!(desk.check(&token).map(|identity| identity.role), Ok(Role::Service));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_refused_and_a_changed_token_too(text in ".{0,300}", at in 0_usize..1_000) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let key = Key::es();
        let desk = runtime.block_on(Desk::open(vec![key.shown("a")]));
        prop_assert!(desk.check(&text).is_err());
        let token = key.token("a", &claims());
        let at = at % token.len();
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        // Any change is another header (perhaps an unknown key), other claims or another signature.
        let is_accepted = matches!(
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| desk.check(&changed))),
            Ok(Ok(_))
        );
        prop_assert!(!is_accepted, "{changed}");
    }
}
