WITH begun AS (
    INSERT INTO incarnations (number, began_at, reason, said_by, heads)
    VALUES ($1, $2, $3, $4, $5::json) ON CONFLICT (number) DO NOTHING
    RETURNING number
), moved AS (
    UPDATE journal SET incarnation = $1, doubted = NULL
    WHERE incarnation <= $1 AND EXISTS (SELECT FROM begun)
), noted AS (
    INSERT INTO operator_actions
        (id, at, role, subject, verb, kind, target, reason, before, after)
    SELECT $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 FROM begun
    WHERE $6::text IS NOT NULL ON CONFLICT (id) DO NOTHING
)
SELECT EXISTS (SELECT FROM begun)
