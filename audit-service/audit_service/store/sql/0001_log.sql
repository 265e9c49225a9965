-- The audit log's tables, owned by audit_owner, who cannot log in.
--
-- audit_service may add to a log and read it. It has no UPDATE, DELETE or TRUNCATE on leaf, tile and log, so no bug and no
-- stolen password of it can change or remove an entry. What it may update can only grow: the triggers below say so.

CREATE TABLE log (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    origin text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('platform', 'tenant')),
    tenant text NOT NULL,
    namespace text NOT NULL,
    region text NOT NULL,
    retention_days integer NOT NULL CHECK (retention_days >= 0),
    sealed_key bytea NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);

-- How far a log is sequenced: entries 0 to size-1 are durable.
CREATE TABLE head (
    log integer PRIMARY KEY REFERENCES log,
    size bigint NOT NULL CHECK (size >= 0)
);

-- No foreign keys here and on value: a check a row would cost more than the row, and head's compare-and-set says as much.
CREATE TABLE leaf (
    log integer NOT NULL,
    index bigint NOT NULL CHECK (index >= 0),
    id uuid NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    data bytea NOT NULL CHECK (octet_length(data) <= 65535),
    PRIMARY KEY (log, index),
    UNIQUE (log, id)
);

-- Each source's next number and the hash of its last entry; it could be read from the leaves again.
CREATE TABLE source (
    log integer NOT NULL REFERENCES log,
    kind text NOT NULL,
    id text NOT NULL,
    next bigint NOT NULL CHECK (next > 0),
    last bytea NOT NULL CHECK (octet_length(last) = 32),
    PRIMARY KEY (log, kind, id)
);

-- What an entry commits to, sealed with the log's own key. An erased one keeps its place and names the entry that says why.
CREATE TABLE value (
    log integer NOT NULL,
    index bigint NOT NULL,
    field integer NOT NULL CHECK (field >= 0),
    sealed bytea,
    erased_by bigint,
    PRIMARY KEY (log, index, field),
    CHECK ((sealed IS NULL) = (erased_by IS NOT NULL))
);

-- Full tiles of the Merkle tree (C2SP tlog-tiles), each with the root over its hashes, which is a hash of the tile above.
CREATE TABLE tile (
    log integer NOT NULL REFERENCES log,
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    index bigint NOT NULL CHECK (index >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) = 8192),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    PRIMARY KEY (log, level, index)
);

-- The last signed checkpoint of each log: integrated and proven to be so by reading back.
CREATE TABLE checkpoint (
    log integer PRIMARY KEY REFERENCES log,
    size bigint NOT NULL CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note bytea NOT NULL,
    signed timestamptz NOT NULL DEFAULT now()
);

-- For search only; untrusted, it can be built again from the leaves.
CREATE TABLE finding (
    log integer NOT NULL REFERENCES log,
    index bigint NOT NULL,
    actor text NOT NULL,
    object_type text NOT NULL,
    object_id text NOT NULL,
    action text NOT NULL,
    event timestamptz NOT NULL,
    PRIMARY KEY (log, index)
);
CREATE INDEX finding_actor ON finding (log, actor, index);
CREATE INDEX finding_object ON finding (log, object_id, index);
CREATE INDEX finding_action ON finding (log, action, index);
CREATE INDEX finding_event ON finding (log, event, index);

-- The one process that may write. Whoever takes over raises the fence; every commit of an older one then fails.
CREATE TABLE writer (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    fence bigint NOT NULL,
    holder text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO writer (fence, holder) VALUES (0, 'nobody');

CREATE FUNCTION refuse_shrinking() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.log <> OLD.log OR NEW.size < OLD.size THEN
        RAISE EXCEPTION 'log % cannot go from % back to % entries', OLD.log, OLD.size, NEW.size;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER grow_only BEFORE UPDATE ON head FOR EACH ROW EXECUTE FUNCTION refuse_shrinking();
CREATE TRIGGER grow_only BEFORE UPDATE ON checkpoint FOR EACH ROW EXECUTE FUNCTION refuse_shrinking();

CREATE FUNCTION refuse_unfencing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.fence <= OLD.fence THEN
        RAISE EXCEPTION 'the fence cannot go from % to %', OLD.fence, NEW.fence;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER grow_only BEFORE UPDATE ON writer FOR EACH ROW EXECUTE FUNCTION refuse_unfencing();

-- A value can only go from being there to being erased, by a later entry of its log.
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.erased_by IS NOT NULL OR NEW.erased_by IS NULL OR NEW.sealed IS NOT NULL
       OR (NEW.log, NEW.index, NEW.field) <> (OLD.log, OLD.index, OLD.field) OR NEW.erased_by <= OLD.index THEN
        RAISE EXCEPTION 'a value can only be erased, once, by a later entry';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER erase_only BEFORE UPDATE ON value FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

GRANT SELECT, INSERT ON log, head, leaf, source, value, tile, checkpoint, finding TO audit_service;
GRANT SELECT ON writer TO audit_service;
GRANT UPDATE (size) ON head TO audit_service;
GRANT UPDATE (next, last) ON source TO audit_service;
GRANT UPDATE (sealed, erased_by) ON value TO audit_service;
GRANT UPDATE (size, root, note, signed) ON checkpoint TO audit_service;
GRANT UPDATE (fence, holder, since) ON writer TO audit_service;
