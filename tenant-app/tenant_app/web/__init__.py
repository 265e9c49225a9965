"""HTTP: routes, templates, static files. Decides nothing; asks the services."""
