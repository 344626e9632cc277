use http::Response;
use psp::{CallKey, PspReference};
use service_edge::Refused;
use shared_events::contract::Timestamp;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;

use super::*;

const OPERATION: Uuid = Uuid::from_u128(7);

/// Wallets of a ledger that answers every call with this status.
fn answering(status: &Status) -> Wallets {
    let status = status.clone();
    let answer = tower::service_fn(move |_: http::Request<Body>| {
        let status = status.clone();
        async move { Err::<Response<Body>, Status>(status) }
    });
    let wallets = Wallets::default();
    wallets.connect(BoxCloneSyncService::new(answer), Identity::default());
    wallets
}

fn gbp(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}

fn key() -> CallKey {
    CallKey { operation: OPERATION, generation: 0 }
}

fn authorize(token: &str, customer: Option<CustomerId>) -> Authorize {
    let token = token.parse().unwrap();
    let action_until = Timestamp::from_micros(0);
    Authorize { key: key(), amount: gbp(100), token, customer, action_until }
}

fn reference() -> PspReference {
    OPERATION.to_string().parse().unwrap()
}

/// Wallets of a ledger that never answers.
fn silent() -> Wallets {
    let silence = |_: http::Request<Body>| std::future::pending::<Result<Response<Body>, Status>>();
    let wallets = Wallets::default();
    let wire = BoxCloneSyncService::new(tower::service_fn(silence));
    wallets.connect(wire, Identity::default());
    wallets
}

/// What each call and question comes to at these.
async fn told(wallets: &Wallets) -> Vec<String> {
    let customer = Some(CustomerId::from_uuid(Uuid::from_u128(1)));
    let (key, amount) = (key(), gbp(100));
    let capture = Capture { key, authorization: reference(), amount, more_follows: false };
    let mut told = vec![
        wallets.authorize(authorize("wallet", customer)).await,
        wallets.capture(capture).await,
        wallets.void(Void { key, authorization: reference() }).await,
    ];
    told.push(wallets.refund(Refund { key, capture: reference(), amount }).await);
    let shown = told.into_iter().map(|answer| match answer {
        Answer::Declined { code } => format!("declined {code}"),
        Answer::Refused { code, repairable: true } => format!("refused for now {code}"),
        Answer::Refused { code, repairable: false } => format!("refused {code}"),
        Answer::Unknown { .. } => "unknown".to_owned(),
        other => format!("{other:?}"),
    });
    let mut shown: Vec<String> = shown.collect();
    let lookup = Lookup {
        operation: OurReference(OPERATION),
        kind: Kind::Capture,
        about: Some(reference()),
    };
    shown.push(match wallets.find(&lookup).await {
        Found::Nothing => "nothing".to_owned(),
        Found::Unknown { .. } => "cannot be asked".to_owned(),
        Found::Known(answer) => format!("{answer:?}"),
    });
    shown
}

const UNKNOWN: [&str; 5] = ["unknown", "unknown", "unknown", "unknown", "cannot be asked"];

/// Nothing is guessed: whoever gives no definite answer is asked later.
#[tokio::test]
async fn a_ledger_that_is_away_is_unknown() {
    for status in [
        Status::unavailable("away"),
        Status::deadline_exceeded("late"),
        Status::internal("fault"),
        Refused::new(Reason::LedgerUnavailable).say("away"),
        Refused::stopping(),
    ] {
        assert_eq!(told(&answering(&status)).await, UNKNOWN, "{status}");
    }
    // Also before it is known where the ledger is.
    let wallets = Wallets::default();
    let answer =
        wallets.authorize(authorize("wallet", Some(CustomerId::from_uuid(OPERATION)))).await;
    assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
}

/// Also where the ledger is in this process, which sets no time of its own.
#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_silent_is_given_up() {
    assert_eq!(told(&silent()).await, UNKNOWN);
}

#[tokio::test]
async fn a_definite_no_of_the_ledger_is_a_decline() {
    let refused = |reason: Reason| Refused::new(reason).with("state", "POSTED");
    for (reason, code) in [
        (Reason::InsufficientFunds, "declined insufficient_funds"),
        (Reason::AccountNotOpen, "declined wallet_not_found"),
        (Reason::HoldNotFound, "declined authorization_not_found"),
        (Reason::MoreThanHeld, "declined more_than_authorized"),
        (Reason::HoldEnded, "declined already_captured"),
        // The book has an answer to that id, which is asked for.
        (Reason::IdempotencyKeyReused, "unknown"),
        (Reason::Overloaded, "refused for now rate_limited"),
        (Reason::Forbidden, "refused for now not_authenticated"),
    ] {
        let status = refused(reason).say("no");
        let told = told(&answering(&status)).await;
        assert_eq!(told[1], code, "{status}");
    }
}

#[tokio::test]
async fn only_the_wallet_of_the_orders_own_customer_pays() {
    let wallets = answering(&Status::unavailable("away"));
    let other = wallets.authorize(authorize("tok_visa", None)).await;
    assert_eq!(other, declined("token_not_wallet"));
    let nobodys = wallets.authorize(authorize("wallet", None)).await;
    assert_eq!(nobodys, refused("customer_unknown"));
}
