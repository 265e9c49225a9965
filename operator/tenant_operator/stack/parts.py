"""The parts of a tenant, in the order they are made. Taking a tenant down, qualifying and describing it walk this list."""

from tenant_operator.stack import app, backup, database, keys, namespace, network, pdfa_judge, residency
from tenant_operator.stack.part import Part

PARTS: tuple[Part, ...] = (namespace, network, residency, keys, database, backup, pdfa_judge, app)
