# What the audit service may do in its Vault (JWT role `cloister-audit`, policy `cloister-audit`): use two keys that an
# administrator made for it, and read the public half of the one that signs. It can neither make, rotate, configure, export nor
# delete a key, and no key of a tenant is named here: the audit log is kept when a tenant's keys are destroyed.
#
#   vault write -f transit/keys/cloister-audit-signing type=ed25519
#   vault write -f transit/keys/cloister-audit-sealing type=aes256-gcm96
#   vault write auth/jwt/role/cloister-audit role_type=jwt user_claim=sub bound_audiences=vault token_ttl=15m \
#     bound_subject=system:serviceaccount:cloister-audit:cloister-audit token_policies=cloister-audit
#
# Both keys belong into Vault's backup: what `cloister-audit-sealing` sealed (the ML-DSA-44 keys, and the key of all values
# beside the log's entries) opens with nothing else.

# Checkpoints are signed with this key, Ed25519. Reading it shows its versions' public keys.
path "transit/keys/cloister-audit-signing" {
  capabilities = ["read"]
}
path "transit/sign/cloister-audit-signing" {
  capabilities = ["update"]
}

# `update` without `create`: sealing with a key that is gone fails and never makes a new one of that name.
path "transit/encrypt/cloister-audit-sealing" {
  capabilities = ["update"]
}
path "transit/decrypt/cloister-audit-sealing" {
  capabilities = ["update"]
}
