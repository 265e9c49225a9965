"""What a person may do right now: the directory's roles, extra grants, and the training that the tenant demands (11.10(g), (i)).

Pure rules. A grant never joins administration with content, nobody gives themselves anything, and everything given has an end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from tenant_app.domain.access import RIGHTS_OF, Right, Role, rights_of
from tenant_app.errors import Conflict, Forbidden, InvalidInput

# Everything that a grant or a training record can be about. `author` is a role and a right; a grant of it gives the role.
NAMES: frozenset[str] = frozenset(Role) | frozenset(Right)
CONTENT: frozenset[Right] = frozenset(Right) - {Right.ADMINISTER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A role or right that a person has beyond the directory's groups, or a training record, and until when."""

    id: UUID
    name: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells people apart. One human may have two accounts; then mail or personnel number are the same."""

    sub: str
    mail: str = ""
    personnel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What a person may do now. `withheld`: roles and rights they would have, were their training valid."""

    roles: frozenset[Role]
    rights: frozenset[Right]
    withheld: frozenset[str]


def given_by(name: str) -> frozenset[Right]:
    """Return the rights that a role or right of this name gives. Raises InvalidInput for an unknown name."""
    if name in set(Role):
        return RIGHTS_OF[Role(name)]
    if name in set(Right):
        return frozenset({Right(name)})
    raise InvalidInput("Choose a role or a right from the list.", field="name")


def in_force(
    directory: Iterable[Role], granted: Iterable[str], *, trained: frozenset[str], required: frozenset[str]
) -> InForce:
    """Return what the directory's roles and the grants give, less what the tenant demands training for and the person lacks."""
    missing = required - trained
    names = {role.value for role in directory} | set(granted)
    roles = frozenset(Role(name) for name in names if name in set(Role) and name not in missing)
    extra = frozenset(Right(name) for name in names if name in set(Right) and name not in set(Role))
    every = rights_of((Role(name) for name in names if name in set(Role)), extra)
    rights = frozenset(right for right in rights_of(roles, extra) if right.value not in missing)
    lost = {right.value for right in every - rights}
    return InForce(roles=roles, rights=rights, withheld=frozenset((names & missing) | lost))


def needed_training(name: str, required: frozenset[str]) -> frozenset[str]:
    """Return the training that a grant of this name needs: its own and that of each right that it gives."""
    return frozenset({name} | {right.value for right in given_by(name)}) & required


def same_person(one: Identity, other: Identity) -> bool:
    """Say whether two accounts are one human: one id, one mail address, or one personnel number."""
    mail = one.mail.strip().casefold()
    number = one.personnel.strip().casefold()
    return (
        one.sub == other.sub
        or (bool(mail) and mail == other.mail.strip().casefold())
        or (bool(number) and number == other.personnel.strip().casefold())
    )


def check_grant(
    *, giver: Identity, receiver: Identity, name: str, has: InForce, trained: frozenset[str], required: frozenset[str]
) -> None:
    """Return when a grant may be made.

    Raises Forbidden when the giver would give it to themselves, Conflict when it would join administration with content or a
    training record is missing (AT-22), InvalidInput for an unknown name.
    """
    rights = given_by(name)
    if same_person(giver, receiver):
        raise Forbidden(
            "Nobody grants anything to themselves, nor to another account of theirs. Ask another administrator."
        )
    if rights <= has.rights:
        raise Conflict("They have this already.")
    if separated(has.rights | rights):
        raise Conflict("Administration and content are kept apart: nobody gets both by a grant (11.10(g)).")
    missing = needed_training(name, required) - trained
    if missing:
        raise Conflict(
            f"A valid training record is missing for: {', '.join(sorted(missing))}. Record the training first."
        )


def separated(rights: Iterable[Right]) -> bool:
    """Say whether these rights join what should be apart: administering and any content."""
    found = frozenset(rights)
    return Right.ADMINISTER in found and bool(found & CONTENT)


def checked_until(until: datetime, *, now: datetime, longest: timedelta) -> datetime:
    """Return an end that is in the future and not too far. Raises InvalidInput."""
    if until <= now:
        raise InvalidInput("The end has to lie in the future.", field="until")
    if until > now + longest:
        raise InvalidInput(f"The longest time is {longest.days} days: choose an earlier end.", field="until")
    return until


def day_end(text: str) -> datetime:
    """Return the last second of a day written YYYY-MM-DD, in UTC. Raises InvalidInput."""
    try:
        return datetime.fromisoformat(f"{text.strip()}T23:59:59+00:00")
    except ValueError as error:
        raise InvalidInput("Write the day as YYYY-MM-DD.", field="until") from error
