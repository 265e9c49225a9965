"""The inspector's pages: one log, read in a browser. Read-only but for signing in and out; no script, nothing from elsewhere."""
