"""The witness: a program of its own that signs only trees which continue the ones it signed before (C2SP tlog-witness)."""
