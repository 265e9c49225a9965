-- The keys that the service itself must hold, each as ciphertext of Vault's transit engine; their plaintext is in memory only.
-- They are copied under Object Lock with the logs they belong to, so they survive this database as the logs do.
CREATE TABLE held_key (
    kind text NOT NULL CHECK (kind IN ('ml-dsa-44', 'sealing')),
    number integer NOT NULL CHECK (number >= 0),
    sealed text NOT NULL CHECK (sealed LIKE 'vault:v%:%'),
    made timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, number)
);
GRANT SELECT, INSERT ON held_key TO audit_service;
