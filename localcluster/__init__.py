"""A real Kubernetes on one machine, for those who have none.

Everything is compiled from Go modules or taken from Debian's packages, so no image registry and no
container engine is needed. `python -m localcluster up` brings it up, `down` leaves nothing behind.
"""
