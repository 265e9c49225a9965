"""The tenant's policy: published by an administrator, accepted by each person before they sign (11.10(j), AT-23)."""

from datetime import UTC, datetime

from psycopg.errors import UniqueViolation

from tenant_app.domain.access import Right
from tenant_app.domain.actions import Action
from tenant_app.domain.audit import Change, Entry, ObjectRef, Reason
from tenant_app.domain.documents import checked_reason, checked_text
from tenant_app.domain.policy import Policy, checked_body
from tenant_app.errors import Conflict
from tenant_app.services.caller import Caller
from tenant_app.services.columns import Columns
from tenant_app.services.people import People
from tenant_app.services.recorder import Recorder
from tenant_app.storage import sign_off
from tenant_app.storage.database import Conn, Database, Row


class Policies:
    """Publishes and accepts. A version never changes; a new one asks everybody again."""

    def __init__(self, database: Database, columns: Columns, recorder: Recorder, people: People) -> None:
        self._database = database
        self._columns = columns
        self._recorder = recorder
        self._people = people

    async def publish(self, caller: Caller, title: str, text: str, reason: str) -> Policy:
        """Publish the next version: from now on nobody signs before accepting it. Raises InvalidInput, Conflict."""
        caller.require(Right.ADMINISTER)
        name = checked_text(title, field="title", label="The title", least=3, most=200)
        body, why, now = checked_body(text), checked_reason(reason), datetime.now(UTC)
        await self._columns.ready()
        try:
            async with self._database.transaction() as conn:
                await self._recorder.refuse_when_behind(conn)
                before = await self._current(conn)
                if before is not None and (before.title, before.text) == (name, body):
                    raise Conflict("This is exactly the current policy: there is nothing to publish.")
                policy = Policy(
                    version=before.version + 1 if before else 1,
                    title=name,
                    text=body,
                    published_at=now,
                    published_by=caller.session.name,
                )
                await self._keep(conn, caller, policy)
                changes = (
                    Change(path="/version", old=before.version if before else None, new=policy.version),
                    Change(path="/sha256", old=before.sha256 if before else None, new=policy.sha256),
                    Change(path="/title", old=before.title if before else None, new=policy.title),
                )
                await self._recorder.with_change(conn, _entry(Action.POLICY_PUBLISHED, caller, policy, changes, why))
        except UniqueViolation as error:
            raise Conflict("Somebody else published a version at the same moment. Look at it first.") from error
        return policy

    async def accept(self, caller: Caller, sha256: str) -> None:
        """Accept the current version for oneself; `sha256` is of the text that was shown. Again changes nothing.

        Raises Conflict when another version is current by now.
        """
        await self._columns.ready()
        async with self._database.transaction() as conn:
            policy = await self._current(conn)
            if policy is None or policy.sha256 != sha256:
                raise Conflict("This is not the current policy any more. Read the current one, then accept it.")
            if await sign_off.accept(conn, policy.version, caller.session.sub, sha256, datetime.now(UTC)):
                changes = (
                    Change(path="/version", new=policy.version),
                    Change(path="/sha256", new=policy.sha256),
                )
                text = f"I have read “{policy.title}” and will be accountable for what I do under my signature."
                await self._recorder.with_change(conn, _entry(Action.POLICY_ACCEPTED, caller, policy, changes, text))

    async def current(self) -> Policy | None:
        """Return the version in force, or None before the first."""
        await self._columns.ready()
        async with self._database.transaction() as conn:
            return await self._current(conn)

    async def every(self, caller: Caller) -> list[Policy]:
        """Return all versions, newest first, with how many people accepted each."""
        caller.require(Right.ADMINISTER)
        await self._columns.ready()
        async with self._database.transaction() as conn:
            return [await self._policy(conn, row) for row in await sign_off.policies(conn)]

    async def accepted_at(self, caller: Caller) -> datetime | None:
        """Return when the caller accepted the current version."""
        async with self._database.transaction() as conn:
            policy = await sign_off.current_policy(conn)
            return await sign_off.accepted(conn, policy["version"], caller.session.sub) if policy else None

    async def _current(self, conn: Conn) -> Policy | None:
        row = await sign_off.current_policy(conn)
        return await self._policy(conn, row) if row else None

    async def _policy(self, conn: Conn, row: Row) -> Policy:
        words = self._columns.open(row["sealed"], "policies", str(row["version"]))
        return Policy(
            version=row["version"],
            title=words["title"],
            text=words["text"],
            published_at=row["published_at"],
            published_by=await self._people.name(conn, row["published_by"]),
            accepted=row.get("accepted", 0),
        )

    async def _keep(self, conn: Conn, caller: Caller, policy: Policy) -> None:
        row = {
            "version": policy.version,
            "sealed": self._columns.seal({"title": policy.title, "text": policy.text}, "policies", str(policy.version)),
            "sha256": policy.sha256,
            "by": caller.session.sub,
            "at": policy.published_at,
        }
        await sign_off.insert_policy(conn, row)


def _entry(action: Action, caller: Caller, policy: Policy, changes: tuple[Change, ...], why: str) -> Entry:
    return Entry(
        action=action,
        actor=caller.actor,
        object=ObjectRef(type="Policy", id="accountability", version=str(policy.version), sha256=policy.sha256),
        changes=changes,
        reason=Reason(code="policy", text=why),
        request=caller.request,
    )
