# What the audit service may do in Vault (JWT role `cloister-audit`, policy `cloister-audit`): use keys of its own, named
# `cloister-audit-…`, to wrap the data keys that seal values beside the log's entries. It makes them, it cannot delete them,
# and it cannot touch a tenant's keys: the audit log is kept when a tenant's keys are destroyed.

path "transit/keys/cloister-audit-*" {
  capabilities = ["create", "read", "update"]
}
path "transit/datakey/plaintext/cloister-audit-*" {
  capabilities = ["update"]
}
path "transit/encrypt/cloister-audit-*" {
  capabilities = ["update"]
}
path "transit/decrypt/cloister-audit-*" {
  capabilities = ["update"]
}
path "transit/rewrap/cloister-audit-*" {
  capabilities = ["update"]
}

# Its own token.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
