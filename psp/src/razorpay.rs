//! Payments by Razorpay's REST interface: an order of theirs for each authorisation of ours, whose
//! receipt is our operation, with the payment under it.
//!
//! Only refunds have a key there. So an authorisation first looks for its order, and a capture that
//! is refused looks whether the payment is captured already. Reserved money cannot be given back on
//! demand: it goes back by itself at the end of the capture window.

use async_trait::async_trait;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shared_events::contract::{Currency, Money};
use uuid::Uuid;

use crate::http::{ApiKey, Endpoint, Http, HttpError, Lost};
use crate::webhook::code;
use crate::{
    Answer, Authorize, Capabilities, Capture, Dialect, Found, Kind, Lookup, OurReference, Psp,
    PspReference, Refund, Theirs, Void,
};

/// Refunds of a payment that are looked through.
const REFUNDS_MAX: usize = 100;

/// Razorpay.
#[derive(Clone)]
pub struct Razorpay {
    name: String,
    key_id: String,
    secret: ApiKey,
    http: Http,
}

impl Razorpay {
    /// Razorpay at an endpoint, for a key with its secret.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn new(
        name: &str,
        endpoint: &Endpoint,
        key_id: &str,
        secret: ApiKey,
    ) -> Result<Self, HttpError> {
        let (name, key_id) = (name.to_owned(), key_id.to_owned());
        Ok(Self { name, key_id, secret, http: Http::new(endpoint)? })
    }

    async fn call(&self, request: RequestBuilder) -> Result<Value, Answer> {
        let request = request.basic_auth(&self.key_id, Some(self.secret.expose()));
        let heard = self.http.send(request).await;
        let heard = heard.map_err(|Lost(why)| Answer::Unknown { why })?;
        if heard.status.is_success() {
            return Ok(heard.body);
        }
        Err(of_error(heard.status, &heard.body))
    }

    async fn get(&self, parts: &[&str], query: &[(&str, &str)]) -> Result<Value, Answer> {
        let mut url = self.http.url(parts);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.call(self.http.get(url)).await
    }

    async fn post(&self, parts: &[&str], body: &Value) -> Result<Value, Answer> {
        self.call(self.http.post(self.http.url(parts)).json(body)).await
    }

    async fn payment(&self, reference: &PspReference) -> Result<Payment, Answer> {
        let body = self.get(&["v1", "payments", reference.as_str()], &[]).await?;
        Payment::read(&body)
    }

    /// Whether a payment is of the order whose receipt is our operation. Only the shop's own key
    /// writes a receipt; what a payment says of itself comes from the customer's browser.
    async fn is_of(&self, payment: &Payment, our: OurReference) -> Result<bool, Answer> {
        let Some(order) = payment.order.as_deref() else { return Ok(false) };
        let order = self.get(&["v1", "orders", order], &[]).await?;
        let receipt = order.get("receipt").and_then(Value::as_str);
        Ok(receipt == Some(&our.0.to_string()))
    }

    /// The order of theirs whose receipt is our operation, and its newest payment.
    async fn known(&self, our: OurReference) -> Result<Option<(String, Option<Payment>)>, Answer> {
        let receipt = our.0.to_string();
        let body = self.get(&["v1", "orders"], &[("receipt", &receipt)]).await?;
        let mut known = None;
        for order in items(&body) {
            let id = order.get("id").and_then(Value::as_str).ok_or_else(unclear)?;
            let payments = self.get(&["v1", "orders", id, "payments"], &[]).await?;
            let payments: Result<Vec<_>, _> = items(&payments).iter().map(Payment::read).collect();
            let payments = payments?;
            // One that stands counts more than one that failed.
            let stands = payments.iter().find(|payment| payment.status != "failed");
            let payment = stands.or_else(|| payments.first()).cloned();
            let found = payment.is_some();
            known = Some((id.to_owned(), payment));
            if found {
                break;
            }
        }
        Ok(known)
    }

    async fn authorized(&self, call: &Authorize, amount: i64) -> Result<Answer, Answer> {
        if call.token.expose().starts_with("pay_") {
            // Their page in the browser has made it; it is ours to look at.
            let reference = call.token.expose().parse().map_err(|_| refused("invalid_token"))?;
            let payment = self.payment(&reference).await?;
            let ours = self.is_of(&payment, OurReference(call.key.operation)).await?;
            return Ok(if ours { payment.authorized() } else { refused("payment_of_another") });
        }
        let our = OurReference(call.key.operation);
        let currency = call.amount.currency.code();
        let ours = json!({ "ordinal": our.0.to_string() });
        let order = match self.known(our).await? {
            Some((_, Some(payment))) => return Ok(payment.authorized()),
            Some((order, None)) => order,
            None => {
                let order = json!({
                    "amount": amount, "currency": currency, "receipt": our.0.to_string(),
                    "notes": ours,
                });
                let order = self.post(&["v1", "orders"], &order).await?;
                let id = order.get("id").and_then(Value::as_str);
                id.ok_or_else(unclear)?.to_owned()
            }
        };
        let payment = json!({
            "amount": amount, "currency": currency, "order_id": order, "method": "card",
            "token": call.token.expose(), "notes": ours,
        });
        let made = self.post(&["v1", "payments", "create", "json"], &payment).await?;
        let id = made.get("razorpay_payment_id").and_then(Value::as_str).ok_or_else(unclear)?;
        let reference: PspReference = id.parse().map_err(|_| unclear())?;
        let next = made.get("next").and_then(Value::as_array);
        let redirect = next.and_then(|next| {
            let redirects =
                |step: &&Value| step.get("action").and_then(Value::as_str) == Some("redirect");
            next.iter().find(redirects)?.get("url")?.as_str()
        });
        match redirect {
            Some(url) => Ok(Answer::ActionRequired { reference, url: url.to_owned() }),
            None => Ok(self.payment(&reference).await?.authorized()),
        }
    }

    async fn released(&self, authorization: &PspReference) -> Result<Answer, Answer> {
        let payment = self.payment(authorization).await?;
        Ok(match (payment.status.as_str(), payment.captured) {
            (_, true) => refused("already_captured"),
            ("refunded", false) => Answer::Done {
                reference: payment.reference,
                amount: payment.amount,
                valid_until: None,
            },
            ("authorized" | "created", false) => Answer::Pending { reference: payment.reference },
            _ => refused("not_authorized"),
        })
    }
}

fn items(body: &Value) -> &[Value] {
    body.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn refused(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), repairable: false }
}

fn unclear() -> Answer {
    Answer::Unknown { why: "the answer is not what it must be".to_owned() }
}

/// What an answer that is no success means.
fn of_error(status: StatusCode, body: &Value) -> Answer {
    let error = body.get("error");
    let of = |field: &str| error.and_then(|error| error.get(field)).and_then(Value::as_str);
    let kind = of("code").unwrap_or_default();
    let why = of("reason").filter(|reason| *reason != "NA").unwrap_or(kind);
    match status.as_u16() {
        409 => Answer::Unknown { why: "it answered 409".to_owned() },
        429 => Answer::Refused { code: "rate_limited".to_owned(), repairable: true },
        401 | 403 => Answer::Refused { code: "not_authenticated".to_owned(), repairable: true },
        400..=499 if matches!(kind, "GATEWAY_ERROR" | "SERVER_ERROR") => {
            Answer::Unknown { why: format!("it answered {}", code(kind)) }
        }
        400..=499 if body.pointer("/error/metadata/payment_id").is_some() => {
            Answer::Declined { code: code(why) }
        }
        400..=499 => Answer::Refused { code: code(why), repairable: false },
        other => Answer::Unknown { why: format!("it answered {other}") },
    }
}

/// A look-up that failed is not an answer to the operation.
fn not_asked(answer: Answer) -> Found {
    match answer {
        Answer::Unknown { why } => Found::Unknown { why },
        _ => Found::Unknown { why: "the look-up was refused".to_owned() },
    }
}

/// A payment of theirs.
#[derive(Clone)]
struct Payment {
    reference: PspReference,
    amount: Money,
    status: String,
    captured: bool,
    /// The order of theirs that it pays; some pay none.
    order: Option<String>,
    reason: Option<String>,
}

impl Payment {
    fn read(body: &Value) -> Result<Self, Answer> {
        let text = |field: &str| body.get(field).and_then(Value::as_str);
        let reference = text("id").and_then(|id| id.parse().ok()).ok_or_else(unclear)?;
        let status = text("status").ok_or_else(unclear)?.to_owned();
        let captured = body.get("captured").and_then(Value::as_bool).unwrap_or(false);
        let reason = text("error_reason").or_else(|| text("error_code")).map(code);
        let order = text("order_id").map(str::to_owned);
        let amount = money_of(body).ok_or_else(unclear)?;
        Ok(Self { reference, amount, status, captured, order, reason })
    }

    /// As the answer to an authorisation.
    fn authorized(&self) -> Answer {
        let declined = |why: &str| Answer::Declined { code: why.to_owned() };
        let (reference, amount) = (self.reference.clone(), self.amount);
        match self.status.as_str() {
            _ if amount.minor <= 0 => unclear(),
            "authorized" | "captured" => Answer::Done { reference, amount, valid_until: None },
            "refunded" if self.captured => Answer::Done { reference, amount, valid_until: None },
            "refunded" => declined("expired"),
            "created" => Answer::Pending { reference },
            "failed" => declined(self.reason.as_deref().unwrap_or("payment_failed")),
            _ => unclear(),
        }
    }

    /// As the answer to a capture of this amount.
    fn captured(&self, asked: Money) -> Option<Answer> {
        let (reference, amount) = (self.reference.clone(), self.amount);
        let done = self.captured && amount == asked;
        done.then_some(Answer::Done { reference, amount, valid_until: None })
    }
}

fn money_of(body: &Value) -> Option<Money> {
    let currency = body.get("currency").and_then(Value::as_str)?;
    let currency = Currency::recorded(currency).ok()?;
    Dialect::Razorpay.money(body.get("amount").and_then(Value::as_i64)?, currency).ok()
}

/// What a refund means.
fn of_refund(body: &Value) -> Answer {
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let reference: Option<PspReference> = text("id").and_then(|id| id.parse().ok());
    match (text("status"), reference, money_of(body)) {
        (Some("processed"), Some(reference), Some(amount)) => {
            Answer::Done { reference, amount, valid_until: None }
        }
        (Some("pending" | "created"), Some(reference), _) => Answer::Pending { reference },
        (Some("failed"), ..) => Answer::Declined { code: "refund_failed".to_owned() },
        _ => unclear(),
    }
}

fn either<T>(result: Result<T, T>) -> T {
    match result {
        Ok(answer) | Err(answer) => answer,
    }
}

#[async_trait]
impl Psp for Razorpay {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            multi_capture: false,
            partial_refund: true,
            // A payment is captured whole.
            release_remainder: false,
            payouts: false,
            authorization_seconds: 3 * 24 * 3600,
            key_seconds: 24 * 3600,
            grace_seconds: 60,
        }
    }

    async fn authorize(&self, call: Authorize) -> Answer {
        match Dialect::Razorpay.amount(call.amount) {
            Ok(amount) => either(self.authorized(&call, amount).await),
            Err(_) => refused("amount_not_expressible"),
        }
    }

    async fn capture(&self, call: Capture) -> Answer {
        let Ok(amount) = Dialect::Razorpay.amount(call.amount) else {
            return refused("amount_not_expressible");
        };
        let body = json!({ "amount": amount, "currency": call.amount.currency.code() });
        let parts = ["v1", "payments", call.authorization.as_str(), "capture"];
        match self.post(&parts, &body).await {
            Ok(body) => match Payment::read(&body).map(|payment| payment.captured(call.amount)) {
                Ok(Some(answer)) | Err(answer) => answer,
                Ok(None) => unclear(),
            },
            // It may be captured already, by a call whose answer was lost.
            Err(Answer::Refused { code, repairable: false }) => {
                let refused = Answer::Refused { code, repairable: false };
                match self.payment(&call.authorization).await {
                    Ok(payment) => payment.captured(call.amount).unwrap_or(refused),
                    Err(unknown @ Answer::Unknown { .. }) => unknown,
                    Err(_) => refused,
                }
            }
            Err(answer) => answer,
        }
    }

    async fn void(&self, call: Void) -> Answer {
        either(self.released(&call.authorization).await)
    }

    async fn refund(&self, call: Refund) -> Answer {
        let Ok(amount) = Dialect::Razorpay.amount(call.amount) else {
            return refused("amount_not_expressible");
        };
        let our = call.key.operation.to_string();
        let body = json!({ "amount": amount, "receipt": our, "notes": { "ordinal": our } });
        let url = self.http.url(&["v1", "payments", call.capture.as_str(), "refund"]);
        // Its keys have no dots.
        let key = call.key.to_string().replace('.', "_");
        let request = self.http.post(url).header("x-refund-idempotency", key).json(&body);
        either(self.call(request).await.map(|body| of_refund(&body)))
    }

    async fn fetch(&self, of: OurReference) -> Found {
        match self.known(of).await {
            Ok(Some((_, Some(payment)))) => Found::Known(payment.authorized()),
            Ok(_) => Found::Nothing,
            Err(answer) => not_asked(answer),
        }
    }

    async fn find(&self, of: &Lookup) -> Found {
        let Some(about) = of.about.as_ref().filter(|_| of.kind != Kind::Authorize) else {
            return self.fetch(of.operation).await;
        };
        match of.kind {
            Kind::Payout => Found::Nothing,
            Kind::Authorize | Kind::Void => match self.released(about).await {
                Ok(answer) => Found::Known(answer),
                Err(answer) => not_asked(answer),
            },
            Kind::Capture => self.payment(about).await.map_or_else(not_asked, |payment| {
                payment.captured(payment.amount).map_or(Found::Nothing, Found::Known)
            }),
            Kind::Refund => {
                let parts = ["v1", "payments", about.as_str(), "refunds"];
                let body = match self.get(&parts, &[("count", &REFUNDS_MAX.to_string())]).await {
                    Ok(body) => body,
                    Err(answer) => return not_asked(answer),
                };
                let our = of.operation.0.to_string();
                let is_ours = |refund: &&Value| {
                    refund.pointer("/notes/ordinal").and_then(Value::as_str) == Some(&our)
                };
                match items(&body).iter().find(is_ours) {
                    Some(refund) => Found::Known(of_refund(refund)),
                    None if items(&body).len() < REFUNDS_MAX => Found::Nothing,
                    None => Found::Unknown { why: "more refunds than are read".to_owned() },
                }
            }
        }
    }

    async fn look(&self, of: &Theirs) -> Found {
        match of.kind {
            Kind::Refund => {
                let (payment, refund) = (of.payment.as_str(), of.reference.as_str());
                let found = self.get(&["v1", "payments", payment, "refunds", refund], &[]).await;
                found.map_or_else(not_asked, |body| Found::Known(of_refund(&body)))
            }
            Kind::Capture => {
                let (kind, about) = (of.kind, Some(of.payment.clone()));
                self.find(&Lookup { operation: OurReference(Uuid::nil()), kind, about }).await
            }
            Kind::Authorize | Kind::Void | Kind::Payout => Found::Nothing,
        }
    }
}
