//! The history cannot be changed, and `verify` sees what was changed all the same.

use payment::{PaymentLaw, Received, audit};
use serde_json::json;
use shared_events::contract::CapturePolicy;
use shared_events::stream::Dialect;

use crate::on_both::on_both;
use crate::support::{Bench, Story};
use crate::webhooks::tell;

async fn paid(dialect: Dialect) -> Bench {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.settle().await;
    bench
}

async fn change(bench: &Bench, sql: &str) -> Result<u64, String> {
    let mut tx = bench.database.begin().await.unwrap();
    let done = sqlx::query(sql).execute(&mut *tx).await.map_err(|error| error.to_string())?;
    tx.commit().await.unwrap();
    Ok(done.rows_affected())
}

async fn the_history_refuses_to_be_changed(dialect: Dialect) {
    let bench = paid(dialect).await;
    for sql in [
        "UPDATE payment_events SET event = '{}'",
        "DELETE FROM payment_events",
        "DELETE FROM operations",
    ] {
        let refused = change(&bench, sql).await.unwrap_err();
        assert!(refused.contains("append-only"), "{sql}: {refused}");
    }
    bench.laws_hold().await;
}

async fn what_was_changed_is_found(dialect: Dialect) {
    for (sql, law) in [
        ("UPDATE event_heads SET position = position + 1 WHERE position > 0", PaymentLaw::Chain),
        ("UPDATE payments SET captured = 1", PaymentLaw::AsPlanned),
        ("UPDATE cases SET body = REPLACE(body, '5000', '6000')", PaymentLaw::AsPlanned),
        ("UPDATE operations SET stage = 'DUE'", PaymentLaw::OperationsDue),
        ("UPDATE webhooks SET position = position + 1", PaymentLaw::WebhooksSettled),
        ("UPDATE webhook_heads SET position = position + 1", PaymentLaw::WebhooksSettled),
        ("UPDATE webhooks SET settled_at = 1", PaymentLaw::WebhooksSettled),
        ("UPDATE webhooks SET state = 'HANDLED'", PaymentLaw::WebhooksSettled),
        ("UPDATE webhooks SET tries = 1", PaymentLaw::WebhooksSettled),
    ] {
        let bench = paid(dialect).await;
        // It waits: nothing is known of what it is about.
        let strange = json!({ "reference": "psp_77", "payment": "psp_77" });
        assert_eq!(tell(&bench, "evt_1", "reversed", &strange).await, Received::Stored);
        bench.laws_hold().await;
        assert_eq!(change(&bench, sql).await, Ok(1), "{sql}");
        let laws: Vec<_> = audit(&bench.database, |_| ())
            .await
            .unwrap()
            .findings
            .iter()
            .map(|one| one.law)
            .collect();
        assert!(!laws.is_empty() && laws.iter().all(|found| *found == law), "{sql}: {laws:?}");
    }
}

on_both! { two_threads:
    the_history_refuses_to_be_changed,
    what_was_changed_is_found,
}
