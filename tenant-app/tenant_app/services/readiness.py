"""What has to be there before a person signs, looked at inside the signing's own transaction (11.10(j), 11.100(b))."""

from dataclasses import dataclass
from typing import Any

from tenant_app.domain.policy import BY_DIRECTORY
from tenant_app.errors import NotReadyToSign
from tenant_app.services.authority import AuthorityRules
from tenant_app.services.caller import Caller
from tenant_app.storage import sign_off
from tenant_app.storage.database import Conn


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What the signature's payload says about the signer: how their identity was verified, and the policy that they accepted."""

    enrolment: dict[str, Any]
    policy_sha256: str | None


class Readiness:
    """The gate before every signature."""

    def __init__(self, rules: AuthorityRules) -> None:
        self._rules = rules

    async def check(self, conn: Conn, caller: Caller) -> Ready:
        """Return what the record says of the signer. Raises NotReadyToSign, saying what to do."""
        return Ready(enrolment=await self._enrolment(conn, caller), policy_sha256=await self._policy(conn, caller))

    async def _enrolment(self, conn: Conn, caller: Caller) -> dict[str, Any]:
        rows = await sign_off.enrolments(conn, caller.session.sub)
        if rows:
            return {"basis": "record", "id": str(rows[0]["id"]), "verified_on": rows[0]["verified_on"].isoformat()}
        if self._rules.enrolment == "required":
            raise NotReadyToSign(
                "Nobody has recorded yet that your identity was verified. An administrator records it; then you can sign."
                " Nothing was signed."
            )
        return {"basis": "directory", "words": BY_DIRECTORY}

    async def _policy(self, conn: Conn, caller: Caller) -> str | None:
        policy = await sign_off.current_policy(conn)
        if policy is None:
            return None
        if await sign_off.accepted(conn, policy["version"], caller.session.sub) is None:
            raise NotReadyToSign(
                f"Version {policy['version']} of the policy waits for you: read and accept it, then sign. Nothing was signed.",
                link="/me/policy",
                label="Read the policy",
            )
        return str(policy["sha256"])
