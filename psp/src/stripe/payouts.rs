//! Payouts by Stripe: to bank accounts that it knows by the shop's names of sellers.

use serde_json::Value;

use super::answers::{of_payout, refused};
use super::{Stripe, either, not_asked};
use crate::{Answer, Dialect, Found, OurReference, Payout, PspReference};

/// Payouts on a page.
const PAGE: &str = "100";
/// Pages that are looked through for a payout whose name is not known.
const PAGES_MAX: usize = 10;

impl Stripe {
    /// Pays out, with our operation in the metadata.
    pub(super) async fn pay_out(&self, call: Payout) -> Answer {
        let Ok(amount) = Dialect::Stripe.amount(call.amount) else {
            return refused("amount_not_expressible");
        };
        let form = [
            ("amount", amount.to_string()),
            ("currency", call.amount.currency.code().to_ascii_lowercase()),
            ("destination", call.destination),
            ("metadata[ordinal]", call.key.operation.to_string()),
        ];
        let made = self.post(&["v1", "payouts"], call.key.to_string(), &form).await;
        either(made.map(|body| of_payout(&body)))
    }

    /// What became of a payout: by Stripe's name of it, or else among the newest. What is not among
    /// those is not found: it may be sent again under its key, and only while that is remembered.
    pub(super) async fn paid_out(&self, our: OurReference, about: Option<&PspReference>) -> Found {
        let (our, mut after) = (our.0.to_string(), String::new());
        let is_ours = |one: &Value| {
            one.pointer("/metadata/ordinal").and_then(Value::as_str) == Some(our.as_str())
        };
        if let Some(about) = about {
            match self.get(&["v1", "payouts", about.as_str()], &[]).await {
                Ok(body) if is_ours(&body) => return Found::Known(of_payout(&body)),
                // Somebody named another one: ours is looked for.
                Ok(_) => {}
                Err(answer) => return not_asked(answer),
            }
        }
        for _ in 0..PAGES_MAX {
            let mut query = vec![("limit", PAGE)];
            if !after.is_empty() {
                query.push(("starting_after", after.as_str()));
            }
            let body = match self.get(&["v1", "payouts"], &query).await {
                Ok(body) => body,
                Err(answer) => return not_asked(answer),
            };
            let payouts = body.get("data").and_then(Value::as_array);
            let payouts = payouts.map(Vec::as_slice).unwrap_or_default();
            if let Some(one) = payouts.iter().find(|one| is_ours(one)) {
                return Found::Known(of_payout(one));
            }
            let last = payouts.last().and_then(|one| one.get("id")).and_then(Value::as_str);
            let more = body.get("has_more").and_then(Value::as_bool) == Some(true);
            match last.filter(|_| more) {
                Some(last) => last.clone_into(&mut after),
                None => return Found::Nothing,
            }
        }
        Found::Nothing
    }
}
