-- Retention, legal hold, and what the scrubber compares (21 CFR 11.10(a), 11.10(c)).
ALTER TABLE documents
    ADD COLUMN retention_class text NOT NULL DEFAULT 'standard',
    ADD COLUMN retain_until    timestamptz NOT NULL DEFAULT now() + interval '10 years',
    ADD COLUMN held_at         timestamptz,
    ADD COLUMN held_by         text,
    ADD COLUMN hold_sealed     bytea,
    ADD COLUMN disposed_at     timestamptz;
-- Of the ciphertext, so that a scrub needs no key. Empty for versions that were stored before this migration.
ALTER TABLE versions ADD COLUMN sealed_sha256 text NOT NULL DEFAULT '';

GRANT UPDATE (retention_class, retain_until, held_at, held_by, hold_sealed) ON documents TO app;

-- Retention is never shortened, by nobody, not even by the owner of the schema in an ordinary statement.
CREATE FUNCTION refuse_shorter_retention() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.retain_until < OLD.retain_until THEN
        RAISE EXCEPTION 'retention can be extended but not shortened (21 CFR 11.10(c))' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER retention_kept BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION refuse_shorter_retention();

-- Contents may go only when their document's retention is over and no hold is on it; the database itself sees to that.
DROP TRIGGER append_only ON contents;
CREATE FUNCTION refuse_content_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT 1 FROM documents d WHERE d.id = OLD.document AND d.retain_until < now() AND d.held_at IS NULL
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% on contents is refused: retention or a hold is in force (21 CFR 11.10(c))', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON contents FOR EACH ROW EXECUTE FUNCTION refuse_content_change();
CREATE TRIGGER kept_whole BEFORE TRUNCATE ON contents FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

CREATE FUNCTION dispose_document(p_document uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM contents WHERE document = p_document;
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE versions SET wrapped_key = '' WHERE document = p_document;
    UPDATE documents SET disposed_at = now() WHERE id = p_document;
    RETURN gone;
END $$;
REVOKE ALL ON FUNCTION dispose_document(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dispose_document(uuid) TO app;
