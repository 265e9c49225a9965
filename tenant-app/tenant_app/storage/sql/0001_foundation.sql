-- The foundation: sealed records, and a trail that nobody can rewrite (21 CFR 11.10(e)).
-- Sealed columns hold AES-256-GCM ciphertext; clear columns hold ids, times, sizes, states and hashes, never words of people.

REVOKE CREATE ON SCHEMA public FROM PUBLIC;

CREATE TABLE column_key (
    id         smallint PRIMARY KEY,
    wrapped    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE people (
    sub         text PRIMARY KEY,
    sealed      bytea NOT NULL,
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sessions (
    id_hash      bytea PRIMARY KEY,
    sub          text NOT NULL REFERENCES people (sub),
    roles        text[] NOT NULL,
    csrf         text NOT NULL,
    client_hash  bytea NOT NULL,
    signed_in_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    ended_at     timestamptz,
    end_reason   text
);
CREATE INDEX sessions_live ON sessions (sub) WHERE ended_at IS NULL;

CREATE TABLE sign_in_failures (
    scope   text NOT NULL,
    key     bytea NOT NULL,
    count   integer NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE TABLE documents (
    id         uuid PRIMARY KEY,
    number     bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL REFERENCES people (sub)
);

CREATE TABLE versions (
    document    uuid NOT NULL REFERENCES documents (id),
    number      integer NOT NULL CHECK (number > 0),
    sha256      text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size        bigint NOT NULL CHECK (size > 0),
    sealed_size bigint NOT NULL,
    media_type  text NOT NULL,
    sealed      bytea NOT NULL,
    wrapped_key text NOT NULL,
    state       text NOT NULL DEFAULT 'draft',
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL REFERENCES people (sub),
    PRIMARY KEY (document, number)
);

CREATE TABLE contents (
    document uuid NOT NULL,
    version  integer NOT NULL,
    sealed   bytea NOT NULL,
    PRIMARY KEY (document, version),
    FOREIGN KEY (document, version) REFERENCES versions (document, number)
);
-- Ciphertext does not compress; trying costs time at every write.
ALTER TABLE contents ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE TABLE chain_head (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    chain uuid NOT NULL DEFAULT gen_random_uuid(),
    seq   bigint NOT NULL DEFAULT 0,
    hash  bytea NOT NULL DEFAULT sha256('')
);
INSERT INTO chain_head DEFAULT VALUES;

CREATE TABLE audit_outbox (
    seq         bigint PRIMARY KEY,
    id          uuid NOT NULL UNIQUE,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    action      text NOT NULL,
    object_type text NOT NULL,
    object_id   text NOT NULL,
    result      text NOT NULL,
    sealed      bytea NOT NULL,
    hash        bytea NOT NULL
);
CREATE INDEX audit_outbox_object ON audit_outbox (object_id, seq);

CREATE TABLE audit_receipts (
    seq          bigint PRIMARY KEY REFERENCES audit_outbox (seq),
    log_index    bigint NOT NULL,
    leaf_hash    text NOT NULL,
    delivered_at timestamptz NOT NULL DEFAULT now()
);

-- The one way in. It runs as the owner, so that neither `app` nor `audit_writer` needs any right on the table: they cannot
-- choose a sequence number, a hash, or touch what is there. The head's row lock puts concurrent entries in one order.
CREATE FUNCTION audit_append(
    p_id uuid, p_at timestamptz, p_actor text, p_action text, p_object_type text, p_object_id text, p_result text,
    p_sealed bytea
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    head chain_head%ROWTYPE;
    link bytea;
BEGIN
    SELECT * INTO STRICT head FROM chain_head FOR UPDATE;
    link := sha256(
        head.hash || int8send(head.seq) || uuid_send(p_id)
        || convert_to(
            concat_ws(E'\x1f', to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                      p_actor, p_action, p_object_type, p_object_id, p_result), 'UTF8')
        || sha256(p_sealed));
    INSERT INTO audit_outbox (seq, id, at, actor, action, object_type, object_id, result, sealed, hash)
    VALUES (head.seq, p_id, p_at, p_actor, p_action, p_object_type, p_object_id, p_result, p_sealed, link);
    UPDATE chain_head SET seq = head.seq + 1, hash = link;
    RETURN head.seq;
END $$;

CREATE FUNCTION refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: this record is append-only (21 CFR 11.10(e))', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_receipts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON contents
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON documents
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

-- A version's state moves; nothing else of it ever does.
CREATE FUNCTION refuse_version_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.document, NEW.number, NEW.sha256, NEW.size, NEW.sealed_size, NEW.media_type, NEW.sealed, NEW.created_at, NEW.created_by)
       IS DISTINCT FROM
       (OLD.document, OLD.number, OLD.sha256, OLD.size, OLD.sealed_size, OLD.media_type, OLD.sealed, OLD.created_at, OLD.created_by)
    THEN
        RAISE EXCEPTION 'a version is never overwritten (21 CFR 11.10(e))' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER version_fixed BEFORE UPDATE ON versions FOR EACH ROW EXECUTE FUNCTION refuse_version_change();

REVOKE ALL ON FUNCTION audit_append(uuid, timestamptz, text, text, text, text, text, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_append(uuid, timestamptz, text, text, text, text, text, bytea) TO app, audit_writer;
GRANT USAGE ON SCHEMA public TO app, audit_writer;
GRANT SELECT ON schema_migrations TO app;
GRANT SELECT, INSERT ON column_key, audit_receipts, documents, versions, contents TO app;
GRANT SELECT ON audit_outbox, chain_head TO app;
GRANT SELECT, INSERT, UPDATE ON people TO app;
GRANT SELECT, INSERT ON sessions TO app;
GRANT UPDATE (roles, last_seen_at, ended_at, end_reason) ON sessions TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_failures TO app;
GRANT UPDATE (sealed) ON documents TO app;
GRANT UPDATE (state, wrapped_key) ON versions TO app;
