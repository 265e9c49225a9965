-- Folders, edits of a description, words of contents for search, and the key that seals renditions (21 CFR 11.10(b), 11.10(e)).

-- A folder is a sealed path beside the description, not in it: what was signed names the description's digest, and moving a
-- document is no change of what was signed. `changed_at` tells every replica's index that something is to be read again.
ALTER TABLE documents
    ADD COLUMN folder_sealed bytea,
    ADD COLUMN changed_at    timestamptz NOT NULL DEFAULT now();
CREATE INDEX documents_changed ON documents (changed_at);
GRANT UPDATE (folder_sealed, changed_at) ON documents TO app;

-- The words of a version's content, sealed: an index is rebuilt from these without Vault and without opening a file again.
CREATE TABLE version_texts (
    document   uuid NOT NULL,
    version    integer NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document, version),
    FOREIGN KEY (document, version) REFERENCES versions (document, number)
);
CREATE INDEX version_texts_made ON version_texts (created_at);
GRANT SELECT, INSERT ON version_texts TO app;

-- What was destroyed is not found by its words either.
CREATE OR REPLACE FUNCTION dispose_document(p_document uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM contents WHERE document = p_document;
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM version_texts WHERE document = p_document;
    UPDATE versions SET wrapped_key = '' WHERE document = p_document;
    UPDATE documents SET disposed_at = now(), changed_at = now() WHERE id = p_document;
    RETURN gone;
END $$;

-- The P-256 key that seals PDF renditions, wrapped by the transit key, with its certificate from the tenant's signing key.
CREATE TABLE seal_keys (
    id          uuid PRIMARY KEY,
    wrapped     text NOT NULL,
    certificate bytea NOT NULL,
    issuer      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON seal_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
GRANT SELECT, INSERT ON seal_keys TO app;
