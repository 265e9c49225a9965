-- Search by lists instead of by rows: what is integrated together is found together, so that an entry costs a few bytes here
-- and no index of its own. Untrusted, as `finding` was; it can be built again from the leaves.

-- Entries start to start + cardinality(events) - 1, at most 2048, integrated together: when each happened, and between which times.
CREATE TABLE span (
    log integer NOT NULL,
    start bigint NOT NULL CHECK (start >= 0),
    earliest timestamptz NOT NULL,
    latest timestamptz NOT NULL,
    events timestamptz[] NOT NULL CHECK (cardinality(events) BETWEEN 1 AND 2048),
    PRIMARY KEY (log, start)
);
CREATE INDEX span_earliest ON span (log, earliest, start);
CREATE INDEX span_latest ON span (log, latest, start);

-- Which entries of a span have a value. Facets: 1 actor, 2 object's id, 3 object's type, 4 action. A value is named by the first
-- 16 bytes of its SHA-256, for a text of 1024 characters is longer than what an index takes.
CREATE TABLE posting (
    log integer NOT NULL,
    facet smallint NOT NULL CHECK (facet BETWEEN 1 AND 4),
    value bytea NOT NULL CHECK (octet_length(value) = 16),
    start bigint NOT NULL,
    offsets smallint[] NOT NULL CHECK (cardinality(offsets) BETWEEN 1 AND 2048),
    PRIMARY KEY (log, facet, value, start)
);

INSERT INTO span (log, start, earliest, latest, events)
SELECT log, min(index), min(event), max(event), array_agg(event ORDER BY index) FROM finding GROUP BY log, index / 2048;

INSERT INTO posting (log, facet, value, start, offsets)
SELECT log, facet, substr(sha256(convert_to(value, 'UTF8')), 1, 16), index / 2048 * 2048,
       array_agg((index % 2048)::smallint ORDER BY index)
  FROM finding CROSS JOIN LATERAL (VALUES (1, actor), (2, object_id), (3, object_type), (4, action)) AS each (facet, value)
 GROUP BY 1, 2, 3, 4;

DROP TABLE finding;

GRANT SELECT, INSERT ON span, posting TO audit_service;
