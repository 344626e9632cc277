//! Several nodes on one Postgres journal: who writes to which shard, and that nobody else does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use event_journal::{
    Journal, JournalError, LostTail, NewEvent, Node, Options, ShardMap, ShardState, StreamId,
    open_spread,
};
use shared_events::contract::{Mark, Timestamp};
use shared_events::stream::{
    ActionsAsked, AskedBy, Cursors, OperatorAction, Place as Seen, Scope, Verb, begin,
};
use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::spread;

/// The deadline for what must happen soon; reaching it fails the test.
const SOON: Duration = Duration::from_secs(60);
const SHARDS: u16 = 8;
/// Trusted for so long that no pause of a busy machine ends it.
const LEASE: Duration = Duration::from_secs(6);

/// An operator's action.
fn action(verb: Verb) -> OperatorAction {
    let by = AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
    OperatorAction::new(&by, verb, "0", "", Timestamp::default())
}

/// A journal of its own for one test.
struct Place {
    map: ShardMap,
    schema: String,
}

impl Place {
    fn new() -> Self {
        Self { map: ShardMap::one(&spread::server()), schema: spread::schema() }
    }

    /// Each half of the shards in a database of its own.
    async fn spread() -> Self {
        Self { map: spread::map(["0-3", "4-7"]).await, schema: spread::schema() }
    }

    async fn node(&self, name: &str) -> Journal {
        self.node_with(name, |_| ()).await
    }

    async fn node_with(&self, name: &str, change: impl FnOnce(&mut Options)) -> Journal {
        let now = || Timestamp::from_micros(1_800_000_000_123_456);
        let node = Node { name: name.to_owned(), address: format!("{name}.test:50051") };
        let mut options = Options {
            shards: SHARDS,
            node: Some(node),
            lease: LEASE,
            renew: Duration::from_millis(200),
            self_stop: Duration::from_secs(4),
            ..Options::new(Arc::new(now))
        };
        change(&mut options);
        open_spread(&self.map, &self.schema, options).await.unwrap()
    }

    /// A pool on the one database.
    async fn pool(&self) -> PgPool {
        spread::pool(&spread::server(), &self.schema).await
    }
}

fn event(n: u64) -> NewEvent {
    NewEvent::from_json("OrderConfirmed", "1", format!(r#"{{"n":{n}}}"#), "{}").unwrap()
}

/// A fresh stream in this shard.
fn stream_in(journal: &Journal, shard: u16) -> StreamId {
    std::iter::repeat_with(spread::fresh).find(|id| journal.shard_of(*id) == shard).unwrap()
}

fn shards(journal: &Journal) -> BTreeSet<u16> {
    journal.ownership().borrow().shards()
}

async fn comes_to_have(journal: &Journal, wanted: impl Fn(&BTreeSet<u16>) -> bool) {
    let mut ownership = journal.ownership();
    timeout(SOON, ownership.wait_for(|now| wanted(&now.shards())))
        .await
        .unwrap_or_else(|_| panic!("still {:?}", shards(journal)))
        .unwrap();
}

async fn count(journal: &Journal, wanted: usize) {
    comes_to_have(journal, |shards| shards.len() == wanted).await;
}

async fn states(journal: &Journal) -> Vec<ShardState> {
    journal.shard_states().await.unwrap()
}

#[tokio::test]
async fn nodes_share_the_shards_and_only_the_owner_appends() {
    for place in [Place::new(), Place::spread().await] {
        sharing(place).await;
    }
}

async fn sharing(place: Place) {
    let a = place.node("a").await;
    assert_eq!(shards(&a).len(), usize::from(SHARDS), "alone, it has all as soon as it is open");
    let b = place.node("b").await;
    count(&b, 4).await;
    count(&a, 4).await;
    let all: BTreeSet<u16> = shards(&a).union(&shards(&b)).copied().collect();
    assert_eq!(all, (0..SHARDS).collect());
    for shard in 0..SHARDS {
        let (owner, other) = if shards(&a).contains(&shard) { (&a, &b) } else { (&b, &a) };
        let id = stream_in(&a, shard);
        let refused = other.append(id, 0, vec![event(1)]).await;
        assert_eq!(refused, Err(JournalError::NotOwner { shard }));
        assert_eq!(owner.append(id, 0, vec![event(1)]).await.unwrap().version, 1);
        // Every node reads everything.
        assert_eq!(other.load(id).await.unwrap().len(), 1);
    }
    // The owner of a shard follows it.
    assert_eq!(*a.scope().borrow(), Scope::Only(shards(&a)));
    assert_eq!(*b.scope().borrow(), Scope::Only(shards(&b)));
    let there = *shards(&b).first().unwrap();
    assert_eq!(a.ownership().borrow().elsewhere(there).as_deref(), Some("b.test:50051"));
    assert_eq!(a.verify().await.unwrap(), u64::from(SHARDS));
    let names: Vec<String> =
        states(&a).await.into_iter().map(|state| state.node.unwrap().name).collect();
    assert_eq!(names.iter().filter(|name| *name == "a").count(), 4);
}

#[tokio::test]
async fn a_leaving_node_hands_everything_over_immediately() {
    for place in [Place::new(), Place::spread().await] {
        leaving(place).await;
    }
}

async fn leaving(place: Place) {
    let (a, b) = (place.node("a").await, place.node("b").await);
    count(&b, 4).await;
    count(&a, 4).await;
    let began = Instant::now();
    // It still answers, and reports that it has no shards any more.
    b.hand_over().await;
    assert_eq!(shards(&b), BTreeSet::new());
    let refused = b.append(stream_in(&a, 0), 0, vec![event(1)]).await;
    assert_eq!(refused, Err(JournalError::NotOwner { shard: 0 }));
    count(&a, 8).await;
    b.close().await;
    // No node remains to take over from the last one: it works until it is closed.
    a.hand_over().await;
    assert_eq!(shards(&a).len(), 8);
    // Without a handover it would take a lease, less one renewal.
    assert!(began.elapsed() < LEASE - Duration::from_secs(1), "{:?}", began.elapsed());
    a.append(stream_in(&a, 7), 0, vec![event(1)]).await.unwrap();
}

#[tokio::test]
async fn an_owner_superseded_unnoticed_keeps_only_its_other_shards() {
    let place = Place::new();
    // It checks so seldom that it cannot know.
    let slow = |options: &mut Options| {
        options.lease = Duration::from_secs(600);
        options.renew = Duration::from_secs(200);
        options.self_stop = Duration::from_secs(500);
    };
    let a = place.node_with("a", slow).await;
    let pool = place.pool().await;
    let (lost, kept) = (stream_in(&a, 3), stream_in(&a, 4));
    a.append(lost, 0, vec![event(1)]).await.unwrap();
    shared_events::metric::begin();
    let counted = || {
        let page = shared_events::metric::Page::default().text();
        let of = "ordinal_appends_refused_total{reason=\"JOURNAL_SUPERSEDED\"} ";
        let count = page.lines().find_map(|line| line.strip_prefix(of));
        count.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let before = counted();
    sqlx::query(
        "UPDATE shards SET epoch = epoch + 1, owner = 'somebody else',
                lease_until = clock_timestamp() + interval '1 hour' WHERE shard = 3",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(a.tenure(3), Some(1), "it still trusts its lease");
    // In one batch: the shard that is still its own succeeds, the other is refused.
    let (refused, appended) =
        tokio::join!(a.append(lost, 1, vec![event(2)]), a.append(kept, 0, vec![event(1)]));
    assert_eq!(refused, Err(JournalError::NotOwner { shard: 3 }));
    assert_eq!(appended.unwrap().version, 1);
    assert_eq!(a.tenure(3), None);
    assert_eq!(counted(), before + 1, "whoever watches it sees that it was fenced");
    assert_eq!(a.load(lost).await.unwrap().len(), 1);
    assert_eq!(a.verify().await.unwrap(), 2);
}

#[tokio::test]
async fn a_node_without_a_lease_loses_its_shards_and_rejoins() {
    let place = Place::new();
    let (a, b) = (place.node("a").await, place.node("b").await);
    count(&b, 4).await;
    count(&a, 4).await;
    let pool = place.pool().await;
    for round in 0..3 {
        // As if it had been suspended: the other nodes treat it as gone.
        sqlx::query(
            "WITH gone AS (UPDATE nodes SET lease_until = now() WHERE name = 'a' RETURNING node_id)
             UPDATE shards SET lease_until = now() FROM gone WHERE owner = gone.node_id",
        )
        .execute(&pool)
        .await
        .unwrap();
        // Whether b was faster or a renewed in time, in the end they are even again and every shard
        // takes appends at its owner only.
        for shard in 0..SHARDS {
            let id = stream_in(&a, shard);
            let until = Instant::now() + SOON;
            loop {
                let answers = (
                    a.append(id, 0, vec![event(round)]).await,
                    b.append(id, 0, vec![event(round)]).await,
                );
                match answers {
                    (Ok(_), Ok(_)) => panic!("appended twice"),
                    (Ok(_), Err(_)) | (Err(_), Ok(_)) => break,
                    (Err(_), Err(_)) => assert!(Instant::now() < until, "shard {shard}"),
                }
            }
        }
        count(&a, 4).await;
        count(&b, 4).await;
    }
    assert_eq!(a.verify().await.unwrap(), 3 * u64::from(SHARDS));
}

#[tokio::test]
async fn a_killed_node_is_replaced_by_its_namesake_before_its_lease_ends() {
    let place = Place::new();
    let b = place.node("b").await;
    let pool = place.pool().await;
    // A process that was killed: it has a lease and no session.
    let dead = |lease: &'static str| {
        let pool = pool.clone();
        async move {
            sqlx::query(
                "INSERT INTO nodes VALUES ('dead', 'a', 'a.test:1', now() + $1::interval)
                         ON CONFLICT (node_id) DO UPDATE SET lease_until = excluded.lease_until",
            )
            .bind(lease)
            .execute(&pool)
            .await
            .unwrap();
            sqlx::query(
                "UPDATE shards SET owner = 'dead', epoch = epoch + 1,
                                lease_until = now() + $1::interval WHERE shard < 4",
            )
            .bind(lease)
            .execute(&pool)
            .await
            .unwrap();
        }
    };
    // From this machine, as the identity shows, and with a start time that no process has.
    let sign = "INSERT INTO processes SELECT 'dead', regexp_replace(identity, '[0-9]+$', '1')
                FROM processes";
    sqlx::query(sign).execute(&pool).await.unwrap();
    dead("1 hour").await;
    count(&b, 4).await;
    let a = place.node("a").await;
    assert_eq!(shards(&a), (0..4).collect(), "the namesake need not wait");
    a.close().await;
    count(&b, 8).await;
    b.close().await;
    let short = |options: &mut Options| {
        options.lease = Duration::from_millis(2_000);
        options.self_stop = Duration::from_millis(1_200);
    };
    let b = place.node_with("b", short).await;
    count(&b, 8).await;
    // A process that ran elsewhere may be cut off and alive; its lease is waited for until it
    // cannot trust it any more, also by its namesake.
    for namesake in [false, true] {
        sqlx::query("DELETE FROM processes WHERE process = 'dead'").execute(&pool).await.unwrap();
        let began = Instant::now();
        dead("1500 milliseconds").await;
        // Before that it still counts the shards that were lost.
        count(&b, 4).await;
        if namesake {
            let a = place.node_with("a", short).await;
            let both = async {
                while shards(&a).len() + shards(&b).len() < usize::from(SHARDS) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(SOON, both).await.unwrap();
        } else {
            count(&b, 8).await;
        }
        assert!(began.elapsed() >= Duration::from_millis(1_200), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn operators_move_and_freeze_shards() {
    for place in [Place::new(), Place::spread().await] {
        moving_and_freezing(place).await;
    }
}

async fn moving_and_freezing(place: Place) {
    let (a, b) = (place.node("a").await, place.node("b").await);
    count(&b, 4).await;
    count(&a, 4).await;
    let shard = *shards(&a).first().unwrap();
    assert!(a.pin(shard, Some("b"), &action(Verb::MoveShard)).await.unwrap());
    comes_to_have(&b, |shards| shards.contains(&shard)).await;
    let id = stream_in(&a, shard);
    assert_eq!(a.append(id, 0, vec![event(1)]).await, Err(JournalError::NotOwner { shard }));
    b.append(id, 0, vec![event(1)]).await.unwrap();

    assert!(a.freeze(shard, Some("looked into"), &action(Verb::FreezeShard)).await.unwrap());
    comes_to_have(&b, |shards| !shards.contains(&shard)).await;
    for node in [&a, &b] {
        let mut ownership = node.ownership();
        let frozen = ownership.wait_for(|now| now.frozen(shard).is_some());
        timeout(SOON, frozen).await.unwrap().unwrap();
        let refused = node.append(id, 1, vec![event(2)]).await;
        assert_eq!(refused, Err(JournalError::NotOwner { shard }));
    }
    let state = states(&a).await.swap_remove(usize::from(shard));
    assert_eq!(state.frozen.as_deref(), Some("looked into"));
    assert_eq!((state.node, state.pinned.as_deref()), (None, Some("b")));

    assert!(a.freeze(shard, None, &action(Verb::UnfreezeShard)).await.unwrap());
    comes_to_have(&b, |shards| shards.contains(&shard)).await;
    assert_eq!(b.append(id, 1, vec![event(2)]).await.unwrap().version, 2);
    let none = a.freeze(SHARDS, None, &action(Verb::UnfreezeShard)).await.unwrap();
    assert!(!none, "there is no such shard");
    // Each action was recorded with its effect; one without an effect was not.
    let asked = ActionsAsked { limit: 10, ..ActionsAsked::default() };
    let (done, away) = b.operator_actions(&asked).await;
    let done: Vec<[&str; 3]> = done
        .iter()
        .map(|action| [action.verb.as_str(), action.before.as_str(), action.after.as_str()])
        .collect();
    assert_eq!(away, 0);
    assert_eq!(
        done,
        [
            ["UNFREEZE_SHARD", "frozen: looked into", "open"],
            ["FREEZE_SHARD", "open", "frozen: looked into"],
            ["MOVE_SHARD", "for any node", "for node b"],
        ]
    );
}

#[tokio::test]
async fn concurrent_appends_through_moving_nodes_make_one_history() {
    for place in [Place::new(), Place::spread().await] {
        hammering(place).await;
    }
}

async fn hammering(place: Place) {
    let (a, b) = (place.node("a").await, place.node("b").await);
    count(&b, 4).await;
    let id = stream_in(&a, 2);
    let (mut hands, moves) = (Vec::new(), Arc::new(AtomicU32::new(0)));
    for hand in 0..8_u64 {
        let node = if hand % 2 == 0 { a.clone() } else { b.clone() };
        let moves = Arc::clone(&moves);
        hands.push(tokio::spawn(async move {
            let mut versions = Vec::new();
            let mut expected = 0;
            while versions.len() < 20 || moves.load(Ordering::Relaxed) < 3 {
                if versions.len() >= 20 {
                    // Only until the shard has moved often enough.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                match node.append(id, expected, vec![event(hand)]).await {
                    Ok(appended) => {
                        assert_eq!(appended.version, expected + 1);
                        versions.push(appended.version);
                        expected += 1;
                    }
                    Err(JournalError::Conflict { actual: Some(actual), .. }) => expected = actual,
                    Err(JournalError::Conflict { .. } | JournalError::NotOwner { .. }) => {
                        expected = node.load(id).await.unwrap().len() as u64;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            versions
        }));
    }
    let mut to = ["a", "b"].into_iter().cycle();
    while hands.iter().any(|hand| !hand.is_finished()) {
        let node = to.next().unwrap();
        a.pin(2, Some(node), &action(Verb::MoveShard)).await.unwrap();
        let owner = if node == "a" { &a } else { &b };
        comes_to_have(owner, |shards| shards.contains(&2)).await;
        moves.fetch_add(1, Ordering::Relaxed);
    }
    let mut all = Vec::new();
    for hand in hands {
        all.extend(hand.await.unwrap());
    }
    all.sort_unstable();
    let count = all.len();
    assert!(count >= 160, "{count}");
    assert_eq!(all, (1..).take(count).collect::<Vec<u64>>(), "each version was promised once");
    assert_eq!(a.load(id).await.unwrap().len(), count);
    assert_eq!(b.verify().await.unwrap(), count as u64);
}

#[tokio::test]
async fn a_clock_step_takes_no_shard_from_a_live_node() {
    let place = Place::new();
    let (a, b) = (place.node("a").await, place.node("b").await);
    count(&b, 4).await;
    count(&a, 4).await;
    let (pool, mine) = (place.pool().await, shards(&a));
    // Whoever believed that clock would take them at once, or a lease later.
    let until = Instant::now() + LEASE + Duration::from_secs(1);
    while Instant::now() < until {
        // By the database's clock every lease is long over.
        sqlx::query("UPDATE shards SET lease_until = clock_timestamp() - interval '1 hour'")
            .execute(&pool)
            .await
            .unwrap();
        assert!(shards(&b).is_disjoint(&mine), "{:?}", shards(&b));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for shard in mine {
        a.append(stream_in(&a, shard), 0, vec![event(1)]).await.unwrap();
    }
}

/// As when a standby that lagged is promoted: the database answers again, and has fewer events.
#[tokio::test]
async fn a_set_back_database_is_accepted_and_its_loss_reported() {
    let place = Place::new();
    let (a, b) = (place.node("a").await, place.node("b").await);
    count(&b, 4).await;
    count(&a, 4).await;
    let pool = place.pool().await;
    let shard = *shards(&a).first().unwrap();
    let id = stream_in(&a, shard);
    let mut hash: Vec<u8> = Vec::new();
    for version in 0..5 {
        a.append(id, version, vec![event(version)]).await.unwrap();
        if version == 1 {
            hash = sqlx::query_scalar("SELECT head_hash FROM shards WHERE shard = $1")
                .bind(i32::from(shard))
                .fetch_one(&pool)
                .await
                .unwrap();
        }
    }
    let heads = a.heads().await.unwrap();
    let tenure = a.tenure(shard).unwrap();
    let mut tx = begin(&pool).await.unwrap();
    sqlx::raw_sql(
        "ALTER TABLE events DISABLE TRIGGER USER; DELETE FROM events WHERE position > 2;
         ALTER TABLE events ENABLE TRIGGER USER",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    sqlx::query("UPDATE shards SET head_position = 2, head_hash = $2 WHERE shard = $1")
        .bind(i32::from(shard))
        .bind(hash)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name IN (SELECT node_id FROM nodes)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut lost = a.lost_tails();
    let found = timeout(SOON, lost.wait_for(|all| !all.is_empty())).await.unwrap().unwrap();
    assert_eq!(*found, [LostTail { shard, known: 5, found: 2, events: 3 }]);
    drop(found);
    // Streams of before have events that no longer exist, and are rebuilt.
    let mut ownership = a.ownership();
    let anew = ownership.wait_for(|now| now.tenure(shard).is_some_and(|t| t != tenure));
    timeout(SOON, anew).await.unwrap().unwrap();
    let until = Instant::now() + SOON;
    // Ended sessions are noticed one by one.
    loop {
        match (a.read_after(&heads, 10).await, a.load(id).await) {
            (Err(JournalError::Forked { .. }), Ok(events)) => {
                assert_eq!(events.len(), 2);
                break;
            }
            (Err(JournalError::Unavailable(_)), _) | (_, Err(JournalError::Unavailable(_))) => {
                assert!(Instant::now() < until);
            }
            other => panic!("{other:?}"),
        }
    }
    loop {
        match a.append(id, 2, vec![event(9)]).await {
            Ok(appended) => {
                assert_eq!((appended.version, appended.position), (3, 3));
                break;
            }
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    }
    assert_eq!(a.read_after(&Cursors::default(), 10).await.unwrap().len(), 3);
    // A decision of the earlier tenure is not appended, although its version is right.
    let late = a.append_traced(tenure, id, 3, vec![event(9)], None).await;
    assert_eq!(late, Err(JournalError::NotOwner { shard }));
    assert_eq!(a.load(id).await.unwrap().len(), 3);
    // Past the old end it is still another history, also for reads from memory.
    for version in 3..6 {
        a.append(id, version, vec![event(version)]).await.unwrap();
    }
    for before in [&heads, &heads.clone().scoped(Scope::Only([shard].into()))] {
        let read = a.read_after(before, 10).await;
        assert!(matches!(read, Err(JournalError::Forked { .. })), "{read:?}");
    }
    let now = a.heads().await.unwrap().scoped(Scope::Only([shard].into()));
    assert_eq!(a.read_after(&now, 10).await.unwrap(), []);
    assert_eq!(a.verify().await.unwrap(), 6);
    assert!(b.lost_tails().borrow().is_empty(), "nothing of its own was lost");
}

/// By a clock that was set back, or that of another server, the leases of ended nodes run for long.
#[tokio::test]
async fn a_clock_set_back_withholds_no_shard_from_live_nodes() {
    let place = Place::new();
    let b = place.node("b").await;
    count(&b, usize::from(SHARDS)).await;
    let pool = place.pool().await;
    let gone = "INSERT INTO nodes (node_id, name, address, lease_until)
        VALUES ('ordinal-gone', 'c', 'c.test:1', clock_timestamp() + interval '1 hour')";
    sqlx::query(gone).execute(&pool).await.unwrap();
    let had = "UPDATE shards SET owner = 'ordinal-gone', epoch = epoch + 1,
        lease_until = clock_timestamp() + interval '1 hour' WHERE shard < 4";
    sqlx::query(had).execute(&pool).await.unwrap();
    comes_to_have(&b, |shards| !shards.contains(&0)).await;
    count(&b, usize::from(SHARDS)).await;
    b.append(stream_in(&b, 0), 0, vec![event(1)]).await.unwrap();
}

#[tokio::test]
async fn every_reason_for_a_new_incarnation_is_recorded() {
    let place = Place::new();
    let (a, b) = (place.node("a").await, place.node("b").await);
    count(&b, 4).await;
    let id = stream_in(&a, *shards(&a).first().unwrap());
    a.append(id, 0, vec![event(1)]).await.unwrap();
    let (one, other) =
        tokio::join!(a.accept("lost a", "one", None), b.accept("lost b", "other", None));
    let mut numbers = [one.unwrap().incarnation, other.unwrap().incarnation];
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
    let found = b.incarnations().await.unwrap();
    let mut reasons: Vec<&str> = found.iter().map(|one| one.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["lost a", "lost b"]);
    assert!(found.iter().all(|one| one.heads == found[0].heads && !one.heads.is_empty()));

    // A reader with impossible claims uses up no numbers.
    let (shard, position) = (a.shard_of(id), 1);
    let ghost = Seen { shard, position, mark: Mark::from_bits(1) };
    for wrong in [u64::MAX, i64::MAX as u64, 1 << 40] {
        let refused = a.compare(&[ghost], wrong, "somebody").await;
        assert!(matches!(refused, Err(JournalError::Invalid(_))), "{refused:?}");
    }
    assert_eq!(a.doubt(), None);
    a.compare(&[ghost], 7, "somebody").await.unwrap();
    assert!(a.doubt().is_some());
    let accepting = Some(action(Verb::AcceptJournal));
    assert_eq!(a.accept("looked at", "ops", accepting).await.unwrap().incarnation, 8);
    // Written into every database, and still reported as one.
    let asked = ActionsAsked { limit: 10, ..ActionsAsked::default() };
    let (done, _) = b.operator_actions(&asked).await;
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(done[0].after, "incarnation 8, accepted");
    assert_eq!((a.doubt(), a.history().unwrap().incarnation), (None, 8));
}
