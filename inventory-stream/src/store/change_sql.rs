use shared_events::stream::{Database, Dialect};

/// The update of stock, on Postgres: what it returns are the movements.
macro_rules! moved_on_postgres {
    ($backordered:literal) => {
        concat!(
            "WITH moved AS (
                UPDATE stock SET reserved = stock.reserved + row.reserved,",
            $backordered,
            "          on_hand = stock.on_hand - row.committed + row.restocked,
                       committed = stock.committed + row.committed,
                       restocked = stock.restocked + row.restocked,
                       moves = stock.moves + 1
                FROM json_to_recordset($1::json) AS row(sku TEXT, reserved BIGINT,
                    backordered BIGINT, committed BIGINT, restocked BIGINT, facts TEXT)
                WHERE stock.sku = row.sku
                RETURNING stock.sku, moves, row.restocked - row.committed AS delta,
                    row.reserved AS held, stock.on_hand, stock.reserved, facts
            )
            INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, facts, at)
            SELECT sku, moves, delta, held, on_hand, reserved, $2, facts, $3 FROM moved"
        )
    };
}

/// The update of stock, on SQLite.
macro_rules! moved_on_sqlite {
    ($backordered:literal) => {
        concat!(
            "UPDATE stock SET reserved = stock.reserved + row.reserved,",
            $backordered,
            "      on_hand = stock.on_hand - row.committed + row.restocked,
                   committed = stock.committed + row.committed,
                   restocked = stock.restocked + row.restocked,
                   moves = stock.moves + 1
            FROM (SELECT value ->> 'sku' AS sku, value ->> 'reserved' AS reserved,
                         value ->> 'backordered' AS backordered,
                         value ->> 'committed' AS committed, value ->> 'restocked' AS restocked
                  FROM json_each($1)) AS row
            WHERE stock.sku = row.sku"
        )
    };
}

/// The statements that move stock by rows of JSON ($1), and write the movements with cause ($2) and
/// time ($3): on Postgres one, on SQLite two, the first of which only moves. The units that are
/// backordered are written only where they change.
pub(super) fn change_sql(
    database: &Database,
    backorders: bool,
) -> (Option<&'static str>, &'static str) {
    match (database.dialect(), backorders) {
        (Dialect::Postgres, false) => (None, moved_on_postgres!("")),
        (Dialect::Postgres, true) => (
            None,
            moved_on_postgres!(
                "backordered = NULLIF(COALESCE(stock.backordered, 0)
                                      + COALESCE(row.backordered, 0), 0),"
            ),
        ),
        (Dialect::Sqlite, false) => (Some(moved_on_sqlite!("")), RECORDED_ON_SQLITE),
        (Dialect::Sqlite, true) => (
            Some(moved_on_sqlite!(
                "backordered = NULLIF(COALESCE(stock.backordered, 0)
                                      + COALESCE(row.backordered, 0), 0),"
            )),
            RECORDED_ON_SQLITE,
        ),
    }
}

const RECORDED_ON_SQLITE: &str = "
    INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, facts, at)
    SELECT stock.sku, moves, (value ->> 'restocked') - (value ->> 'committed'),
           value ->> 'reserved', on_hand, stock.reserved, $2, value ->> 'facts', $3
    FROM json_each($1) JOIN stock ON stock.sku = value ->> 'sku'";
