"""What a stranger needs to read, check and write Cloister's audit log.

Pure: nothing here does I/O except `client`. What the offline verifier loads (`canonical`, `leaf`, `merkle`, `tiles`,
`note`, `keys`, `checkpoint`, `proof`, `bundle`, `verify`) needs the standard library, `cryptography` and `rfc8785` only.
"""
