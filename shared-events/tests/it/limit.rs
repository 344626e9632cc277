//! Calls counted in a real Redis: the same answers as by our own arithmetic, and no key for ever.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared_events::stream::redis::{Ask, Gcra, RateLimit};

use crate::redis_streams::Server;

/// A time as it is today.
const BEGUN: u64 = 1_800_000_000_000_000;

#[test]
fn redis_and_a_process_of_its_own_answer_alike() {
    let server = Server::start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counts = RateLimit::new(server.redis());
    let mut runner =
        TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let number = std::cell::Cell::new(0);
    // Seconds between calls: keys do not expire while a case runs.
    let steps = prop::collection::vec(-3_000_000_i64..9_000_000, 1..30);
    runner
        .run(&(1_u32..30, 1_u32..8, steps), |(per_minute, at_once, steps)| {
            let pace = Gcra::per_minute(per_minute, at_once);
            number.set(number.get() + 1);
            let key = format!("case:{}", number.get());
            let (mut now, mut until) = (BEGUN, None);
            for step in steps {
                // Many at the same time; and a clock that is set back.
                now = if step % 3 == 0 { now } else { now.saturating_add_signed(step) };
                let expected = pace.take(until, now);
                let taken =
                    runtime.block_on(counts.take(&key, &Ask { now, ..Ask::of(pace) })).unwrap();
                prop_assert_eq!(taken, expected);
                if expected.allowed {
                    until = Some(now + expected.ahead);
                }
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_key_has_an_expiry_and_a_forgotten_script_is_sent_again() {
    let server = Server::start(&[]);
    let counts = RateLimit::new(server.redis());
    // Slow: what is asked in between starts programs.
    let pace = Gcra::per_minute(2, 2);
    let taken = counts.take("anna", &Ask::of(pace)).await.unwrap();
    assert!(taken.allowed && taken.ahead == 30_000_000, "{taken:?}");
    let left = || server.cli(&["PTTL", &counts.key("anna")]).trim().parse::<i64>().unwrap();
    assert!((1..=30_000).contains(&left()), "{}", left());
    assert_eq!(server.cli(&["SCRIPT", "FLUSH"]).trim(), "OK");
    assert!(counts.take("anna", &Ask::of(pace)).await.unwrap().allowed);
    // It is the script whose hash is written beside it.
    let known = "412acd34a3aad3aef02c77957989211341eac8ef";
    assert_eq!(server.cli(&["SCRIPT", "EXISTS", known]).trim(), "1");
    let refused = counts.take("anna", &Ask::of(pace)).await.unwrap();
    assert!(
        !refused.allowed && pace.retry_after(refused.ahead).as_millis() <= 30_000,
        "{refused:?}"
    );
    assert!((1..=60_000).contains(&left()), "{}", left());
    // What a process counted while Redis was away is not forgotten.
    let known = Ask { known: 45_000_000, ..Ask::of(pace) };
    assert!(!counts.take("ben", &known).await.unwrap().allowed);
    counts.ping().await.unwrap();
    assert!(server.cli(&["INFO", "errorstats"]).contains("errorstat_NOSCRIPT:count=2"));
}
