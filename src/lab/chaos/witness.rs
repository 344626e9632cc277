use sqlx::{Connection as _, Executor as _, PgConnection};

/// Records every append by a session that does not own the shard: a trigger reads the shard's row
/// in the same transaction. It does not depend on what the processes believe.
const INSTALL: &str = "
CREATE TABLE IF NOT EXISTS orders_journal.witness
    (shard int, position bigint, epoch bigint, owner text, session text);
CREATE OR REPLACE FUNCTION orders_journal.witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO orders_journal.witness
    SELECT NEW.shard, NEW.position, epoch, owner, current_setting('application_name')
    FROM orders_journal.shards
    WHERE shard = NEW.shard AND owner <> current_setting('application_name');
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER witness AFTER INSERT ON orders_journal.events
    FOR EACH ROW EXECUTE FUNCTION orders_journal.witness();
";

pub(super) async fn install(url: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(INSTALL).await?;
    Ok(connection.close().await?)
}

/// Number of appends by others than the owner.
pub(super) async fn count(url: &str) -> anyhow::Result<i64> {
    let mut connection = PgConnection::connect(url).await?;
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM orders_journal.witness");
    let count = count.fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(count)
}
