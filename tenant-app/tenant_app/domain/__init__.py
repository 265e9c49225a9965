"""Pure rules: no I/O, no clock but the one passed in, no framework."""
