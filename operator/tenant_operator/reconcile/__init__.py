"""How a stack becomes real: gather → plan → record intent → apply → check → status → record outcome."""
