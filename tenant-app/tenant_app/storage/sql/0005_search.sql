-- Search takes up what is new before each answer: it must not read everything to find nothing.
CREATE INDEX documents_made ON documents (created_at);
CREATE INDEX versions_made ON versions (created_at);
CREATE INDEX annotations_made ON annotations (created_at);
