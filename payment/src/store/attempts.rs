use std::sync::OnceLock;

use psp::Token;
use shared_events::contract::OrderId;
use shared_events::stream::{DatabaseError, Tx};
use uuid::Uuid;

/// What attempts pay with, as hashes under the key of this database: a repeated attempt is told
/// from another one under its id for longer than its token is kept. A hash without a key would
/// confirm a guessed token to anyone who reads it.
#[derive(Default)]
pub(crate) struct PaysWith(OnceLock<[u8; 32]>);

impl PaysWith {
    /// The hash of what an attempt pays with. The same token in another attempt has another one.
    pub(crate) async fn of(
        &self,
        tx: &mut Tx,
        (order, attempt): (OrderId, Uuid),
        token: &Token,
    ) -> Result<String, DatabaseError> {
        let key = self.key(tx).await?;
        let text = format!("{order}/{attempt}/{}", token.expose());
        Ok(blake3::keyed_hash(&key, text.as_bytes()).to_hex().to_string())
    }

    /// The key, which never changes.
    async fn key(&self, tx: &mut Tx) -> Result<[u8; 32], DatabaseError> {
        if let Some(key) = self.0.get() {
            return Ok(*key);
        }
        let sql = "SELECT key FROM fingerprint_keys";
        let text: String = sqlx::query_scalar(sql).fetch_one(&mut **tx).await?;
        let key =
            blake3::derive_key("ordinal 2026 payments: what attempts pay with", text.as_bytes());
        Ok(*self.0.get_or_init(|| key))
    }
}

/// Keeps what a new attempt pays with.
pub(crate) async fn keep_attempt(
    tx: &mut Tx,
    (order, attempt): (OrderId, Uuid),
    pays_with: &str,
) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO attempts (order_id, attempt_id, pays_with) VALUES ($1, $2, $3)
               ON CONFLICT (order_id, attempt_id) DO NOTHING";
    let query = sqlx::query(sql).bind(order.to_string()).bind(attempt.to_string());
    query.bind(pays_with.to_owned()).execute(&mut **tx).await?;
    Ok(())
}

/// Whether an attempt was made with something else. Of those from before these hashes were kept
/// that is not known, and not said.
pub(crate) async fn paid_otherwise(
    tx: &mut Tx,
    (order, attempt): (OrderId, Uuid),
    pays_with: &str,
) -> Result<bool, DatabaseError> {
    let sql = "SELECT 1 FROM attempts
               WHERE order_id = $1 AND attempt_id = $2 AND pays_with <> $3";
    let query = sqlx::query(sql).bind(order.to_string()).bind(attempt.to_string());
    let other = query.bind(pays_with.to_owned()).fetch_optional(&mut **tx).await?;
    Ok(other.is_some())
}
