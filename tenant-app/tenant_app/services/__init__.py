"""Use cases: each one act of a person or of the system, with its audit entry in the same transaction."""
