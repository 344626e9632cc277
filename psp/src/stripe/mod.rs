//! Payments by Stripe's REST interface: payment intents with manual capture, and refunds.
//!
//! Our operation is in the metadata: `ordinal` of a payment intent and of a refund, `capture_…` of
//! each capture, so that all of them are found again.

mod answers; // what Stripe's answers mean
mod payouts; // payouts to sellers

use async_trait::async_trait;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::http::{ApiKey, Endpoint, Http, HttpError, Lost, form_body};
use crate::{
    Answer, Authorize, Capabilities, Capture, Dialect, Found, Kind, Lookup, NO_PAYOUTS,
    OurReference, Payout, Psp, PspReference, Refund, Theirs, Void,
};
use answers::{Intent, of_error, of_refund, refused};

/// Refunds of a payment that are looked through.
const REFUNDS_MAX: &str = "100";

/// Stripe.
#[derive(Clone)]
pub struct Stripe {
    name: String,
    key: ApiKey,
    http: Http,
    multi_capture: bool,
    payouts: bool,
    grace_seconds: u32,
}

/// What is made is found within a minute, and up to an hour later when the search is busy. What
/// follows "not found" is the same call under the same key, which is carried out once: sent too
/// early it does no harm.
const SEARCH_LATE: u32 = 60;

impl Stripe {
    /// Stripe at an endpoint. `multi_capture` says whether the account may capture in parts.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn new(
        name: &str,
        endpoint: &Endpoint,
        key: ApiKey,
        multi_capture: bool,
    ) -> Result<Self, HttpError> {
        let http = Http::new(endpoint)?;
        let (name, payouts) = (name.to_owned(), false);
        Ok(Self { name, key, http, multi_capture, payouts, grace_seconds: SEARCH_LATE })
    }

    /// The same, and whether the account pays sellers out.
    #[must_use]
    pub const fn paying_out(mut self, payouts: bool) -> Self {
        self.payouts = payouts;
        self
    }

    /// The same for a simulator, whose search is never late: what is not found was not done.
    #[must_use]
    pub const fn simulated(mut self) -> Self {
        self.grace_seconds = 1;
        self
    }

    async fn call(&self, request: RequestBuilder) -> Result<Value, Answer> {
        let heard = self.http.send(request.bearer_auth(self.key.expose())).await;
        let heard = heard.map_err(|Lost(why)| Answer::Unknown { why })?;
        if heard.status.is_success() {
            return Ok(heard.body);
        }
        Err(of_error(heard.status, &heard.body))
    }

    async fn post(
        &self,
        parts: &[&str],
        key: String,
        form: &[(&str, String)],
    ) -> Result<Value, Answer> {
        let request = self.http.post(self.http.url(parts));
        self.call(form_body(request, form).header("idempotency-key", key)).await
    }

    async fn get(&self, parts: &[&str], query: &[(&str, &str)]) -> Result<Value, Answer> {
        let mut url = self.http.url(parts);
        url.query_pairs_mut().extend_pairs(query);
        self.call(self.http.get(url)).await
    }

    async fn intent(&self, reference: &PspReference) -> Result<Intent, Answer> {
        let parts = ["v1", "payment_intents", reference.as_str()];
        let body = self.get(&parts, &[("expand[]", "latest_charge")]).await?;
        Intent::read(&body)
    }

    /// The payment intent that an operation of ours made, or captured.
    async fn search(&self, our: OurReference) -> Result<Option<Intent>, Answer> {
        let query =
            format!("metadata['ordinal']:'{}' OR -metadata['{}']:null", our.0, capture_field(our));
        let parts = ["v1", "payment_intents", "search"];
        let expand = ("expand[]", "data.latest_charge");
        let body = self.get(&parts, &[("query", &query), ("limit", "1"), expand]).await?;
        let first = body.get("data").and_then(Value::as_array).and_then(|data| data.first());
        first.map(Intent::read).transpose()
    }

    /// What became of a payment intent, and of nothing else.
    async fn made(&self, our: OurReference) -> Found {
        match self.search(our).await {
            Ok(Some(intent)) => Found::Known(intent.of(our, &capture_field(our))),
            Ok(None) => Found::Nothing,
            Err(answer) => not_asked(answer),
        }
    }

    async fn refund_of(&self, query: &[(&str, &str)], our: OurReference) -> Found {
        let query = [query, &[("limit", REFUNDS_MAX)]].concat();
        let body = match self.get(&["v1", "refunds"], &query).await {
            Ok(body) => body,
            Err(answer) => return not_asked(answer),
        };
        let refunds = body.get("data").and_then(Value::as_array);
        let is_ours = |refund: &&Value| {
            let ordinal = refund.get("metadata").and_then(|metadata| metadata.get("ordinal"));
            ordinal.and_then(Value::as_str) == Some(our.0.to_string().as_str())
        };
        match refunds.and_then(|refunds| refunds.iter().find(is_ours)) {
            Some(refund) => Found::Known(of_refund(refund)),
            None if body.get("has_more").and_then(Value::as_bool) == Some(true) => {
                Found::Unknown { why: "more refunds than are looked through".to_owned() }
            }
            None => Found::Nothing,
        }
    }
}

/// How the field of a capture begins in the metadata; its amount is its value.
const CAPTURE_FIELD: &str = "capture_";

/// The field of the metadata of a payment intent that says that an operation captured.
fn capture_field(our: OurReference) -> String {
    format!("{CAPTURE_FIELD}{}", our.0.simple())
}

/// A look-up that failed is not an answer to the operation.
fn not_asked(answer: Answer) -> Found {
    match answer {
        Answer::Refused { code, .. } if code == "resource_missing" => Found::Nothing,
        Answer::Unknown { why } => Found::Unknown { why },
        _ => Found::Unknown { why: "the look-up was refused".to_owned() },
    }
}

fn either<T>(result: Result<T, T>) -> T {
    match result {
        Ok(answer) | Err(answer) => answer,
    }
}

#[async_trait]
impl Psp for Stripe {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            multi_capture: self.multi_capture,
            partial_refund: true,
            release_remainder: true,
            payouts: self.payouts,
            authorization_seconds: 7 * 24 * 3600,
            key_seconds: 24 * 3600,
            grace_seconds: self.grace_seconds,
        }
    }

    async fn authorize(&self, call: Authorize) -> Answer {
        let Ok(amount) = Dialect::Stripe.amount(call.amount) else {
            return refused("amount_not_expressible");
        };
        let mut form = vec![
            ("amount", amount.to_string()),
            ("currency", call.amount.currency.code().to_ascii_lowercase()),
            ("payment_method", call.token.expose().to_owned()),
            ("capture_method", "manual".to_owned()),
            ("confirm", "true".to_owned()),
            ("expand[]", "latest_charge".to_owned()),
            ("metadata[ordinal]", call.key.operation.to_string()),
        ];
        if self.multi_capture {
            let field = "payment_method_options[card][request_multicapture]";
            form.push((field, "if_available".to_owned()));
        }
        let made = self.post(&["v1", "payment_intents"], call.key.to_string(), &form).await;
        either(made.and_then(|body| Ok(Intent::read(&body)?.authorized())))
    }

    async fn capture(&self, call: Capture) -> Answer {
        let Ok(amount) = Dialect::Stripe.amount(call.amount) else {
            return refused("amount_not_expressible");
        };
        let field = format!("metadata[{}]", capture_field(OurReference(call.key.operation)));
        let mut form =
            vec![("amount_to_capture", amount.to_string()), (field.as_str(), amount.to_string())];
        if call.more_follows && self.multi_capture {
            form.push(("final_capture", "false".to_owned()));
        }
        let parts = ["v1", "payment_intents", call.authorization.as_str(), "capture"];
        let captured = self.post(&parts, call.key.to_string(), &form).await;
        let our = OurReference(call.key.operation);
        either(captured.and_then(|body| Ok(Intent::read(&body)?.captured(&capture_field(our)))))
    }

    async fn void(&self, call: Void) -> Answer {
        let parts = ["v1", "payment_intents", call.authorization.as_str(), "cancel"];
        let form = [("cancellation_reason", "requested_by_customer".to_owned())];
        let ended = self.post(&parts, call.key.to_string(), &form).await;
        either(ended.and_then(|body| Ok(Intent::read(&body)?.voided())))
    }

    async fn refund(&self, call: Refund) -> Answer {
        let Ok(amount) = Dialect::Stripe.amount(call.amount) else {
            return refused("amount_not_expressible");
        };
        let form = [
            ("charge", call.capture.as_str().to_owned()),
            ("amount", amount.to_string()),
            ("metadata[ordinal]", call.key.operation.to_string()),
        ];
        let refunded = self.post(&["v1", "refunds"], call.key.to_string(), &form).await;
        either(refunded.map(|body| of_refund(&body)))
    }

    async fn payout(&self, call: Payout) -> Answer {
        match self.payouts {
            true => self.pay_out(call).await,
            false => refused(NO_PAYOUTS),
        }
    }

    async fn fetch(&self, of: OurReference) -> Found {
        match self.made(of).await {
            // A refund is no payment intent: the newest are looked through.
            Found::Nothing => self.refund_of(&[], of).await,
            found => found,
        }
    }

    async fn find(&self, of: &Lookup) -> Found {
        let our = of.operation;
        let found = match (of.kind, &of.about) {
            (Kind::Payout, about) => return self.paid_out(our, about.as_ref()).await,
            // What was searched for is found late; what has a name is found at once.
            (Kind::Authorize, Some(about)) => match self.intent(about).await {
                Ok(intent) if intent.is_of(our) => return Found::Known(intent.authorized()),
                _ => return self.made(our).await,
            },
            (Kind::Authorize, None) => return self.made(our).await,
            (_, None) => return self.fetch(our).await,
            (Kind::Refund, Some(about)) => {
                return self.refund_of(&[("charge", about.as_str())], our).await;
            }
            (Kind::Capture | Kind::Void, Some(about)) => self.intent(about).await,
        };
        match (found, of.kind) {
            (Err(answer), _) => not_asked(answer),
            (Ok(intent), Kind::Void) if intent.is_given_back() => Found::Known(intent.voided()),
            (Ok(intent), Kind::Capture) if intent.has(&capture_field(our)) => {
                Found::Known(intent.captured(&capture_field(our)))
            }
            (Ok(_), _) => Found::Nothing,
        }
    }

    async fn look(&self, of: &Theirs) -> Found {
        let known = match of.kind {
            Kind::Refund => {
                let parts = ["v1", "refunds", of.reference.as_str()];
                self.get(&parts, &[]).await.map(|body| of_refund_of(&body, &of.payment))
            }
            Kind::Capture => self.intent(&of.payment).await.map(|intent| intent.taken()),
            Kind::Authorize | Kind::Void | Kind::Payout => return Found::Nothing,
        };
        match known {
            Ok(Some(answer)) => Found::Known(answer),
            Ok(None) => Found::Nothing,
            Err(answer) => not_asked(answer),
        }
    }
}

/// A refund of this payment intent; none where it is of another.
fn of_refund_of(body: &Value, payment: &PspReference) -> Option<Answer> {
    let of = body.get("payment_intent").and_then(Value::as_str);
    (of == Some(payment.as_str())).then(|| of_refund(body))
}
