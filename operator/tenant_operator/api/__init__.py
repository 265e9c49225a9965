"""What users write and read: the models, the names derived from them, and the CRDs generated from them.

This room knows no other room.
"""
