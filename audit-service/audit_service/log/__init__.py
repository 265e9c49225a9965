"""Sequence, integrate, sign: what happens to an entry between being sent and being proven."""
