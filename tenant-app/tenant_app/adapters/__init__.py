"""The outside: Vault, the directory, the audit service. Each behind a port, each translating its errors."""
