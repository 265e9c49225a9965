"""Who people are, for services that name them: opened from their sealed descriptions."""

import re
from dataclasses import dataclass
from datetime import datetime

from tenant_app.adapters.ports import Directory
from tenant_app.domain.access import Role
from tenant_app.domain.authority import Identity
from tenant_app.domain.identity import Person
from tenant_app.errors import NotFound
from tenant_app.services.columns import Columns
from tenant_app.storage import people, sign_off
from tenant_app.storage.database import Conn, Database

GONE = "somebody who is no longer known"
_SUB = re.compile(r"[A-Za-z0-9:-]{1,64}")
# An id that the directory gave, entryUUID or objectGUID; anybody else is known to an identity provider only.
_OF_DIRECTORY = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Somebody who has signed in at least once; `roles` as the directory said at their last sign-in."""

    sub: str
    name: str
    account: str
    mail: str
    title: str
    roles: frozenset[Role]
    live: int
    suspended_at: datetime | None

    @property
    def identity(self) -> Identity:
        """Return what tells them apart, without the personnel number, which an enrolment record holds."""
        return Identity(sub=self.sub, mail=self.mail)


def of_directory(sub: str) -> bool:
    """Say whether the directory knows this id, rather than an identity provider only."""
    return _OF_DIRECTORY.fullmatch(sub) is not None


class People:
    """Reads people; changes nobody."""

    def __init__(self, database: Database, columns: Columns, directory: Directory) -> None:
        self._database = database
        self._columns = columns
        self._directory = directory

    async def now(self, sub: str) -> Person | None:
        """Return a person as they are allowed now, or None when they are not; raises DirectoryAway.

        The directory is asked, except about somebody whom only an identity provider knows: they are as at their last sign-in.
        """
        if of_directory(sub):
            return await self._directory.look_up(sub)
        async with self._database.transaction() as conn:
            sealed = await people.find_person(conn, sub) if _SUB.fullmatch(sub) else None
        if sealed is None:
            return None
        words = self._columns.open(sealed, "people", sub)
        return Person(**{**words, "roles": frozenset(Role(role) for role in words["roles"])})

    async def every(self, conn: Conn) -> dict[str, Known]:
        """Return everyone who ever signed in, by id, in the order of their names."""
        await self._columns.ready()
        found = []
        for row in await people.all_people(conn):
            words = self._columns.open(row["sealed"], "people", row["sub"])
            found.append(
                Known(
                    sub=row["sub"],
                    name=words["name"],
                    account=words["account"],
                    mail=words["mail"],
                    title=words["title"],
                    roles=frozenset(Role(role) for role in words["roles"]),
                    live=row["live"],
                    suspended_at=row["suspended_at"],
                )
            )
        return {each.sub: each for each in sorted(found, key=lambda each: each.name.casefold())}

    async def name(self, conn: Conn, sub: str) -> str:
        """Return a person's printed name."""
        sealed = await people.find_person(conn, sub)
        return str(self._columns.open(sealed, "people", sub)["name"]) if sealed else GONE

    async def identity(self, conn: Conn, sub: str) -> Identity:
        """Return what tells a person apart: id, mail, and the personnel number of their newest enrolment record.

        Raises NotFound for somebody who never signed in.
        """
        sealed = await people.find_person(conn, sub) if _SUB.fullmatch(sub) else None
        if sealed is None:
            raise NotFound(
                "There is no such person here. Somebody has to sign in once before they can be given anything."
            )
        words = self._columns.open(sealed, "people", sub)
        return Identity(sub=sub, mail=words["mail"], personnel=await self._personnel(conn, sub))

    async def _personnel(self, conn: Conn, sub: str) -> str:
        rows = await sign_off.enrolments(conn, sub)
        if not rows:
            return ""
        return str(self._columns.open(rows[0]["sealed"], "enrolments", str(rows[0]["id"]), sub)["personnel"])
