"""Who is asking, for a service: a live session or the system, and the request it belongs to."""

from dataclasses import dataclass

from tenant_app.domain.access import Right
from tenant_app.domain.audit import Actor
from tenant_app.domain.identity import Session
from tenant_app.errors import Forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A signed-in person within one request. Services check rights here too: a route is not the only door."""

    session: Session
    request: str

    @property
    def actor(self) -> Actor:
        """Return the person as an entry names them. The session is named by a hash of its stored hash's start."""
        return Actor(
            type="user",
            sub=self.session.sub,
            name=self.session.name,
            auth={"session": self.session.id_hash.hex()[:16], "method": self.session.method},
        )

    def require(self, right: Right) -> None:
        """Return when the person has the right. Raises Forbidden."""
        if right not in self.session.rights:
            raise Forbidden(f"This needs the right to {right.value}. Your administrator can tell who has it.")
