"""The only rooms that import kopf, and the only place where everything is put together. Ten lines a handler."""
