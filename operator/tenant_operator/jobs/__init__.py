"""What runs in the tenants' namespaces from the operator's image: backup, export, isolation probe."""
