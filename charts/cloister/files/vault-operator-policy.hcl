# What the Cloister operator may do in a Region's Vault (JWT role `cloister-operator`, policy `cloister-operator`).
# Mounts are written as in Region.spec.vault's defaults: transit and jwt.
#
# It makes, rotates and, at an offboarding, deletes tenants' keys; it never reads a plaintext: no decrypt, no datakey, no
# export, no backup. That what was sealed opens no more is proved with `rewrap`, which needs the key and reveals nothing.
# Whoever may write policies and roles can grant rights: the operator's own policy and role, and the audit service's, are
# denied to it, and Vault's audit device shows every policy it writes. Watch for policies that name more than their tenant.

path "transit/keys" {
  capabilities = ["list"]
}
# Tenants' keys, with their /config and /rotate.
path "transit/keys/cloister-*" {
  capabilities = ["create", "read", "update", "delete"]
}
# `update` without `create`: sealing with a key that is gone fails and never makes a new one of that name.
path "transit/encrypt/cloister-*" {
  capabilities = ["update"]
}
path "transit/rewrap/cloister-*" {
  capabilities = ["update"]
}

# The platform's own signing key, for certificates of destruction. It cannot be deleted or reconfigured by the operator.
path "transit/keys/cloister-platform-signing" {
  capabilities = ["create", "read", "update"]
}
path "transit/keys/cloister-platform-signing/*" {
  capabilities = ["deny"]
}
path "transit/sign/cloister-platform-signing" {
  capabilities = ["update"]
}
path "transit/verify/cloister-platform-signing" {
  capabilities = ["update"]
}

# The audit service's keys are none of the operator's business.
path "transit/keys/cloister-audit*" {
  capabilities = ["deny"]
}
path "transit/encrypt/cloister-audit*" {
  capabilities = ["deny"]
}
path "transit/rewrap/cloister-audit*" {
  capabilities = ["deny"]
}

# Policies and login roles of tenants' service accounts.
path "sys/policies/acl" {
  capabilities = ["list"]
}
path "sys/policies/acl/cloister-*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/policies/acl/cloister-operator" {
  capabilities = ["deny"]
}
path "sys/policies/acl/cloister-audit*" {
  capabilities = ["deny"]
}
path "auth/jwt/role" {
  capabilities = ["list"]
}
path "auth/jwt/role/cloister-*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/jwt/role/cloister-operator" {
  capabilities = ["deny"]
}
path "auth/jwt/role/cloister-audit*" {
  capabilities = ["deny"]
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
