-- What others vouch for: cosigned checkpoints, the keys a log was signed with one after the other, and time-stamps.

-- The last checkpoint of each log that enough witnesses have cosigned. It follows `checkpoint` and only grows.
CREATE TABLE cosigned (
    log integer PRIMARY KEY REFERENCES log,
    size bigint NOT NULL CHECK (size >= 0),
    note bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER grow_only BEFORE UPDATE ON cosigned FOR EACH ROW EXECUTE FUNCTION refuse_shrinking();

-- Generations of keys. The first has no hand-over; of every later one `note` is the checkpoint of `size` leaves, signed by the
-- generation before, that covers the entry `announced`, which names the new keys.
CREATE TABLE generation (
    log integer NOT NULL REFERENCES log,
    number integer NOT NULL CHECK (number >= 0),
    vkeys text[] NOT NULL CHECK (cardinality(vkeys) > 0),
    announced bigint,
    size bigint,
    note bytea,
    PRIMARY KEY (log, number),
    CHECK ((number = 0) = (announced IS NULL)),
    CHECK ((announced IS NULL) = (note IS NULL) AND (announced IS NULL) = (size IS NULL)),
    CHECK (announced IS NULL OR announced < size)
);

-- RFC 3161 time-stamps: the checkpoint that was stamped, the request with its nonce, and the authority's reply.
CREATE TABLE stamp (
    log integer NOT NULL REFERENCES log,
    size bigint NOT NULL CHECK (size > 0),
    authority text NOT NULL,
    note bytea NOT NULL,
    request bytea NOT NULL,
    reply bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (log, size, authority)
);

GRANT SELECT, INSERT ON cosigned, generation, stamp TO audit_service;
GRANT UPDATE (size, note, at) ON cosigned TO audit_service;
