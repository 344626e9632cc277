use std::time::Duration;

use payment::domain::{Breaker, CALL_MAX, CALLS_MAX, Observation, OperationKind, Schedule, Stage};
use psp::{Answer, Found};
use shared_events::contract::Timestamp;

use super::support::{CAPABLE, at};

const KIND: OperationKind = OperationKind::Capture;

fn unknown() -> Answer {
    Answer::Unknown { why: "timeout".to_owned() }
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    to.since(from).as_secs()
}

#[test]
fn an_unknown_answer_is_asked_for_before_anything_is_sent_again() {
    let calling = Schedule::due(at(0)).calling(at(0));
    assert_eq!((calling.stage, calling.due_at), (Stage::Calling, at(0).plus(CALL_MAX)));
    let step = calling.answered(unknown(), KIND, (at(0), 0));
    assert_eq!((step.schedule.stage, step.seen), (Stage::Unknown, None));
    assert_eq!(seconds(at(0), step.schedule.due_at), 5);
    // Within the grace "not found" proves nothing.
    let early = at(0).plus(Duration::from_secs(6));
    let step = step.schedule.found(Found::Nothing, KIND, &CAPABLE, (early, 0));
    assert_eq!(step.schedule.stage, Stage::Unknown);
    assert_eq!(seconds(at(0), step.schedule.due_at), 30);
    // After it the same key is used again.
    let later = at(1);
    let step = step.schedule.found(Found::Nothing, KIND, &CAPABLE, (later, u32::MAX));
    assert_eq!((step.schedule.stage, step.schedule.generation), (Stage::Due, 0));
    let waits = step.schedule.due_at.since(later);
    assert!(waits >= Duration::from_secs(1) && waits <= Duration::from_secs(2), "{waits:?}");
}

#[test]
fn a_key_near_its_end_is_not_used_again() {
    let calling = Schedule::due(at(0)).calling(at(0));
    let unknown = calling.answered(unknown(), KIND, (at(0), 0)).schedule;
    let day = at(23 * 60);
    let step = unknown.found(Found::Nothing, KIND, &CAPABLE, (day, 0));
    assert_eq!(step.schedule.stage, Stage::Unknown);
    // After a week a person must look; nothing is guessed.
    let week = at(7 * 24 * 60);
    let step = step.schedule.found(Found::Nothing, KIND, &CAPABLE, (week, 0));
    assert_eq!(step.schedule.stage, Stage::Stuck);
    assert!(matches!(step.seen, Some(Observation::Stuck { .. })));
}

#[test]
fn questions_are_asked_less_and_less_often() {
    let calling = Schedule::due(at(0)).calling(at(0));
    let mut schedule = calling.answered(unknown(), KIND, (at(0), 0)).schedule;
    let mut waits = vec![seconds(at(0), schedule.due_at)];
    for _ in 0..8 {
        let now = schedule.due_at;
        let found = Found::Unknown { why: "cut".to_owned() };
        schedule = schedule.found(found, KIND, &CAPABLE, (now, 0)).schedule;
        waits.push(seconds(now, schedule.due_at));
    }
    assert_eq!(waits, [5, 15, 60, 300, 1_800, 7_200, 86_400, 86_400, 86_400]);
}

fn refused(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), repairable: true }
}

#[test]
fn a_refused_request_is_mended_under_a_new_key_and_is_never_a_no() {
    let mut schedule = Schedule::due(at(0));
    let mut now = at(0);
    for nth in 1..CALLS_MAX {
        let step = schedule.calling(now).answered(refused("busy"), KIND, (now, u32::MAX));
        assert_eq!((step.schedule.stage, step.schedule.generation), (Stage::Due, nth));
        let (wait, longest) = (step.schedule.due_at.since(now), 1_u64 << nth);
        assert!(wait <= Duration::from_secs(longest) && wait * 2 > Duration::from_secs(longest));
        (schedule, now) = (step.schedule.clone(), step.schedule.due_at);
    }
    // With its tries spent it waits for up to a minute each time; after a day a person must look.
    let spent = now;
    let stuck = loop {
        let step = schedule.calling(now).answered(refused("busy"), KIND, (now, u32::MAX));
        if step.seen.is_some() {
            break step;
        }
        assert_eq!(step.schedule.stage, Stage::Due);
        assert!(step.schedule.due_at.since(now) <= Duration::from_secs(60));
        (schedule, now) = (step.schedule.clone(), step.schedule.due_at);
    };
    assert_eq!(stuck.schedule.stage, Stage::Stuck);
    assert_eq!(stuck.seen, Some(Observation::Stuck { why: "busy".to_owned() }));
    assert_eq!(now.since(spent).as_secs() / 3_600, 24);
    let step = Schedule::due(at(0)).calling(at(0)).answered(
        Answer::Refused { code: "bad_amount".to_owned(), repairable: false },
        KIND,
        (at(0), 0),
    );
    assert_eq!(step.schedule.stage, Stage::Done);
}

/// A rotated key, or too many calls: the request was not looked at.
#[test]
fn what_was_not_looked_at_is_no_try_and_keeps_its_key() {
    for code in ["rate_limited", "not_authenticated"] {
        let (mut schedule, mut now) = (Schedule::due(at(0)), at(0));
        let mut calls = 0;
        let stuck = loop {
            let step = schedule.calling(now).answered(refused(code), KIND, (now, u32::MAX));
            assert_eq!((step.schedule.generation, step.schedule.calls <= 1), (0, true));
            if step.seen.is_some() {
                break step;
            }
            calls += 1;
            assert_eq!((step.schedule.stage, step.schedule.calls), (Stage::Due, 0));
            (schedule, now) = (step.schedule.clone(), step.schedule.due_at);
        };
        assert_eq!((stuck.schedule.stage, seconds(at(0), now) / 3_600), (Stage::Stuck, 24));
        assert!((1_400..1_500).contains(&calls), "less and less often: {calls}");
    }
}

/// The first call may have had its effect: under another key it would be done twice.
#[test]
fn a_key_of_unknown_outcome_stays_whatever_is_refused_after_it() {
    for code in ["rate_limited", "busy"] {
        let calling = Schedule::due(at(0)).calling(at(0));
        let unknown = calling.answered(unknown(), KIND, (at(0), 0)).schedule;
        let again = unknown.found(Found::Nothing, KIND, &CAPABLE, (at(1), 0)).schedule;
        assert_eq!(again.stage, Stage::Due);
        let step = again.calling(at(2)).answered(refused(code), KIND, (at(2), 0));
        assert_eq!((step.schedule.stage, step.schedule.generation), (Stage::Unknown, 0));
        assert_eq!((step.schedule.first_call, step.seen), (Some(at(0)), None));
        // It is asked for, and is sent again under the same key for as long as that is safe.
        let found = || Found::Known(refused(code));
        let again = step.schedule.found(found(), KIND, &CAPABLE, (at(4), 0)).schedule;
        assert_eq!((again.stage, again.generation), (Stage::Due, 0));
        let late = step.schedule.found(found(), KIND, &CAPABLE, (at(23 * 60), 0)).schedule;
        assert_eq!(late.stage, Stage::Unknown);
    }
}

#[test]
fn a_void_that_is_refused_is_for_people() {
    for answer in [
        Answer::Declined { code: "captured".to_owned() },
        Answer::Refused { code: "captured".to_owned(), repairable: false },
    ] {
        let calling = Schedule::due(at(0)).calling(at(0));
        let step = calling.answered(answer, OperationKind::Void, (at(0), 0));
        assert_eq!(step.schedule.stage, Stage::Stuck);
    }
}

#[test]
fn a_pending_answer_is_looked_at_for_thirty_days() {
    let pending = || Answer::Pending { reference: "r".parse().unwrap() };
    let calling = Schedule::due(at(0)).calling(at(0));
    let step = calling.answered(pending(), OperationKind::Refund, (at(0), 0));
    assert_eq!(step.schedule.stage, Stage::Looking);
    assert!(matches!(step.seen, Some(Observation::Pending { .. })));
    let (kind, early, late) = (OperationKind::Refund, at(60), at(30 * 24 * 60));
    let again = step.schedule.found(Found::Known(pending()), kind, &CAPABLE, (early, 0));
    assert_eq!((again.schedule.stage, &again.seen), (Stage::Looking, &None));
    let stuck = again.schedule.found(Found::Nothing, kind, &CAPABLE, (late, 0));
    assert_eq!(stuck.schedule.stage, Stage::Stuck);
}

#[test]
fn an_interrupted_call_is_asked_for_at_once() {
    let calling = Schedule::due(at(0)).calling(at(0));
    let restarted = calling.interrupted(at(5));
    assert_eq!((restarted.stage, restarted.due_at), (Stage::Unknown, at(5)));
    assert_eq!(calling.held_back(at(9)).due_at, at(9));
}

#[test]
fn a_breaker_pauses_after_five_failures_and_is_open_until_one_answer() {
    let mut breaker = Breaker::default();
    for _ in 0..Breaker::FAILURES_MAX {
        assert_eq!((breaker.holds_back(at(0)), breaker.is_open()), (None, false));
        breaker.record(false, at(0));
    }
    let until = at(0).plus(Breaker::PAUSE);
    assert_eq!((breaker.holds_back(at(0)), breaker.is_open()), (Some(until), true));
    // One is tried; that alone is no answer.
    assert_eq!((breaker.holds_back(until), breaker.is_open()), (None, true));
    breaker.record(false, until);
    assert!(breaker.holds_back(until).is_some() && breaker.is_open());
    breaker.record(true, until);
    assert_eq!((breaker.holds_back(until), breaker.is_open()), (None, false));
}
