"""The tenant app: a document platform for one regulated tenant (21 CFR Part 11)."""

__version__ = "0.1.0"
