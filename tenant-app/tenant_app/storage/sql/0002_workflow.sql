-- Workflow, signatures and annotations (21 CFR 11.10(f), 11.50, 11.70, 11.200).

CREATE TABLE assignments (
    document    uuid NOT NULL,
    version     integer NOT NULL,
    sub         text NOT NULL,
    sealed      bytea NOT NULL,
    assigned_by text NOT NULL,
    assigned_at timestamptz NOT NULL,
    PRIMARY KEY (document, version, sub),
    FOREIGN KEY (document, version) REFERENCES versions (document, number)
);
CREATE INDEX assignments_of ON assignments (sub);

-- `digest` is of the sealed DSSE envelope's plaintext; `prev` names the one before it on the same document, so that removing or
-- moving one breaks the chain (11.70). One row may follow a given one, and one row may be first.
CREATE TABLE signatures (
    id       uuid PRIMARY KEY,
    document uuid NOT NULL,
    version  integer NOT NULL,
    sha256   text NOT NULL,
    sub      text NOT NULL,
    meaning  text NOT NULL,
    revokes  uuid REFERENCES signatures (id),
    sealed   bytea NOT NULL,
    digest   text NOT NULL UNIQUE,
    prev     text NOT NULL,
    at       timestamptz NOT NULL,
    UNIQUE (document, prev),
    FOREIGN KEY (document, version) REFERENCES versions (document, number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON signatures
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

CREATE TABLE challenges (
    nonce_hash bytea PRIMARY KEY,
    session    bytea NOT NULL,
    bound_to   bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

CREATE TABLE annotations (
    id          uuid PRIMARY KEY,
    document    uuid NOT NULL,
    version     integer NOT NULL,
    author      text NOT NULL,
    sealed      bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    resolved_at timestamptz,
    resolved_by text,
    FOREIGN KEY (document, version) REFERENCES versions (document, number)
);
CREATE INDEX annotations_of ON annotations (document, version);
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON annotations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

CREATE INDEX versions_state ON versions (state) WHERE state IN ('in_review', 'reviewed', 'approved', 'rejected', 'draft');

GRANT SELECT, INSERT ON assignments, signatures, annotations TO app;
GRANT UPDATE (resolved_at, resolved_by) ON annotations TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON challenges TO app;
