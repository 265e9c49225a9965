"""The only rooms with I/O. Each translates its library's errors into `tenant_operator.errors`."""
