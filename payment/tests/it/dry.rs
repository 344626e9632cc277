//! What a call would do: nothing is written, and the same call is answered so afterwards.

use std::fmt::Debug;

use payment::domain::{Case, OperationKind, WebhookState};
use payment::grpc::proto;
use payment::grpc::proto::payment_service_server::PaymentService as _;
use payment::store;
use psp::Capabilities;
use psp::webhook::body_id;
use shared_events::chance::Chance;
use shared_events::contract::{CapturePolicy, OrderId};
use shared_events::stream::Dialect;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::again::stuck;
use crate::domain::support::CAPABLE;
use crate::on_both::on_both;
use crate::scripted::{Act, Scripted};
use crate::support::{Bench, Story};
use crate::webhooks::{declined, hear, kept, tell_strange};

const FULFIL: CapturePolicy = CapturePolicy::OnFulfil;
const AUTHORIZE: OperationKind = OperationKind::Authorize;

/// All that is stored and published, and what providers were asked.
async fn all(bench: &Bench) -> String {
    let database = &bench.database;
    let cases = store::cases_after(database, "", 1_000).await.unwrap();
    let operations = store::operations_after(database, "", 1_000).await.unwrap();
    let webhooks = store::webhooks(database, None, ("", ""), 1_000).await.unwrap();
    let heads = store::event_heads(database).await.unwrap();
    let mut rows = Vec::new();
    for table in ["tokens", "attempts", "resolutions", "operator_actions", "payments"] {
        let count = format!("SELECT COUNT(*) FROM {table}");
        let (count,): (i64,) = sqlx::query_as(&count).fetch_one(database.reader()).await.unwrap();
        rows.push((table, count));
    }
    let told = (bench.published().await, bench.psp.calls(), bench.psp.questions());
    format!("{:?}", (cases, operations, webhooks, heads, rows, told))
}

/// A refusal with all that it says, or the answer.
fn same<T: Debug + PartialEq>(would: &Result<T, Status>, is: &Result<T, Status>) {
    match (would, is) {
        (Ok(would), Ok(is)) => assert_eq!(would, is),
        (Err(would), Err(is)) => {
            let said = |status: &Status| {
                (status.code(), status.message().to_owned(), status.details().to_owned())
            };
            assert_eq!(said(would), said(is));
        }
        (would, is) => panic!("it would be {would:?}, and is {is:?}"),
    }
}

/// Asks what would be, which changes nothing, then means it, and compares both.
async fn both<R: Clone, T: Debug + PartialEq>(
    bench: &Bench,
    request: R,
    dry: impl Fn(R) -> R,
    call: impl AsyncFn(R) -> Result<T, Status>,
) -> Result<T, Status> {
    let before = all(bench).await;
    let would = call(dry(request.clone())).await;
    assert_eq!(all(bench).await, before);
    let is = call(request).await;
    same(&would, &is);
    is
}

async fn attempt(
    bench: &Bench,
    (order_id, attempt_id): (&str, &str),
    psp_token: &str,
) -> Result<proto::AttemptResponse, Status> {
    let request = proto::AttemptRequest {
        order_id: order_id.to_owned(),
        attempt_id: attempt_id.to_owned(),
        psp_token: psp_token.to_owned(),
        validate_only: false,
    };
    let dry = |request| proto::AttemptRequest { validate_only: true, ..request };
    both(bench, request, dry, async |request| {
        bench.payments.edge().attempt(Request::new(request)).await.map(tonic::Response::into_inner)
    })
    .await
}

async fn pays(
    bench: &Bench,
    order: OrderId,
    number: u128,
    token: &str,
) -> Result<proto::AttemptResponse, Status> {
    let attempt_id = Uuid::from_u128(number).to_string();
    attempt(bench, (&order.to_string(), &attempt_id), token).await
}

async fn resolve(
    bench: &Bench,
    request: &proto::ResolveOperationRequest,
) -> Result<proto::Operation, Status> {
    let dry = |request| proto::ResolveOperationRequest { validate_only: true, ..request };
    both(bench, request.clone(), dry, async |request| {
        let answer = bench.payments.edge().resolve_operation(Request::new(request)).await;
        answer.map(|answer| answer.into_inner().operation.unwrap())
    })
    .await
}

async fn decide(
    bench: &Bench,
    request: &proto::ResolveWebhookRequest,
) -> Result<proto::Webhook, Status> {
    let dry = |request| proto::ResolveWebhookRequest { validate_only: true, ..request };
    both(bench, request.clone(), dry, async |request| {
        let answer = bench.payments.edge().resolve_webhook(Request::new(request)).await;
        answer.map(|answer| answer.into_inner().webhook.unwrap())
    })
    .await
}

async fn an_attempt_that_is_only_asked_about_is_not_made(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    let request = proto::AttemptRequest {
        order_id: story.order_id.to_string(),
        attempt_id: Uuid::from_u128(1).to_string(),
        psp_token: "tok_1".to_owned(),
        validate_only: true,
    };
    let ask = async || {
        let request = Request::new(request.clone());
        bench.payments.edge().attempt(request).await.unwrap().into_inner()
    };
    let would = ask().await;
    assert_eq!((would.payments.len(), would.waits), (0, true));
    assert_eq!(store::case(&bench.database, story.order_id).await.unwrap(), None);
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    let would = ask().await;
    assert_eq!(would.payments[0].status(), proto::PaymentStatus::Authorizing);
    bench.wait(60);
    bench.turns().await;
    assert_eq!((bench.psp.calls().len(), bench.tokens().await), (0, 0));
    // The id is as new as before, for any token.
    pays(&bench, story.order_id, 1, "tok_1").await.unwrap();
    bench.turns().await;
    assert!(bench.case(story.order_id).await.secured);
    bench.laws_hold().await;
}

async fn each_refusal_of_an_attempt_is_told_before(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (mut story, order) = (Story::new(), Story::new().order_id.to_string());
    let id = Uuid::from_u128(1).to_string();
    let (order, id) = (order.as_str(), id.as_str());
    for (order, attempt_id, token) in
        [("x", id, "tok_1"), (order, "", "tok_1"), (order, id, "with blanks")]
    {
        let refused = attempt(&bench, (order, attempt_id), token).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    let refused = async |number: u128, token: &str, why: &str| {
        let refused = pays(&bench, story.order_id, number, token).await.unwrap_err();
        assert!(refused.message().contains(why), "{refused}");
        assert!(!format!("{refused:?}").contains("tok_"), "{refused:?}");
    };
    for number in 1..=5 {
        assert!(pays(&bench, story.order_id, number, "tok_1").await.unwrap().waits);
    }
    refused(6, "tok_1", "no attempt is left").await;
    refused(5, "tok_2", "another token").await;
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.turns().await;
    let refused = async |number: u128, token: &str, why: &str| {
        let refused = pays(&bench, story.order_id, number, token).await.unwrap_err();
        assert!(refused.message().contains(why), "{refused}");
    };
    refused(6, "tok_1", "nothing is left to pay").await;
    bench.follow(&[story.cancelled(5_000)]).await.unwrap();
    bench.settle().await;
    refused_after_a_cancellation(&bench, story.order_id).await;
    bench.laws_hold().await;
}

async fn refused_after_a_cancellation(bench: &Bench, order: OrderId) {
    let refused = pays(bench, order, 6, "tok_1").await.unwrap_err();
    assert!(refused.message().contains("no longer wants to be paid"), "{refused}");
    // One that was made is known for ever.
    pays(bench, order, 5, "tok_1").await.unwrap();
}

/// Orders that ask, are cancelled, declined and given up, in an order by chance.
async fn whatever_happened_an_attempt_is_answered_as_it_would_be(dialect: Dialect) {
    for seed in 0..4 {
        let bench = Bench::on(dialect).await;
        let chance = Chance::seeded(seed);
        let mut stories = [Story::new(), Story::new(), Story::new()];
        for _ in 0..40 {
            let at = usize::try_from(chance.number() % 3).unwrap();
            let story = &mut stories[at];
            let known = store::case(&bench.database, story.order_id).await.unwrap();
            match chance.number() % 12 {
                0 | 1 => bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap(),
                2 if known.as_ref().is_some_and(|case| case.plan.is_some()) => {
                    bench.follow(&[story.cancelled(5_000)]).await.unwrap();
                }
                3 | 4 => bench.psp.will(AUTHORIZE, [Act::Say(declined("card_declined"))]),
                5 => bench.turns().await,
                6 => bench.wait(200),
                _ => {
                    let number = u128::from(chance.number() % 7);
                    let attempt_id = Uuid::from_u128(number + 1);
                    let made = |case: &Case| case.attempts.contains(&attempt_id);
                    // The provider takes one token only.
                    let other =
                        known.as_ref().is_some_and(made) && chance.number().is_multiple_of(2);
                    let token = if other { "tok_2" } else { "tok_1" };
                    let answer = pays(&bench, story.order_id, number + 1, token).await;
                    assert!(!other || answer.is_err(), "{answer:?}");
                }
            }
        }
        bench.settle().await;
        bench.laws_hold().await;
    }
}

async fn what_a_person_would_say_of_an_operation_is_not_said(dialect: Dialect) {
    let capabilities = Capabilities { key_seconds: 60, ..CAPABLE };
    let bench = Bench::with(dialect, Scripted::able(capabilities)).await;
    let lost = proto::ResolveOperationRequest {
        operation_id: stuck(&bench).await,
        code: "not_received".to_owned(),
        reason: "asked their support".to_owned(),
        ..Default::default()
    };
    let moved = proto::ResolveOperationRequest {
        succeeded: true,
        code: String::new(),
        psp_reference: "psp_9".to_owned(),
        ..lost.clone()
    };
    // Both are possible as long as neither is said.
    let dry = proto::ResolveOperationRequest { validate_only: true, ..moved.clone() };
    let before = all(&bench).await;
    let would = bench.payments.edge().resolve_operation(Request::new(dry)).await.unwrap();
    let would = would.into_inner().operation.unwrap();
    assert_eq!((would.state(), would.stage.as_str()), (proto::OperationState::Succeeded, "DONE"));
    assert_eq!(would.psp_reference, "psp_9");
    assert_eq!(all(&bench).await, before);
    let nothing = proto::ResolveOperationRequest { code: String::new(), ..lost.clone() };
    assert_eq!(resolve(&bench, &nothing).await.unwrap_err().code(), Code::InvalidArgument);
    let operation_id = Uuid::from_u128(9).to_string();
    let unknown = proto::ResolveOperationRequest { operation_id, ..lost.clone() };
    assert_eq!(resolve(&bench, &unknown).await.unwrap_err().code(), Code::NotFound);
    // Said, and said again; then nothing else is taken.
    for _ in 0..2 {
        let answer = resolve(&bench, &lost).await.unwrap();
        assert_eq!(answer.state(), proto::OperationState::Declined);
    }
    let refused = resolve(&bench, &moved).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    bench.laws_hold().await;
}

async fn what_would_be_done_about_a_webhook_is_not_done(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    tell_strange(&bench, "[1]").await;
    let look = proto::ResolveWebhookRequest {
        psp: "scripted".to_owned(),
        event_id: body_id(b"[1]"),
        drop: false,
        reason: "perhaps now".to_owned(),
        validate_only: false,
    };
    let drop = proto::ResolveWebhookRequest { drop: true, ..look.clone() };
    let unknown = proto::ResolveWebhookRequest { event_id: "evt_9".to_owned(), ..look.clone() };
    assert_eq!(decide(&bench, &unknown).await.unwrap_err().code(), Code::NotFound);
    let silent = proto::ResolveWebhookRequest { reason: String::new(), ..look.clone() };
    assert_eq!(decide(&bench, &silent).await.unwrap_err().code(), Code::InvalidArgument);
    for _ in 0..2 {
        let waits = decide(&bench, &look).await.unwrap();
        assert_eq!(waits.state(), proto::WebhookState::Waiting);
    }
    let refused = decide(&bench, &drop).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    hear(&bench).await;
    assert_eq!(kept(&bench, &look.event_id).await.state, WebhookState::Parked);
    assert_eq!(decide(&bench, &drop).await.unwrap().state(), proto::WebhookState::Dropped);
    bench.laws_hold().await;
}

on_both! {
    an_attempt_that_is_only_asked_about_is_not_made,
    each_refusal_of_an_attempt_is_told_before,
    whatever_happened_an_attempt_is_answered_as_it_would_be,
    what_a_person_would_say_of_an_operation_is_not_said,
    what_would_be_done_about_a_webhook_is_not_done,
}
