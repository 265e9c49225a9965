-- A review of a document's trail is a signature that moves nothing (Annex 11 (2011) s.9). So nothing voids it either: a revocation
-- rejects a version, and who signed for its trail only has no signature on the version to revoke. The version of the app before
-- this one does not know that; the database keeps it from that.
CREATE FUNCTION refuse_revoked_trail_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM signatures WHERE id = NEW.revokes AND meaning = 'trail-review') THEN
        RAISE EXCEPTION 'a trail review is not revoked: sign another one' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER trail_review_stands BEFORE INSERT ON signatures
    FOR EACH ROW WHEN (NEW.revokes IS NOT NULL) EXECUTE FUNCTION refuse_revoked_trail_review();
