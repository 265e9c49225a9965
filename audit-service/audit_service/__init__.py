"""Cloister's audit service: durable append, one Merkle log a tenant, signed checkpoints and proofs over HTTP.

Rooms: `settings` (what it is told), `store` (PostgreSQL, the only SQL), `log` (sequence → integrate → checkpoint), `http`
(identity, entitlement, calls), `serve` (wires them). `audit_contract` is what all of it speaks.
"""
