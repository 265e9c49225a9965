"""Who approved what. Two different people, for this very object; everything else is named and does not count. Pure."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenant_operator.offboarding.words import APPROVALS_NEEDED, Word
from tenant_operator.stack.part import Manifest

_NOT_PEOPLE = ("system:serviceaccount:", "system:node:", "system:kube-", "system:anonymous", "system:apiserver")


@dataclass(frozen=True)
class Count:
    """The approvals that count, by person, and why others do not."""

    approvers: tuple[str, ...]
    records: tuple[Mapping[str, Any], ...]
    ignored: tuple[tuple[Word, str], ...]

    @property
    def enough(self) -> bool:
        """Tell whether enough different people approved."""
        return len(self.approvers) >= APPROVALS_NEEDED

    @property
    def reason(self) -> Word:
        """The most telling reason why it is enough or is not."""
        if self.enough:
            return Word.APPROVED
        return self.ignored[0][0] if self.ignored else Word.APPROVALS_MISSING

    @property
    def message(self) -> str:
        """Who approved, how many are missing, and what did not count."""
        named = ", ".join(self.approvers) or "nobody"
        missing = APPROVALS_NEEDED - len(self.approvers)
        text = f"approved by {named}"
        if missing > 0:
            text += f"; {missing} more approval{'s' if missing > 1 else ''} by a different person needed"
        return "; ".join([text, *(said for _, said in self.ignored)])


def person(name: str) -> str:
    """Return the form in which two spellings of one user name are the same person."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def is_person(name: str) -> bool:
    """Tell whether a user name can be a person's: service accounts and components of the cluster cannot approve."""
    return bool(person(name)) and not person(name).startswith(_NOT_PEOPLE)


_SPELLED = {"@": "-at-", ":": "-c-", "/": "-s-", "_": "-u-", "+": "-p-", " ": "-b-"}
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253


def approval_name(offboarding: str, approver: str) -> str:
    """Return the name that a person's approval must have, so that a second one by the same person already exists.

    The same rule is in templates/admission-offboarding.yaml. A user name that cannot be spelled as a DNS name may use any
    name for its approval; a second one by the same person is then refused by `count`. Returns nothing for such a user.
    """
    text = approver.lower()
    for sign, spelled in _SPELLED.items():
        text = text.replace(sign, spelled)
    name = f"{offboarding}.{text}"
    return name if _DNS_NAME.fullmatch(name) and len(name) <= _LONGEST_NAME else ""


def count(offboarding: Manifest, approvals: Sequence[Manifest]) -> Count:
    """Count the approvals of an offboarding, oldest first so that the answer does not depend on the order of a list."""
    meta = offboarding["metadata"]
    found: dict[str, Manifest] = {}
    ignored: list[tuple[Word, str]] = []
    for approval in sorted(approvals, key=_age):
        spec, name = approval["spec"], approval["metadata"]["name"]
        if spec["offboarding"] != meta["name"]:
            continue
        who = spec["approver"]
        if spec["offboardingUID"] != meta["uid"]:
            ignored.append((Word.FOR_ANOTHER_OFFBOARDING, f"approval {name} is for another object of this name"))
        elif not is_person(who):
            ignored.append((Word.APPROVER_NOT_A_PERSON, f"approval {name} is by {who}, which is no person"))
        elif person(who) in found:
            ignored.append((Word.SAME_PERSON_TWICE, f"approval {name} does not count: {who} already approved"))
        else:
            found[person(who)] = approval
    return Count(
        tuple(approval["spec"]["approver"] for approval in found.values()),
        tuple(_record(approval) for approval in found.values()),
        tuple(ignored),
    )


def _age(approval: Manifest) -> tuple[str, str]:
    meta = approval["metadata"]
    return (meta.get("creationTimestamp", ""), meta["name"])


def _record(approval: Manifest) -> dict[str, Any]:
    meta, spec = approval["metadata"], approval["spec"]
    return {
        "name": meta["name"],
        "uid": meta.get("uid", ""),
        "approver": spec["approver"],
        "statement": spec["statement"],
        "at": meta.get("creationTimestamp", ""),
    }
