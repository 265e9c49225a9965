-- How far each log's copy under Object Lock has come, a row a log and bucket. It only saves work: what the copy holds is
-- proven by the copy itself.
CREATE TABLE worm_copy (
    log integer NOT NULL REFERENCES log,
    store text NOT NULL,
    bundles bigint NOT NULL CHECK (bundles >= 0),
    size bigint NOT NULL CHECK (size >= 0),
    identity text NOT NULL,
    copied timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (log, store)
);
CREATE TRIGGER grow_only BEFORE UPDATE ON worm_copy FOR EACH ROW EXECUTE FUNCTION refuse_shrinking();

GRANT SELECT, INSERT ON worm_copy TO audit_service;
GRANT UPDATE (bundles, size, identity, copied) ON worm_copy TO audit_service;
