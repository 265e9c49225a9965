-- Who may do what beyond the directory's groups, and what a person needs before they sign (21 CFR 11.10(g), (i), (j), 11.100, 11.300).

-- `authority` counts every change of what a person may do or of whether they are trusted; a signing period remembers it, so that any
-- change is a break (11.200(a)(1)(ii)) in every replica. `suspended_at`: a loss was reported and nobody has taken it back yet.
ALTER TABLE people
    ADD COLUMN authority    bigint NOT NULL DEFAULT 0,
    ADD COLUMN suspended_at timestamptz;

CREATE TABLE grants (
    id          uuid PRIMARY KEY,
    sub         text NOT NULL REFERENCES people (sub),
    name        text NOT NULL,
    sealed      bytea NOT NULL,
    granted_by  text NOT NULL REFERENCES people (sub),
    granted_at  timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    ended_at    timestamptz,
    ended_by    text,
    end_reason  text,
    CHECK (sub <> granted_by),
    CHECK (valid_until > granted_at)
);
CREATE UNIQUE INDEX grants_live ON grants (sub, name) WHERE ended_at IS NULL;
CREATE INDEX grants_until ON grants (valid_until) WHERE ended_at IS NULL;

CREATE TABLE trainings (
    id          uuid PRIMARY KEY,
    sub         text NOT NULL REFERENCES people (sub),
    name        text NOT NULL,
    sealed      bytea NOT NULL,
    recorded_by text NOT NULL,
    recorded_at timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    lapsed_at   timestamptz,
    CHECK (sub <> recorded_by)
);
CREATE INDEX trainings_of ON trainings (sub) WHERE lapsed_at IS NULL;

CREATE TABLE policies (
    version      integer PRIMARY KEY CHECK (version > 0),
    sealed       bytea NOT NULL,
    sha256       text NOT NULL,
    published_by text NOT NULL,
    published_at timestamptz NOT NULL
);
CREATE TABLE policy_acceptances (
    version integer NOT NULL REFERENCES policies (version),
    sub     text NOT NULL REFERENCES people (sub),
    sha256  text NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (version, sub)
);

CREATE TABLE enrolments (
    id          uuid PRIMARY KEY,
    sub         text NOT NULL REFERENCES people (sub),
    sealed      bytea NOT NULL,
    verified_on date NOT NULL,
    recorded_by text NOT NULL,
    recorded_at timestamptz NOT NULL,
    CHECK (sub <> recorded_by)
);
CREATE INDEX enrolments_of ON enrolments (sub, recorded_at);

CREATE TABLE certification_letters (
    id          uuid PRIMARY KEY,
    sealed      bytea NOT NULL,
    sent_on     date NOT NULL,
    recorded_by text NOT NULL,
    recorded_at timestamptz NOT NULL
);

CREATE TABLE losses (
    id          uuid PRIMARY KEY,
    sub         text NOT NULL REFERENCES people (sub),
    sealed      bytea NOT NULL,
    reported_by text NOT NULL,
    reported_at timestamptz NOT NULL,
    restored_at timestamptz
);

-- What only one person wants never happens: asked for by one administrator, confirmed by another, not before the cool-off is over.
CREATE TABLE two_person_requests (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL,
    sub          text NOT NULL REFERENCES people (sub),
    sealed       bytea NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    not_before   timestamptz NOT NULL,
    confirmed_by text,
    confirmed_at timestamptz,
    done_at      timestamptz,
    ended_at     timestamptz,
    ended_by     text,
    end_reason   text,
    CHECK (requested_by <> sub),
    CHECK (confirmed_by IS NULL OR (confirmed_by <> requested_by AND confirmed_by <> sub)),
    CHECK (done_at IS NULL OR confirmed_at IS NOT NULL)
);
CREATE UNIQUE INDEX two_person_open ON two_person_requests (sub, kind) WHERE done_at IS NULL AND ended_at IS NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON policies
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON policy_acceptances
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON enrolments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON certification_letters
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON grants
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON trainings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON losses
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON two_person_requests
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

GRANT SELECT, INSERT ON grants, trainings, policies, policy_acceptances, enrolments, certification_letters, losses,
    two_person_requests TO app;
GRANT UPDATE (ended_at, ended_by, end_reason) ON grants TO app;
GRANT UPDATE (lapsed_at) ON trainings TO app;
GRANT UPDATE (restored_at) ON losses TO app;
GRANT UPDATE (confirmed_by, confirmed_at, done_at, ended_at, ended_by, end_reason) ON two_person_requests TO app;
