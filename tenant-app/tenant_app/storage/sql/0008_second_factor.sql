-- The second factor, its recovery codes, being told of its reset, how a session was opened, and sign-in through an OpenID
-- provider (21 CFR 11.200, 11.300).

-- `pending` until the first code is confirmed; replacing a device keeps the active one until then. `last_step` is the newest time
-- step whose code was accepted: none works twice.
CREATE TABLE second_factors (
    sub        text NOT NULL REFERENCES people (sub),
    state      text NOT NULL CHECK (state IN ('pending', 'active')),
    sealed     bytea NOT NULL,
    last_step  bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    tested_at  timestamptz NOT NULL,
    PRIMARY KEY (sub, state)
);

CREATE TABLE recovery_codes (
    sub  text NOT NULL REFERENCES people (sub),
    hash bytea NOT NULL,
    PRIMARY KEY (sub, hash)
);

-- When its owner acknowledged what two administrators did to their account, such as a reset: told until then, however late.
ALTER TABLE two_person_requests ADD COLUMN seen_at timestamptz;
GRANT UPDATE (seen_at) ON two_person_requests TO app;

ALTER TABLE sessions
    ADD COLUMN factor text NOT NULL DEFAULT 'none',
    ADD COLUMN method text NOT NULL DEFAULT 'ldap-simple-bind',
    ADD COLUMN proved_at timestamptz;

-- A way to the provider and back: one use, ten minutes, bound to the browser that set out and, for a step-up, to its session.
CREATE TABLE oidc_flows (
    state_hash   bytea PRIMARY KEY,
    browser_hash bytea NOT NULL,
    session      bytea,
    sealed       bytea NOT NULL,
    expires_at   timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON second_factors, recovery_codes TO app;
GRANT UPDATE (proved_at) ON sessions TO app;
GRANT SELECT, INSERT, DELETE ON oidc_flows TO app;
