//! Webhooks that fail, are overtaken, or wait for a person.

use std::sync::Arc;
use std::time::Duration;

use payment::domain::{OperationKind, OperationState, Stage, Status, WebhookState};
use payment::grpc::proto::AttemptRequest;
use payment::grpc::proto::payment_service_server::PaymentService as _;
use payment::store::{self, COUNTED, Count, OperationRow};
use payment::{PaymentLaw, Payments, Psps, audit};
use psp::webhook::body_id;
use psp::{Answer, Psp};
use serde_json::json;
use shared_events::chance::Chance;
use shared_events::contract::{CapturePolicy, Timestamp};
use shared_events::stream::{AskedBy, Dialect, OperatorAction, Verb};
use uuid::Uuid;

use crate::on_both::on_both;
use crate::scripted::{Act, Scripted};
use crate::support::{Bench, Story, gbp};
use crate::webhooks::{declined, hear, kept, now, paid, status, tell, tell_strange};

const AUTHORIZE: OperationKind = OperationKind::Authorize;

/// An order with an attempt of which nothing was heard.
async fn unheard(bench: &Bench) -> (Story, OperationRow) {
    bench.psp.will(AUTHORIZE, [Act::LoseRequest]);
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    let ours = bench.operation(AUTHORIZE).await;
    assert_eq!(ours.schedule.stage, Stage::Unknown);
    (story, ours)
}

async fn change(bench: &Bench, sql: &str) {
    let mut tx = bench.database.begin().await.unwrap();
    assert_eq!(sqlx::query(sql).execute(&mut *tx).await.unwrap().rows_affected(), 1, "{sql}");
    tx.commit().await.unwrap();
}

async fn an_answer_that_is_overtaken_takes_nothing_back(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (story, ours) = unheard(&bench).await;
    bench.psp.knows(ours.id.uuid(), declined("card_declined"));
    let data = json!({ "reference": "psp_0", "payment": "psp_0", "code": "card_declined",
                       "our_reference": ours.id.to_string() });
    tell(&bench, "evt_1", "declined", &data).await;
    let (runner, gate) = (bench.runner(), bench.psp.holds_up());
    // The runner finds out, while the webhook waits for an answer that was given before.
    let meanwhile = async {
        gate.asked.notified().await;
        let (reference, amount) = ("psp_0".parse().unwrap(), gbp(5_000));
        bench.psp.knows(ours.id.uuid(), Answer::Done { reference, amount, valid_until: None });
        bench.wait(6);
        bench.turns().await;
        gate.open.notify_one();
    };
    let (heard, ()) = tokio::join!(runner.hear_webhooks(), meanwhile);
    assert_eq!(heard.unwrap(), 1);
    assert_eq!(status(&bench, &story).await, Status::Authorized);
    // It was woken while it was looked at, and so is due at once.
    let one = kept(&bench, "evt_1").await;
    assert_eq!((one.state, one.tries), (WebhookState::Waiting, 0));
    assert!(one.due_at <= now(&bench));
    hear(&bench).await;
    let one = kept(&bench, "evt_1").await;
    assert_eq!((one.state, one.note.as_str()), (WebhookState::Handled, "known already"));
    bench.laws_hold().await;
}

/// The answer is about the authorisation, of which no more became known.
async fn an_answer_does_not_count_once_a_capture_has_begun(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = paid(&bench).await;
    let ours = bench.operation(AUTHORIZE).await;
    bench.psp.knows(ours.id.uuid(), declined("reversed"));
    tell(&bench, "evt_1", "reversed", &json!({ "reference": "psp_0", "payment": "psp_0" })).await;
    let (runner, gate) = (bench.runner(), bench.psp.holds_up());
    let shipped = story.shipped(5_000);
    let meanwhile = async {
        gate.asked.notified().await;
        bench.follow(&[shipped]).await.unwrap();
        gate.open.notify_one();
    };
    let (heard, ()) = tokio::join!(runner.hear_webhooks(), meanwhile);
    assert_eq!(heard.unwrap(), 1);
    let case = bench.case(story.order_id).await;
    let states: Vec<_> = case.payments[0].operations.iter().map(|one| one.state).collect();
    assert_eq!(states, [OperationState::Succeeded, OperationState::Open]);
    let one = kept(&bench, "evt_1").await;
    assert_eq!((one.state, one.tries), (WebhookState::Waiting, 1));
    assert_eq!(one.note, "more became known while the provider was asked");
    // Once it is taken, nothing is left that could be reversed.
    bench.turns().await;
    bench.wait(3);
    hear(&bench).await;
    let one = kept(&bench, "evt_1").await;
    assert_eq!((one.state, one.note.as_str()), (WebhookState::Handled, "nothing of it is left"));
    assert_eq!(status(&bench, &story).await, Status::Captured);
    bench.laws_hold().await;
}

async fn a_webhook_is_left_to_a_process_that_knows_its_provider(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let story = paid(&bench).await;
    let ours = bench.operation(AUTHORIZE).await;
    bench.psp.knows(ours.id.uuid(), declined("reversed"));
    tell(&bench, "evt_1", "reversed", &json!({ "reference": "psp_0", "payment": "psp_0" })).await;
    let stored = kept(&bench, "evt_1").await;
    // Also after the day that it would wait.
    bench.wait(2 * 24 * 3_600);
    let at = now(&bench).micros();
    let other: Arc<dyn Psp> = Arc::<Scripted>::clone(&bench.psp);
    for psps in [Psps::default(), Psps::new([("other".parse().unwrap(), other)])] {
        let now = Arc::new(move || Timestamp::from_micros(at));
        let elsewhere = Payments::new(bench.database.clone(), psps, now);
        let runner = elsewhere.runner(Chance::seeded(1));
        assert_eq!(runner.hear_webhooks().await.unwrap(), 0);
        let left = kept(&bench, "evt_1").await;
        assert_eq!((left.state, left.tries), (stored.state, stored.tries));
    }
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_1").await.state, WebhookState::Handled);
    assert_eq!(status(&bench, &story).await, Status::Reversed);
    bench.laws_hold().await;
}

async fn where_the_customer_acts_is_in_the_answer_to_an_attempt(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (story, ours) = unheard(&bench).await;
    let (reference, url) = ("psp_0".parse().unwrap(), "https://bank.example/act".to_owned());
    bench.psp.knows(ours.id.uuid(), Answer::ActionRequired { reference, url: url.clone() });
    let data = json!({ "reference": "psp_0", "payment": "psp_0",
                       "our_reference": ours.id.to_string() });
    tell(&bench, "evt_1", "action_required", &data).await;
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_1").await.state, WebhookState::Handled);
    let asked = async |role: &str| {
        let mut request = tonic::Request::new(AttemptRequest {
            order_id: story.order_id.to_string(),
            attempt_id: Uuid::from_u128(1).to_string(),
            psp_token: "tok_1".to_owned(),
            validate_only: false,
        });
        let by = AskedBy { role: role.to_owned(), subject: "anna".to_owned() };
        request.extensions_mut().insert(by);
        let answer = bench.payments.edge().attempt(request).await.unwrap().into_inner();
        assert_eq!((answer.payments.len(), answer.waits), (1, false));
        answer.payments[0].action_url.clone()
    };
    assert_eq!(asked("CUSTOMER").await, url);
    assert_eq!(asked("OPS").await, "");
    let (reference, amount) = ("psp_0".parse().unwrap(), gbp(5_000));
    bench.psp.knows(ours.id.uuid(), Answer::Done { reference, amount, valid_until: None });
    bench.settle().await;
    assert_eq!(status(&bench, &story).await, Status::Authorized);
    assert_eq!(asked("CUSTOMER").await, "");
    assert!(store::actions(&bench.database, story.order_id).await.unwrap().is_empty());
    bench.laws_hold().await;
}

async fn a_webhook_that_cannot_be_handled_holds_up_no_other(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let stories = [paid(&bench).await, paid(&bench).await];
    for (nth, story) in stories.iter().enumerate() {
        let case = bench.case(story.order_id).await;
        let one = &case.payments[0].operations[0];
        bench.psp.knows(one.id.uuid(), declined("reversed"));
        let name = one.reference.clone();
        let data = json!({ "reference": name, "payment": name });
        tell(&bench, &format!("evt_{nth}"), "reversed", &data).await;
    }
    tell(&bench, "evt_strange", "reversed", &json!({ "payment": "psp_0" })).await;
    change(&bench, "UPDATE webhooks SET told = '{}' WHERE event_id = 'evt_strange'").await;
    tell(&bench, "evt_damaged", "reversed", &json!({ "payment": "psp_77" })).await;
    change(&bench, "UPDATE webhooks SET tries = -1 WHERE event_id = 'evt_damaged'").await;
    let order = stories[0].order_id;
    let of_it = format!("WHERE order_id = '{order}'");
    change(&bench, &format!("UPDATE cases SET body = '-' || body {of_it}")).await;
    assert_eq!(bench.runner().hear_webhooks().await.unwrap(), 3);
    let failed = kept(&bench, "evt_0").await;
    assert_eq!((failed.state, failed.tries), (WebhookState::Waiting, 1));
    assert!(failed.note.contains("could not be handled") && failed.due_at > now(&bench));
    assert_eq!(kept(&bench, "evt_1").await.state, WebhookState::Handled);
    assert_eq!(status(&bench, &stories[1]).await, Status::Reversed);
    let strange = kept(&bench, "evt_strange").await;
    assert_eq!(strange.state, WebhookState::Parked);
    assert_eq!(strange.note, "what it told cannot be read any more");
    // One of which nothing can be read is put off, and takes no other's place.
    let sql = "SELECT due_at, note FROM webhooks WHERE event_id = 'evt_damaged'";
    let put_off: (i64, String) =
        sqlx::query_as(sql).fetch_one(bench.database.reader()).await.unwrap();
    let until = now(&bench).plus(Duration::from_secs(60)).micros();
    assert_eq!(put_off, (until, "what it told cannot be read any more".to_owned()));
    // Once they can be handled they are.
    change(&bench, "UPDATE webhooks SET tries = 0 WHERE event_id = 'evt_damaged'").await;
    change(&bench, &format!("UPDATE cases SET body = SUBSTR(body, 2) {of_it}")).await;
    bench.wait(60);
    hear(&bench).await;
    assert_eq!(status(&bench, &stories[0]).await, Status::Reversed);
    assert_eq!(kept(&bench, "evt_damaged").await.note, "nothing is known of what it is about");
    let found = audit(&bench.database, |_| ()).await.unwrap().findings;
    let laws: Vec<_> = found.iter().map(|one| one.law).collect();
    assert_eq!(laws, [PaymentLaw::WebhooksSettled], "{found:?}");
    // Whoever drops it has seen it.
    let by = AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
    let (verb, target) = (Verb::ResolveWebhook, "scripted/evt_strange");
    let action = OperatorAction::new(&by, verb, target, "damaged", now(&bench));
    let said = (action, "DROPPED damaged");
    assert!(bench.payments.decide_webhook(&strange, WebhookState::Dropped, said).await.unwrap());
    bench.laws_hold().await;
}

async fn what_is_put_back_and_still_not_understood_is_parked_at_once(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    tell_strange(&bench, "[1]").await;
    let parked = kept(&bench, &body_id(b"[1]")).await;
    let (by, at) = (AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() }, now(&bench));
    let action = || {
        let verb = Verb::ResolveWebhook;
        (OperatorAction::new(&by, verb, "scripted/1", "perhaps", at), "WAITING perhaps")
    };
    let back = WebhookState::Waiting;
    assert!(bench.payments.decide_webhook(&parked, back, action()).await.unwrap());
    assert!(!bench.payments.decide_webhook(&parked, back, action()).await.unwrap());
    assert_eq!(kept(&bench, &parked.event_id).await.state, WebhookState::Waiting);
    hear(&bench).await;
    let again = kept(&bench, &parked.event_id).await;
    assert_eq!((again.state, &again.note), (WebhookState::Parked, &parked.note));
    assert_eq!(bench.psp.questions(), 0);
    bench.laws_hold().await;
}

async fn what_waits_is_counted_and_the_oldest_comes_first(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let first = now(&bench);
    for nth in 0..4 {
        tell_strange(&bench, &format!("[{nth}]")).await;
        bench.wait(60);
    }
    tell(&bench, "evt_1", "voided", &json!({ "payment": "psp_9" })).await;
    let count = async |what| store::count(&bench.database, what).await.unwrap();
    assert_eq!(count(Count::WebhooksParked).await, 4);
    assert_eq!(count(Count::WebhooksWaiting).await, 1);
    let parked = store::parked_longest(&bench.database).await.unwrap().unwrap();
    assert_eq!((parked.event_id, parked.settled_at), (body_id(b"[0]"), Some(first)));
    assert_eq!(count(Count::OperationsStuck).await, 0);
    assert_eq!(store::stuck_longest(&bench.database).await.unwrap(), None);
    let (_, ours) = unheard(&bench).await;
    change(&bench, "UPDATE operations SET stage = 'STUCK'").await;
    assert_eq!(count(Count::OperationsStuck).await, 1);
    let stuck = store::stuck_longest(&bench.database).await.unwrap();
    assert_eq!(stuck.map(|one| one.id), Some(ours.id));
    assert_eq!(store::disputed_since(&bench.database).await.unwrap(), None);
    let mut tx = bench.database.begin().await.unwrap();
    for nth in 0..=COUNTED {
        let payment = Uuid::from_u128(u128::from(nth) + 1);
        let sql = "INSERT INTO disputes VALUES ($1, 'dp_1', $1, 'scripted', NULL, $2, NULL)";
        let opened = first.micros() + i64::try_from(nth).unwrap();
        let query = sqlx::query(sql).bind(payment.to_string()).bind(opened);
        query.execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(count(Count::DisputesOpen).await, COUNTED, "or more");
    assert_eq!(store::disputed_since(&bench.database).await.unwrap(), Some(first));
    let open = store::open_disputes(&bench.database, 1).await.unwrap();
    assert_eq!((open.len(), open[0].opened_at), (1, first));
}

on_both! { two_threads:
    an_answer_that_is_overtaken_takes_nothing_back,
    an_answer_does_not_count_once_a_capture_has_begun,
    a_webhook_is_left_to_a_process_that_knows_its_provider,
    where_the_customer_acts_is_in_the_answer_to_an_attempt,
    a_webhook_that_cannot_be_handled_holds_up_no_other,
    what_is_put_back_and_still_not_understood_is_parked_at_once,
    what_waits_is_counted_and_the_oldest_comes_first,
}
