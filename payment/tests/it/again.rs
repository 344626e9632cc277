//! What is said again changes nothing; other content under the same id is refused.

use futures::future::join_all;
use payment::domain::{OperationKind, Stage, WebhookState};
use payment::grpc::proto;
use payment::grpc::proto::payment_service_server::PaymentService as _;
use psp::Capabilities;
use psp::webhook::body_id;
use shared_events::contract::{CapturePolicy, OrderId};
use shared_events::stream::Dialect;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::domain::support::CAPABLE;
use crate::on_both::on_both;
use crate::scripted::{Act, Scripted};
use crate::support::{Bench, Story};
use crate::webhooks::{hear, kept, tell_strange};

const FULFIL: CapturePolicy = CapturePolicy::OnFulfil;
const AUTHORIZE: OperationKind = OperationKind::Authorize;

/// What operators did, as it is recorded.
async fn actions(bench: &Bench) -> i64 {
    let count = "SELECT COUNT(*) FROM operator_actions";
    let (count,): (i64,) = sqlx::query_as(count).fetch_one(bench.database.reader()).await.unwrap();
    count
}

async fn attempt(
    bench: &Bench,
    (order, attempt): (OrderId, u128),
    psp_token: &str,
) -> Result<proto::AttemptResponse, Status> {
    let request = proto::AttemptRequest {
        order_id: order.to_string(),
        attempt_id: Uuid::from_u128(attempt).to_string(),
        psp_token: psp_token.to_owned(),
        validate_only: false,
    };
    bench.payments.edge().attempt(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn an_attempt_with_another_token_needs_another_id(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    let mut story = Story::new();
    let order = story.order_id;
    let other = async |bench: &Bench| {
        let refused = attempt(bench, (order, 1), "tok_2").await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        assert!(!format!("{refused:?}").contains("tok_"), "{refused:?}");
    };
    assert!(attempt(&bench, (order, 1), "tok_1").await.unwrap().waits);
    other(&bench).await;
    assert!(attempt(&bench, (order, 1), "tok_1").await.unwrap().waits);
    // The same id is another attempt of another order.
    assert!(attempt(&bench, (Story::new().order_id, 1), "tok_2").await.unwrap().waits);
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.turns().await;
    let before = bench.case(order).await;
    assert!(before.secured);
    // The first token is gone, and so is the process that had it.
    bench.restart();
    other(&bench).await;
    assert!(!attempt(&bench, (order, 1), "tok_1").await.unwrap().waits);
    assert_eq!(bench.case(order).await, before);
    // No token, nor a hash that is the same in another attempt.
    let kept: Vec<(String,)> = sqlx::query_as("SELECT pays_with FROM attempts")
        .fetch_all(bench.database.reader())
        .await
        .unwrap();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|(hash,)| hash.len() == 64), "{kept:?}");
    assert_ne!(kept[0], kept[1]);
    bench.laws_hold().await;
}

/// An operation of which nobody knows what became.
pub async fn stuck(bench: &Bench) -> String {
    bench.psp.will(AUTHORIZE, [Act::LoseRequest]);
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    bench.wait(120);
    for _ in 0..40 {
        bench.turns().await;
        bench.wait(24 * 3_600);
    }
    let row = bench.operation(AUTHORIZE).await;
    assert_eq!(row.schedule.stage, Stage::Stuck);
    row.id.to_string()
}

async fn resolve(
    bench: &Bench,
    request: &proto::ResolveOperationRequest,
) -> Result<proto::Operation, Status> {
    let answer = bench.payments.edge().resolve_operation(Request::new(request.clone())).await?;
    Ok(answer.into_inner().operation.unwrap())
}

async fn what_became_of_an_operation_may_be_said_again(dialect: Dialect) {
    let capabilities = Capabilities { key_seconds: 60, ..CAPABLE };
    let bench = Bench::with(dialect, Scripted::able(capabilities)).await;
    let said = proto::ResolveOperationRequest {
        operation_id: stuck(&bench).await,
        code: "not_received".to_owned(),
        reason: "asked their support".to_owned(),
        ..Default::default()
    };
    // At the same time, and afterwards.
    for answer in join_all((0..4).map(|_| resolve(&bench, &said))).await {
        assert_eq!(answer.unwrap().state(), proto::OperationState::Declined);
    }
    let spelled = proto::ResolveOperationRequest {
        operation_id: said.operation_id.to_uppercase(),
        reason: " asked their support ".to_owned(),
        ..said.clone()
    };
    assert_eq!(resolve(&bench, &spelled).await.unwrap().code, "not_received");
    assert_eq!(actions(&bench).await, 1);
    let (code, reference) = (String::new(), "psp_9".to_owned());
    for other in [
        proto::ResolveOperationRequest { code: "lost".to_owned(), ..said.clone() },
        proto::ResolveOperationRequest { reason: "seen".to_owned(), ..said.clone() },
        proto::ResolveOperationRequest {
            succeeded: true,
            code,
            psp_reference: reference,
            ..said.clone()
        },
    ] {
        let refused = resolve(&bench, &other).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("not stuck"), "{refused}");
    }
    assert_eq!(actions(&bench).await, 1);
    bench.laws_hold().await;
}

async fn decide(
    bench: &Bench,
    request: &proto::ResolveWebhookRequest,
) -> Result<proto::Webhook, Status> {
    let answer = bench.payments.edge().resolve_webhook(Request::new(request.clone())).await?;
    Ok(answer.into_inner().webhook.unwrap())
}

async fn what_is_done_about_a_webhook_may_be_said_again(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    tell_strange(&bench, "[1]").await;
    let look = proto::ResolveWebhookRequest {
        psp: "scripted".to_owned(),
        event_id: body_id(b"[1]"),
        drop: false,
        reason: "perhaps now".to_owned(),
        validate_only: false,
    };
    for _ in 0..2 {
        let waits = decide(&bench, &look).await.unwrap();
        assert_eq!(waits.state(), proto::WebhookState::Waiting);
    }
    assert_eq!(actions(&bench).await, 1);
    // Parked once more, the same is said anew.
    hear(&bench).await;
    assert_eq!(kept(&bench, &look.event_id).await.state, WebhookState::Parked);
    decide(&bench, &look).await.unwrap();
    assert_eq!(actions(&bench).await, 2);
    hear(&bench).await;
    let drop = proto::ResolveWebhookRequest { drop: true, ..look.clone() };
    for answer in join_all((0..4).map(|_| decide(&bench, &drop))).await {
        assert_eq!(answer.unwrap().state(), proto::WebhookState::Dropped);
    }
    assert_eq!(actions(&bench).await, 3);
    let elsewhy = proto::ResolveWebhookRequest { reason: "forged".to_owned(), ..drop.clone() };
    for other in [look, elsewhy] {
        let refused = decide(&bench, &other).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    assert_eq!(actions(&bench).await, 3);
    bench.laws_hold().await;
}

async fn a_page_token_fits_its_filter_in_each_spelling(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut stories = [Story::new(), Story::new()];
    for story in &mut stories {
        bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    }
    let customer = Uuid::from_u128(7);
    let list = async |customer_id: String, page_token: &str| {
        let request = proto::ListPaymentsRequest {
            customer_id,
            page_size: 1,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let answer = bench.payments.edge().list_payments(Request::new(request)).await;
        answer.map(tonic::Response::into_inner)
    };
    let first = list(customer.to_string(), "").await.unwrap();
    for spelling in
        [customer.to_string(), customer.simple().to_string(), customer.urn().to_string()]
    {
        let second = list(spelling, &first.next_page_token).await.unwrap();
        assert_eq!((second.payments.len(), second.next_page_token.as_str()), (1, ""));
        assert_ne!(second.payments[0].payment_id, first.payments[0].payment_id);
    }
    let foreign = list(Uuid::from_u128(8).to_string(), &first.next_page_token).await;
    assert_eq!(foreign.unwrap_err().code(), Code::InvalidArgument);
}

on_both! {
    an_attempt_with_another_token_needs_another_id,
    what_became_of_an_operation_may_be_said_again,
    what_is_done_about_a_webhook_may_be_said_again,
    a_page_token_fits_its_filter_in_each_spelling,
}
