-- When it was last proved that the sums hold, and which did not (JSON).
CREATE TABLE reconciled (
    one           BIGINT PRIMARY KEY CHECK (one = 1),
    at            BIGINT NOT NULL, -- microseconds since 1970
    products      BIGINT NOT NULL,
    discrepancies TEXT   NOT NULL
);
