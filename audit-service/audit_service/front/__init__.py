"""Fronts: processes that take in appends, so that one process does not do all. Everything else they pass on."""
