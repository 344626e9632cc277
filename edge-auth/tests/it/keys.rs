//! Keys come and go, and issuers are away: what is fetched, and what counts meanwhile.

use std::time::Duration;

use edge_auth::{Denied, WAITING_MAX};
use futures::future::join_all;
use tokio::time::{Instant, advance};

use crate::support::{Desk, Key, claims, with};

const COOLDOWN: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn the_first_token_of_a_new_key_is_accepted_without_a_restart() {
    let (old, new) = (Key::es(), Key::ed());
    let desk = Desk::open(vec![old.shown("old")]).await;
    desk.run();
    advance(COOLDOWN).await;
    desk.show(Some(vec![old.shown("old"), new.shown("new")]));
    assert!(desk.call(&new.token("new", &claims())).await.is_ok());
    assert!(desk.call(&old.token("old", &claims())).await.is_ok());
    assert_eq!(desk.fetches(), 2);
    desk.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_withdrawn_verifies_nothing_more() {
    let (old, new) = (Key::es(), Key::es());
    let desk = Desk::open(vec![old.shown("old")]).await;
    desk.run();
    let token = old.token("old", &claims());
    assert!(desk.call(&token).await.is_ok());
    desk.show(Some(vec![new.shown("new")]));
    assert!(desk.call(&token).await.is_ok(), "known until the keys are fetched again");
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(desk.call(&token).await, Err(Denied::Key));
    assert_eq!(desk.fetches(), 2);
    desk.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_random_keys_cause_one_fetch_per_cooldown() {
    let (key, other) = (Key::es(), Key::es());
    let desk = Desk::open(vec![key.shown("a")]).await;
    desk.run();
    let valid = key.token("a", &claims());
    let begun = Instant::now();
    for round in 0..100 {
        let names = (0..100).map(|n| other.token(&format!("{round}-{n}"), &claims()));
        let tokens: Vec<String> = names.collect();
        let answers = join_all(tokens.iter().map(|token| desk.call(token))).await;
        assert!(answers.iter().all(|answer| answer == &Err(Denied::Key)));
        assert!(desk.call(&valid).await.is_ok());
        advance(Duration::from_secs(1)).await;
    }
    let most = 1 + usize::try_from(begun.elapsed().as_secs() / COOLDOWN.as_secs()).unwrap();
    assert!(desk.fetches() <= most, "{} fetches, {most} at most", desk.fetches());
    assert!(desk.fetches() >= 3, "it asked at all: {}", desk.fetches());
    desk.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_keys_are_bounded_and_share_a_fetch() {
    let (key, new) = (Key::es(), Key::es());
    let desk = Desk::open(vec![key.shown("a")]).await;
    desk.run();
    advance(COOLDOWN).await;
    desk.show(Some(vec![key.shown("a"), new.shown("b")]));
    let token = new.token("b", &claims());
    let answers = join_all((0..2 * WAITING_MAX).map(|_| desk.call(&token))).await;
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter(|answer| **answer == Err(Denied::Unavailable)).count();
    assert_eq!((accepted, refused), (WAITING_MAX, WAITING_MAX));
    assert_eq!(desk.fetches(), 2);
    desk.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn keys_outlive_their_issuer_for_a_day_and_no_longer() {
    let key = Key::es();
    let desk = Desk::open(vec![key.shown("a")]).await;
    desk.run();
    desk.show(None);
    tokio::time::sleep(Duration::from_secs(23 * 60 * 60)).await;
    let token = key.token("a", &claims());
    assert!(desk.call(&token).await.is_ok());
    tokio::time::sleep(Duration::from_secs(60 * 60 + 1)).await;
    assert_eq!(desk.call(&token).await, Err(Denied::Unavailable));
    desk.show(Some(vec![key.shown("a")]));
    tokio::time::sleep(COOLDOWN).await;
    assert!(desk.call(&token).await.is_ok());
    desk.stop.cancel();
}

/// With the times that an issuer has by default, and at the worst time: keys are due to be fetched.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_for_a_minute_is_not_missed() {
    let (old, new, other) = (Key::es(), Key::es(), Key::es());
    let desk = Desk::open(vec![old.shown("old")]).await;
    desk.run();
    let seen = old.token("old", &claims());
    tokio::time::sleep(Duration::from_secs(599)).await;
    assert!(desk.call(&seen).await.is_ok());
    assert_eq!(desk.fetches(), 1);
    desk.show(None);
    for second in 0..60 {
        let first = with("sub", serde_json::json!(format!("berta-{second}")));
        for token in [&seen, &old.token("old", &first)] {
            assert!(desk.call(token).await.is_ok(), "after {second} s");
        }
        let forged = other.token(&format!("forged-{second}"), &claims());
        assert_eq!(desk.call(&forged).await, Err(Denied::Key), "after {second} s");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!((3..=4).contains(&desk.fetches()), "{} fetches", desk.fetches());
    // It is back, with a key that it has made meanwhile.
    desk.show(Some(vec![old.shown("old"), new.shown("new")]));
    let (back, rotated) = (Instant::now(), new.token("new", &claims()));
    while desk.call(&rotated).await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(back.elapsed() <= COOLDOWN + Duration::from_secs(1), "{:?}", back.elapsed());
    assert!(desk.call(&seen).await.is_ok());
    desk.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_a_fetch_may_take() {
    let (key, new) = (Key::es(), Key::es());
    let desk = Desk::open(vec![key.shown("a")]).await;
    // Nobody fetches: the process is being stopped.
    advance(COOLDOWN).await;
    let begun = Instant::now();
    assert_eq!(desk.call(&new.token("b", &claims())).await, Err(Denied::Unavailable));
    assert!(begun.elapsed() <= Duration::from_secs(6));
}

#[tokio::test]
async fn keys_that_are_no_use_are_left_out() {
    let key = Key::es();
    let mut unfit = key.shown("for-encryption");
    unfit["use"] = serde_json::json!("enc");
    let mut short = Key::rsa().shown("short");
    short["n"] = serde_json::json!("AQAB");
    let odd = serde_json::json!({"kty": "oct", "k": "c2VjcmV0", "kid": "secret"});
    let broken = serde_json::json!(7);
    let desk = Desk::open(vec![unfit, short, odd, broken, key.shown("a")]).await;
    assert!(desk.check(&key.token("a", &claims())).is_ok());
    for name in ["for-encryption", "short", "secret"] {
        assert_eq!(desk.check(&key.token(name, &claims())), Err(Denied::Key), "{name}");
    }
}
