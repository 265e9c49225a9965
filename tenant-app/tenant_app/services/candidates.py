"""Who has a right now: the directory's members and those with a grant, less those whose training is missing."""

from tenant_app.adapters.ports import Directory
from tenant_app.domain.access import RIGHTS_OF, Right, Role
from tenant_app.domain.authority import given_by
from tenant_app.domain.identity import Person
from tenant_app.services.authority import Authority
from tenant_app.services.people import People
from tenant_app.storage import authority
from tenant_app.storage.database import Database


class Candidates:
    """Answers who could be chosen for something."""

    def __init__(self, database: Database, directory: Directory, standing: Authority, people: People) -> None:
        self._database = database
        self._directory = directory
        self._authority = standing
        self._people = people

    async def who_may(self, right: Right) -> list[Person]:
        """Return everybody who has `right` now, by name. Raises DirectoryAway."""
        found: dict[str, Person] = {}
        for role in Role:
            if right in RIGHTS_OF[role]:
                found |= {person.sub: person for person in await self._directory.members(role)}
        async with self._database.transaction() as conn:
            granted = {
                row["sub"]
                for row in await authority.grants(conn)
                if row["ended_at"] is None and right in given_by(row["name"])
            }
        for sub in granted - found.keys():
            person = await self._people.now(sub)
            if person is not None:
                found[sub] = person
        async with self._database.transaction() as conn:
            now = await self._authority.of_many(conn, {sub: person.roles for sub, person in found.items()})
        able = [person for person in found.values() if right in now[person.sub].rights]
        return sorted(able, key=lambda person: person.name.casefold())
