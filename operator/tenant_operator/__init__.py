"""Cloister's operator: one Tenant YAML becomes an isolated, audited stack, and stays one."""
