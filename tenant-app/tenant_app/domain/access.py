"""Who may do what: rights are separate, roles are bundles of rights, nothing is given by default (11.10(d), 11.10(g)).

`administer` gives no right over content: an administrator cannot read a document, and a reader cannot manage people.
"""

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType


class Right(StrEnum):
    """One thing that a person may be allowed to do."""

    VIEW = "view"
    AUTHOR = "author"
    ANNOTATE = "annotate"
    REVIEW = "review"
    APPROVE = "approve"
    PUBLISH = "publish"
    ADMINISTER = "administer"


class Role(StrEnum):
    """A bundle of rights, given by membership of a directory group."""

    READER = "reader"
    AUTHOR = "author"
    REVIEWER = "reviewer"
    APPROVER = "approver"
    PUBLISHER = "publisher"
    ADMINISTRATOR = "administrator"


RIGHTS_OF = MappingProxyType(
    {
        Role.READER: frozenset({Right.VIEW}),
        Role.AUTHOR: frozenset({Right.VIEW, Right.AUTHOR, Right.ANNOTATE}),
        Role.REVIEWER: frozenset({Right.VIEW, Right.ANNOTATE, Right.REVIEW}),
        Role.APPROVER: frozenset({Right.VIEW, Right.ANNOTATE, Right.APPROVE}),
        Role.PUBLISHER: frozenset({Right.VIEW, Right.PUBLISH}),
        Role.ADMINISTRATOR: frozenset({Right.ADMINISTER}),
    }
)


def rights_of(roles: Iterable[Role], extra: Iterable[Right] = ()) -> frozenset[Right]:
    """Return the union of the roles' rights and of extra grants that are in force."""
    granted = set(extra)
    for role in roles:
        granted |= RIGHTS_OF[role]
    return frozenset(granted)
