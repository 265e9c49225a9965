-- Delegation of signing authority, and reviews of access (21 CFR 11.10(g), 11.200(a)(2), 11.300(b)).

CREATE TABLE delegations (
    id          uuid PRIMARY KEY,
    giver       text NOT NULL REFERENCES people (sub),
    receiver    text NOT NULL REFERENCES people (sub),
    meaning     text NOT NULL,
    sealed      bytea NOT NULL,
    offered_at  timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    accepted_at timestamptz,
    ended_at    timestamptz,
    ended_by    text,
    end_reason  text,
    CHECK (giver <> receiver),
    CHECK (valid_until > offered_at)
);
CREATE UNIQUE INDEX delegations_live ON delegations (giver, receiver, meaning) WHERE ended_at IS NULL;
CREATE INDEX delegations_to ON delegations (receiver) WHERE ended_at IS NULL;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON delegations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

-- A signature made on behalf of somebody names them and the delegation; both people count for the separation of duties.
ALTER TABLE signatures
    ADD COLUMN on_behalf_of text,
    ADD COLUMN delegation   uuid REFERENCES delegations (id),
    ADD CONSTRAINT signatures_behalf CHECK (
        (on_behalf_of IS NULL) = (delegation IS NULL) AND (on_behalf_of IS NULL OR on_behalf_of <> sub)
    );

-- `digest` is of the sealed DSSE envelope's plaintext; `prev` names the review before it.
CREATE TABLE access_reviews (
    id     uuid PRIMARY KEY,
    sub    text NOT NULL REFERENCES people (sub),
    sealed bytea NOT NULL,
    digest text NOT NULL UNIQUE,
    prev   text NOT NULL UNIQUE,
    at     timestamptz NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_reviews
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
-- An overdue review is told once for each day that it was due.
CREATE TABLE access_reviews_overdue (
    due_at  timestamptz PRIMARY KEY,
    told_at timestamptz NOT NULL
);

GRANT SELECT, INSERT ON delegations, access_reviews, access_reviews_overdue TO app;
GRANT UPDATE (accepted_at, ended_at, ended_by, end_reason) ON delegations TO app;
