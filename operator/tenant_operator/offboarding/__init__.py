"""The only way anything of a tenant is destroyed: hold, approve, export, destroy, certify (DESIGN §1.3)."""
