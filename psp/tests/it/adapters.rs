//! The adapters against the simulator in their dialect, over a socket, with faults. Every test runs
//! for both, where both can.

use std::sync::Arc;
use std::time::Duration;

use psp::simulator::http::{Service, serve};
use psp::simulator::{Script, Settings, SimulatedPsp};
use psp::{
    Answer, ApiKey, Authorize, Capture, Dialect, Endpoint, Found, Kind, Lookup, OurReference, Psp,
    PspReference, Razorpay, Refund, Stripe, Token, Void,
};
use shared_events::contract::Money;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::ports::free_port;
use crate::support::{code, key, money, reference, simulator, start};

const KEY: &str = "sk_test_simulated";

fn authorization(operation: u128, amount: Money, token: Token) -> Authorize {
    Authorize { key: key(operation), amount, token, customer: None, action_until: start() }
}

pub(crate) struct Provider {
    pub(crate) psp: Arc<dyn Psp>,
    pub(crate) simulated: SimulatedPsp,
    pub(crate) dialect: Dialect,
    pub(crate) url: String,
    _stop: DropGuard,
}

pub(crate) fn endpoint(url: &str, timeout: Duration) -> Endpoint {
    Endpoint { url: url.to_owned(), authorities: Vec::new(), timeout }
}

pub(crate) fn adapter(dialect: Dialect, url: &str, key: &str, timeout: Duration) -> Arc<dyn Psp> {
    let (endpoint, key) = (endpoint(url, timeout), ApiKey::new(key).unwrap());
    match dialect {
        Dialect::Razorpay => {
            Arc::new(Razorpay::new("razorpay", &endpoint, "rzp_test", key).unwrap())
        }
        _ => Arc::new(Stripe::new("stripe", &endpoint, key, true).unwrap().paying_out(true)),
    }
}

pub(crate) async fn provider(dialect: Dialect, settings: Settings) -> Provider {
    let simulated = simulator(settings);
    let service = Arc::new(Service::new(simulated.clone(), ApiKey::new(KEY)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, service, stop.clone()));
    let psp = adapter(dialect, &url, KEY, Duration::from_secs(30));
    Provider { psp, simulated, dialect, url, _stop: stop.drop_guard() }
}

const BOTH: [Dialect; 2] = [Dialect::Stripe, Dialect::Razorpay];

impl Provider {
    fn money(&self, minor: i64) -> Money {
        money(minor, if self.dialect == Dialect::Stripe { "GBP" } else { "INR" })
    }

    async fn authorize(&self, operation: u128, minor: i64, token: &str) -> Answer {
        self.authorize_money(operation, self.money(minor), token).await
    }

    async fn authorize_money(&self, operation: u128, amount: Money, token: &str) -> Answer {
        let token = token.parse().unwrap();
        let call = authorization(operation, amount, token);
        self.psp.authorize(call).await
    }

    async fn capture(&self, operation: u128, on: &PspReference, minor: i64, more: bool) -> Answer {
        let (authorization, amount) = (on.clone(), self.money(minor));
        let call = Capture { key: key(operation), authorization, amount, more_follows: more };
        self.psp.capture(call).await
    }

    async fn void(&self, operation: u128, on: &PspReference) -> Answer {
        self.psp.void(Void { key: key(operation), authorization: on.clone() }).await
    }

    async fn refund(&self, operation: u128, on: &PspReference, minor: i64) -> Answer {
        let (capture, amount) = (on.clone(), self.money(minor));
        self.psp.refund(Refund { key: key(operation), capture, amount }).await
    }

    async fn find(&self, operation: u128, kind: Kind, about: Option<&PspReference>) -> String {
        let operation = OurReference(Uuid::from_u128(operation));
        shown(self.psp.find(&Lookup { operation, kind, about: about.cloned() }).await)
    }

    async fn fetch(&self, operation: u128) -> String {
        shown(self.psp.fetch(OurReference(Uuid::from_u128(operation))).await)
    }

    fn say(&self, kind: Kind, script: &str) {
        let script: Script = script.parse().unwrap();
        self.simulated.with(|simulator, _| simulator.say(kind, None, script)).unwrap();
    }

    /// Authorised, released, captured, refunded, disputed: of all payments together.
    fn book(&self) -> [i64; 5] {
        self.simulated.with(|simulator, _| {
            assert!(simulator.book().is_sound());
            let mut all = [0; 5];
            for (_, _, sums) in simulator.book().payments() {
                let of =
                    [sums.authorized, sums.released, sums.captured, sums.refunded, sums.disputed];
                for (sum, more) in all.iter_mut().zip(of) {
                    *sum += more;
                }
            }
            all
        })
    }
}

pub(crate) fn shown(found: Found) -> String {
    match found {
        Found::Known(answer) => code(&answer),
        Found::Nothing => "nothing".to_owned(),
        Found::Unknown { why } => format!("unknown: {why}"),
    }
}

#[tokio::test]
async fn money_is_authorized_captured_and_refunded() {
    for dialect in BOTH {
        let at = provider(dialect, Settings::default()).await;
        let authorized = at.authorize(1, 5_000, "tok_visa").await;
        assert_eq!(code(&authorized), "done 5000", "{dialect} {authorized:?}");
        let authorization = reference(&authorized);
        assert_eq!(at.find(1, Kind::Authorize, None).await, "done 5000", "{dialect}");
        assert_eq!(at.find(2, Kind::Capture, Some(&authorization)).await, "nothing", "{dialect}");
        let captured = at.capture(2, &authorization, 5_000, false).await;
        assert_eq!(code(&captured), "done 5000", "{dialect} {captured:?}");
        assert_eq!(at.find(2, Kind::Capture, Some(&authorization)).await, "done 5000", "{dialect}");
        let capture = reference(&captured);
        assert_eq!(at.find(3, Kind::Refund, Some(&capture)).await, "nothing", "{dialect}");
        assert_eq!(code(&at.refund(3, &capture, 1_500).await), "done 1500", "{dialect}");
        assert_eq!(at.find(3, Kind::Refund, Some(&capture)).await, "done 1500", "{dialect}");
        let answer = code(&at.refund(4, &capture, 3_501).await);
        assert_eq!(answer, "refused refund_too_large", "{dialect}");
        assert_eq!(code(&at.refund(5, &capture, 3_500).await), "done 3500", "{dialect}");
        assert_eq!(at.book(), [5_000, 0, 5_000, 5_000, 0], "{dialect}");
        // It stays authorised and captured, whatever became of it since.
        assert_eq!(at.find(1, Kind::Authorize, None).await, "done 5000", "{dialect}");
    }
}

#[tokio::test]
async fn every_lost_answer_is_unknown_and_moves_money_once() {
    // Cases 1 (medusa#16292) and 2 (medusa#16681).
    for dialect in BOTH {
        for script in ["timeout_after", "error_after", "timeout_before", "error_before"] {
            let about = format!("{dialect} {script}");
            let happened = script.ends_with("after");
            let at = provider(dialect, Settings::default()).await;
            at.say(Kind::Authorize, script);
            assert_eq!(code(&at.authorize(1, 5_000, "tok_visa").await), "unknown", "{about}");
            let found = at.find(1, Kind::Authorize, None).await;
            assert_eq!(found, if happened { "done 5000" } else { "nothing" }, "{about}");
            let authorized = at.authorize(1, 5_000, "tok_visa").await;
            assert_eq!(code(&authorized), "done 5000", "{about}");
            let authorization = reference(&authorized);
            at.say(Kind::Capture, script);
            let answer = at.capture(2, &authorization, 5_000, false).await;
            assert_eq!(code(&answer), "unknown", "{about}");
            let captured = at.capture(2, &authorization, 5_000, false).await;
            assert_eq!(code(&captured), "done 5000", "{about}");
            let capture = reference(&captured);
            at.say(Kind::Refund, script);
            assert_eq!(code(&at.refund(3, &capture, 700).await), "unknown", "{about}");
            let found = at.find(3, Kind::Refund, Some(&capture)).await;
            assert_eq!(found, if happened { "done 700" } else { "nothing" }, "{about}");
            for _ in 0..3 {
                assert_eq!(code(&at.refund(3, &capture, 700).await), "done 700", "{about}");
            }
            assert_eq!(at.book(), [5_000, 0, 5_000, 700, 0], "{about}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_unknown() {
    for dialect in BOTH {
        let at = provider(dialect, Settings::default()).await;
        let hasty = adapter(dialect, &at.url, KEY, Duration::from_millis(300));
        let call = |token: &str| Authorize {
            key: key(1),
            amount: at.money(100),
            token: token.parse().unwrap(),
            customer: None,
            action_until: start(),
        };
        let answer = hasty.authorize(call("tok_slow")).await;
        assert_eq!(answer, Answer::Unknown { why: "no answer in time".to_owned() }, "{dialect}");
        assert_eq!(at.find(1, Kind::Authorize, None).await, "done 100", "{dialect}");
        assert_eq!(code(&at.psp.authorize(call("tok_slow")).await), "done 100", "{dialect}");
        assert_eq!(at.book(), [100, 0, 0, 0, 0], "{dialect}");
    }
}

#[tokio::test]
async fn declines_have_the_code_of_the_issuer() {
    for dialect in BOTH {
        let at = provider(dialect, Settings::default()).await;
        let answer = at.authorize(1, 100, "tok_decline_insufficient_funds").await;
        assert_eq!(code(&answer), "declined insufficient_funds", "{dialect}");
        assert_eq!(at.find(1, Kind::Authorize, None).await, "declined insufficient_funds");
        // Case 11 (open-forms#5942): it succeeds later all the same.
        let answer = at.authorize(2, 100, "tok_late_success").await;
        assert_eq!(code(&answer), "declined card_declined", "{dialect}");
        at.simulated.advance(Duration::from_secs(2 * 3600));
        assert_eq!(at.find(2, Kind::Authorize, None).await, "done 100", "{dialect}");
    }
}

#[tokio::test]
async fn what_is_worked_on_is_pending_until_it_is_known() {
    for dialect in BOTH {
        let at = provider(dialect, Settings::default()).await;
        assert_eq!(code(&at.authorize(1, 100, "tok_pending").await), "pending", "{dialect}");
        assert_eq!(at.find(1, Kind::Authorize, None).await, "pending", "{dialect}");
        at.simulated.advance(Duration::from_secs(300));
        assert_eq!(at.find(1, Kind::Authorize, None).await, "done 100", "{dialect}");
        let authorization = reference(&at.authorize(1, 100, "tok_pending").await);
        let capture = reference(&at.capture(2, &authorization, 100, false).await);
        at.say(Kind::Refund, "pending_fails");
        assert_eq!(code(&at.refund(3, &capture, 60).await), "pending", "{dialect}");
        at.simulated.advance(Duration::from_secs(300));
        let found = at.find(3, Kind::Refund, Some(&capture)).await;
        assert_eq!(found, "declined refund_failed", "{dialect}");
        assert_eq!(code(&at.refund(4, &capture, 100).await), "done 100", "{dialect}");
    }
}

#[tokio::test]
async fn a_customer_is_sent_to_where_they_act() {
    for dialect in BOTH {
        let at = provider(dialect, Settings::default()).await;
        let answer = at.authorize(1, 100, "tok_action").await;
        let Answer::ActionRequired { reference, url } = answer else {
            panic!("{dialect} {answer:?}");
        };
        assert!(url.starts_with("https://simulator.invalid/act/pi_"), "{dialect} {url}");
        let payment = reference.as_str().replacen("pay_", "pi_", 1).parse().unwrap();
        assert!(at.simulated.with(|simulator, at| simulator.act(&payment, true, at)), "{dialect}");
        assert_eq!(at.find(1, Kind::Authorize, None).await, "done 100", "{dialect}");
    }
}

#[tokio::test]
async fn a_payment_of_another_operation_pays_nothing_at_razorpay() {
    let at = provider(Dialect::Razorpay, Settings::default()).await;
    let payment = reference(&at.authorize(1, 100, "tok_visa").await);
    let other = at.authorize(2, 100, payment.as_str()).await;
    assert_eq!(code(&other), "refused payment_of_another");
    assert_eq!(at.find(2, Kind::Authorize, None).await, "nothing");
    assert_eq!(code(&at.authorize(2, 100, "pay_none").await), "refused input_validation_failed");
    assert_eq!(at.book(), [100, 0, 0, 0, 0]);
    // A payment without an order is nobody's, whatever the customer's browser noted on it.
    let alone = r#"{"id":"pay_1","amount":100,"currency":"INR","status":"authorized",
        "order_id":null,"notes":{"ordinal":"00000000-0000-0000-0000-000000000001"}}"#;
    let url = answering(response(200, alone)).await;
    let psp = adapter(Dialect::Razorpay, &url, KEY, Duration::from_secs(30));
    let (token, amount) = ("pay_1".parse().unwrap(), money(100, "INR"));
    let call = authorization(1, amount, token);
    assert_eq!(code(&psp.authorize(call).await), "refused payment_of_another");
}

#[tokio::test]
async fn reserved_money_goes_back() {
    let at = provider(Dialect::Stripe, Settings::default()).await;
    let authorization = reference(&at.authorize(1, 100, "tok_visa").await);
    assert_eq!(at.find(2, Kind::Void, Some(&authorization)).await, "nothing");
    at.say(Kind::Void, "timeout_after");
    assert_eq!(code(&at.void(2, &authorization).await), "unknown");
    assert_eq!(at.find(2, Kind::Void, Some(&authorization)).await, "done 100");
    assert_eq!(code(&at.void(2, &authorization).await), "done 100");
    assert_eq!(at.book(), [100, 100, 0, 0, 0]);
    // Case 17 (spree#14561): captured money is not voided.
    let authorization = reference(&at.authorize(3, 100, "tok_visa").await);
    at.capture(4, &authorization, 100, false).await;
    assert_eq!(code(&at.void(5, &authorization).await), "refused already_captured");
    // Razorpay gives it back by itself, when its time is over.
    let at = provider(Dialect::Razorpay, Settings::default()).await;
    let authorization = reference(&at.authorize(1, 100, "tok_visa").await);
    assert_eq!(code(&at.void(2, &authorization).await), "pending");
    at.simulated.advance(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(at.find(2, Kind::Void, Some(&authorization)).await, "done 100");
    assert_eq!(at.book(), [100, 100, 0, 0, 0]);
    let authorization = reference(&at.authorize(3, 100, "tok_visa").await);
    at.capture(4, &authorization, 100, false).await;
    assert_eq!(code(&at.void(5, &authorization).await), "refused already_captured");
}

#[tokio::test]
async fn two_parcels_are_two_captures_at_stripe() {
    // Case 18 (spree#6339), with an answer lost in between; case 19: the last releases the rest.
    let at = provider(Dialect::Stripe, Settings::default()).await;
    let authorization = reference(&at.authorize(1, 5_000, "tok_visa").await);
    at.say(Kind::Capture, "timeout_after");
    assert_eq!(code(&at.capture(2, &authorization, 2_500, true).await), "unknown");
    assert_eq!(at.find(2, Kind::Capture, Some(&authorization)).await, "done 2500");
    assert_eq!(at.find(3, Kind::Capture, Some(&authorization)).await, "nothing");
    assert_eq!(code(&at.capture(2, &authorization, 2_500, true).await), "done 2500");
    assert_eq!(code(&at.capture(3, &authorization, 2_000, false).await), "done 2000");
    assert_eq!(at.book(), [5_000, 500, 4_500, 0, 0]);
    assert_eq!(at.fetch(3).await, "done 2000");
    assert_eq!(at.fetch(99).await, "unknown: more refunds than are looked through");
}

#[tokio::test]
async fn what_is_left_after_a_parcel_goes_back_at_stripe() {
    // Case 19 (paypal/Checkout-PHP-SDK#76): what was taken stays.
    let at = provider(Dialect::Stripe, Settings::default()).await;
    let authorization = reference(&at.authorize(1, 5_000, "tok_visa").await);
    assert_eq!(code(&at.capture(2, &authorization, 2_000, true).await), "done 2000");
    assert_eq!(at.find(3, Kind::Void, Some(&authorization)).await, "nothing");
    at.say(Kind::Void, "timeout_after");
    assert_eq!(code(&at.void(3, &authorization).await), "unknown");
    assert_eq!(at.find(3, Kind::Void, Some(&authorization)).await, "done 3000");
    assert_eq!(code(&at.void(3, &authorization).await), "done 3000");
    assert_eq!(at.book(), [5_000, 3_000, 2_000, 0, 0]);
    // Where all of it was taken, nothing was given back.
    let authorization = reference(&at.authorize(4, 100, "tok_visa").await);
    at.capture(5, &authorization, 100, false).await;
    assert_eq!(at.find(6, Kind::Void, Some(&authorization)).await, "nothing");
}

#[tokio::test]
async fn a_part_of_a_payment_is_not_taken_at_razorpay() {
    let at = provider(Dialect::Razorpay, Settings::default()).await;
    let authorization = reference(&at.authorize(1, 100, "tok_visa").await);
    let part = at.capture(2, &authorization, 60, false).await;
    assert_eq!(code(&part), "refused amount_must_be_that_of_the_payment");
    assert_eq!(at.find(2, Kind::Capture, Some(&authorization)).await, "nothing");
    assert_eq!(at.book(), [100, 0, 0, 0, 0]);
    assert_eq!(code(&at.capture(3, &authorization, 100, false).await), "done 100");
}

#[tokio::test]
async fn a_capture_that_was_made_elsewhere_is_done_at_razorpay() {
    // Case 3 (medusa#13301): ours hears "already captured".
    let at = provider(Dialect::Razorpay, Settings::default()).await;
    let authorization = reference(&at.authorize(1, 100, "tok_visa").await);
    assert_eq!(code(&at.capture(2, &authorization, 100, false).await), "done 100");
    assert_eq!(code(&at.capture(3, &authorization, 100, false).await), "done 100");
    // Of another amount it is not what was asked for.
    let answer = at.capture(4, &authorization, 99, false).await;
    assert_eq!(code(&answer), "refused payment_already_captured");
    assert_eq!(at.book(), [100, 0, 100, 0, 0]);
}

#[tokio::test]
async fn a_payment_of_their_page_is_looked_at() {
    let at = provider(Dialect::Razorpay, Settings::default()).await;
    let theirs = reference(&at.authorize(1, 100, "tok_visa").await);
    // Of the order whose receipt is the operation, as often as it is asked.
    for _ in 0..2 {
        let answer = at.authorize(1, 100, theirs.as_str()).await;
        assert_eq!((code(&answer), reference(&answer)), ("done 100".to_owned(), theirs.clone()));
    }
    assert_eq!(at.book(), [100, 0, 0, 0, 0]);
}

#[tokio::test]
async fn refused_requests_are_told_from_busy_ones() {
    for dialect in BOTH {
        let at = provider(dialect, Settings::default()).await;
        at.say(Kind::Authorize, "busy");
        let answer = at.authorize(1, 100, "tok_visa").await;
        assert_eq!(code(&answer), "refused for now rate_limited", "{dialect}");
        assert_eq!(code(&at.authorize(1, 100, "tok_visa").await), "done 100", "{dialect}");
        let refused = at.authorize(2, 100, "tok_refuse_bad_token").await;
        assert_eq!(code(&refused), "refused bad_token", "{dialect}");
        let stranger = adapter(dialect, &at.url, "sk_other", Duration::from_secs(30));
        let call = Authorize {
            key: key(3),
            amount: at.money(100),
            token: "tok_visa".parse().unwrap(),
            customer: None,
            action_until: start(),
        };
        let answer = code(&stranger.authorize(call).await);
        assert_eq!(answer, "refused for now not_authenticated", "{dialect}");
        let none: PspReference = "pi_none".parse().unwrap();
        assert!(code(&at.capture(4, &none, 100, false).await).starts_with("refused "), "{dialect}");
    }
    let at = provider(Dialect::Stripe, Settings::default()).await;
    at.authorize(1, 100, "tok_visa").await;
    let answer = at.authorize(1, 101, "tok_visa").await;
    assert_eq!(code(&answer), "refused idempotency_key_reused");
}

#[tokio::test]
async fn nobody_is_asked_for_an_amount_that_cannot_be_said() {
    // Cases 27 (moodle-paygw_stripe#2) and 28 (woo-stripe#2720).
    for dialect in BOTH {
        let at = provider(dialect, Settings::default()).await;
        let yen = at.authorize_money(1, money(10_000, "JPY"), "tok_visa").await;
        assert_eq!(code(&yen), "done 10000", "{dialect}");
        let dinar = at.authorize_money(2, money(35_200, "KWD"), "tok_visa").await;
        assert_eq!(code(&dinar), "done 35200", "{dialect}");
        let finer = at.authorize_money(3, money(35_205, "KWD"), "tok_visa").await;
        assert_eq!(code(&finer), "refused amount_not_expressible", "{dialect}");
        assert_eq!(at.book(), [45_200, 0, 0, 0, 0], "{dialect}");
    }
}

#[tokio::test]
async fn an_operation_is_found_after_the_grace() {
    // Case 6 (hyperswitch#10285).
    for dialect in BOTH {
        let at = provider(dialect, Settings::default()).await;
        at.say(Kind::Authorize, "unseen");
        assert_eq!(code(&at.authorize(1, 100, "tok_visa").await), "done 100", "{dialect}");
        assert_ne!(at.find(1, Kind::Authorize, None).await, "done 100", "{dialect}");
        at.simulated.advance(Duration::from_secs(30));
        assert_eq!(at.find(1, Kind::Authorize, None).await, "done 100", "{dialect}");
    }
}

#[test]
fn what_a_search_does_not_find_for_a_minute_proves_nothing() {
    let url = "https://provider.example";
    for dialect in BOTH {
        let psp = adapter(dialect, url, KEY, Duration::from_secs(30));
        assert_eq!(psp.capabilities().grace_seconds, 60, "{dialect}");
    }
    let (endpoint, key) = (endpoint(url, Duration::from_secs(30)), ApiKey::new(KEY).unwrap());
    let simulated = Stripe::new("stripe", &endpoint, key, true).unwrap().simulated();
    assert_eq!(simulated.capabilities().grace_seconds, 1);
}

#[tokio::test]
async fn a_provider_that_is_away_is_unknown() {
    for dialect in BOTH {
        let url = format!("http://127.0.0.1:{}", free_port());
        let psp = adapter(dialect, &url, KEY, Duration::from_secs(30));
        let amount = money(100, "INR");
        let token = "tok_visa".parse().unwrap();
        let call = authorization(1, amount, token);
        let answer = psp.authorize(call).await;
        assert_eq!(answer, Answer::Unknown { why: "connection lost".to_owned() }, "{dialect}");
    }
}

/// A server that answers every request with these bytes, and closes.
async fn answering(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut some = [0; 8192];
            let _ = stream.read(&mut some).await;
            let _ = stream.write_all(&bytes).await;
        }
    });
    url
}

fn response(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nlocation: /\r\n\r\n{body}")
        .into_bytes()
}

#[tokio::test]
async fn every_status_and_body_is_one_of_the_five_answers() {
    let (unknown, refused, busy) = ("unknown", "refused", "refused for now");
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    let cut = b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{\"id\":".to_vec();
    let intent = r#"{"id":"pi_1","currency":"gbp","status":"requires_capture","#;
    let half = format!("{intent}\"amount_capturable\":\"lots\"}}");
    for (answer, expected) in [
        (response(200, "{}"), unknown),
        (response(200, "not JSON"), unknown),
        (response(200, &large), unknown),
        (response(200, r#"{"id":"has a space","currency":"gbp","status":"x"}"#), unknown),
        (response(200, r#"{"id":"pi_1","currency":"???","status":"requires_capture"}"#), unknown),
        (response(204, ""), unknown),
        (response(301, ""), unknown),
        (response(400, "{}"), refused),
        (response(401, "{}"), busy),
        (response(403, "{}"), busy),
        (response(404, "[]"), refused),
        (response(409, "{}"), unknown),
        (response(422, "not JSON"), refused),
        (response(429, ""), busy),
        (response(500, "{}"), unknown),
        (response(502, "<html>"), unknown),
        (response(503, ""), unknown),
        (response(599, ""), unknown),
        (cut, unknown),
        (b"nonsense\r\n\r\n".to_vec(), unknown),
        (Vec::new(), unknown),
    ] {
        let url = answering(answer.clone()).await;
        for dialect in BOTH {
            let psp = adapter(dialect, &url, KEY, Duration::from_secs(30));
            let (token, amount) = ("tok_visa".parse().unwrap(), money(100, "INR"));
            let call = authorization(1, amount, token);
            let given = psp.authorize(call).await;
            let text = String::from_utf8_lossy(&answer[..answer.len().min(80)]).into_owned();
            assert!(code(&given).starts_with(expected), "{dialect} {given:?} to {text}");
            assert!(!format!("{given:?}").contains("127.0.0.1"), "{given:?}");
            assert_ne!(given, Answer::Unknown { why: String::new() }, "{text} has no reason");
        }
    }
    // An amount that is not a number is no amount: nothing is taken as authorised.
    let url = answering(response(200, &half)).await;
    let psp = adapter(Dialect::Stripe, &url, KEY, Duration::from_secs(30));
    let (token, amount) = ("tok_visa".parse().unwrap(), money(100, "GBP"));
    let call = authorization(1, amount, token);
    assert_eq!(code(&psp.authorize(call).await), "unknown");
}

#[tokio::test]
async fn the_same_call_ten_times_at_once_moves_money_once() {
    // Case 4 (APIS#193), seen from the provider.
    let at = provider(Dialect::Stripe, Settings::default()).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (psp, amount) = (Arc::clone(&at.psp), at.money(100));
        calls.spawn(async move {
            let token = "tok_visa".parse().unwrap();
            psp.authorize(authorization(1, amount, token)).await
        });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(at.book(), [100, 0, 0, 0, 0]);
    // Another operation of the same amount is another payment.
    assert_ne!(at.authorize(2, 100, "tok_visa").await, answers[0]);
    assert_eq!(at.book(), [200, 0, 0, 0, 0]);
}

#[tokio::test]
async fn an_authorization_says_until_when_it_stands() {
    // Case 15 (woo-stripe#1378): who knows that can warn before.
    let at = provider(Dialect::Stripe, Settings::default()).await;
    let Answer::Done { valid_until, reference, .. } = at.authorize(1, 100, "tok_visa").await else {
        panic!("not done");
    };
    let week = Duration::from_secs(7 * 24 * 3600);
    assert_eq!(valid_until, Some(start().plus(week)));
    at.simulated.advance(week);
    let answer = at.capture(2, &reference, 100, false).await;
    assert_eq!(code(&answer), "refused authorization_expired");
}

#[test]
fn keys_are_sent_only_where_nobody_else_reads_them() {
    for (url, fits) in [
        ("https://api.example.com", true),
        ("http://127.0.0.1:1", true),
        ("http://api.example.com", false),
        ("https://anna:secret@api.example.com", false),
        ("https://api.example.com/?a=b", false),
        ("nonsense", false),
    ] {
        let endpoint = endpoint(url, Duration::from_secs(1));
        let made = Stripe::new("stripe", &endpoint, ApiKey::new(KEY).unwrap(), false);
        assert_eq!(made.is_ok(), fits, "{url}");
    }
    assert!(ApiKey::new("").is_none() && ApiKey::new("a b").is_none());
    assert!(!format!("{:?}", ApiKey::new(KEY)).contains(KEY));
}
