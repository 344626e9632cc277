-- Which process follows under a name, where several could: one does, the others stand by.
CREATE TABLE follower_leases (
    follower    TEXT        PRIMARY KEY,
    holder      TEXT        NOT NULL, -- application_name of its sessions
    lease_until TIMESTAMPTZ NOT NULL
);
