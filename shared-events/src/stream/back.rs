use super::cursor::{self, CursorError};
use super::places::Places;
use super::{Cursors, DeadLetters, Tx};

/// Moves a follower's stored cursors from `from` back to `to`, in the transaction that decides so:
/// shards of `from` that `to` does not name begin anew. What comes again is handled again, so that
/// dead letters and remembered places after `to` are dropped.
///
/// # Errors
/// [`CursorError::Moved`] where they are not at the positions of `from`.
pub(super) async fn move_back(
    tx: &mut Tx,
    follower: &str,
    (from, to): (&Cursors, &Cursors),
    incarnation: u64,
) -> Result<(), CursorError> {
    cursor::set_back(tx, follower, from, to, incarnation).await?;
    for (shard, _) in from.iter() {
        let letters = DeadLetters::drop_after(tx, follower, shard, to.get(shard)).await?;
        if letters > 0 {
            tracing::warn!(
                follower,
                shard,
                letters,
                "dead letters of another history, and of what is read again, were dropped"
            );
        }
    }
    Ok(Places::forget(tx, follower, from, to).await?)
}
