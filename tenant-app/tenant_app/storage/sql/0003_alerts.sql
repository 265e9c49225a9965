-- Alerts wait here until a sink has taken them (21 CFR 11.300(d)).
CREATE TABLE alerts (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL,
    sealed       bytea NOT NULL,
    at           timestamptz NOT NULL,
    delivered_at timestamptz,
    sink         text
);
CREATE INDEX alerts_waiting ON alerts (at) WHERE delivered_at IS NULL;
GRANT SELECT, INSERT, UPDATE (delivered_at, sink) ON alerts TO app;
