"""C2SP tlog-policy: which logs and witnesses are known, and how many of them make a checkpoint good. Pure.

Source: c2sp.org/tlog-policy. Names of witnesses and groups are only labels within one file.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from audit_contract.keys import KeyType, KeyVerifier, parse_vkey
from audit_contract.note import NoteError

MAX_POLICY: Final = 1 << 20
NONE: Final = "none"
_WITNESS_KINDS: Final = frozenset({KeyType.ED25519_COSIGNATURE, KeyType.ML_DSA_44})
_BLANK: Final = re.compile(r"[ \t]+")
_THRESHOLD: Final = re.compile(r"[1-9][0-9]{0,5}")


class PolicyError(ValueError):
    """The text is not a tlog-policy. The message names the line."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group that has witnessed a checkpoint when `threshold` of its members have."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read: the logs' keys, the witnesses' keys by name, the groups, and the quorum's name."""

    logs: tuple[KeyVerifier, ...]
    witnesses: Mapping[str, KeyVerifier]
    groups: Mapping[str, Group]
    quorum: str

    def met(self, signed: Iterable[KeyVerifier]) -> bool:
        """Tell whether cosignatures by these keys satisfy the quorum."""
        return self._witnessed(self.quorum, {each.vkey for each in signed})

    def _witnessed(self, name: str, signed: set[str]) -> bool:
        if name == NONE:
            return True
        if name in self.witnesses:
            return self.witnesses[name].vkey in signed
        group = self.groups[name]
        return sum(self._witnessed(member, signed) for member in group.members) >= group.threshold


@dataclass(slots=True)
class _Draft:
    """What was read of a policy so far."""

    logs: list[KeyVerifier] = field(default_factory=list)
    witnesses: dict[str, KeyVerifier] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str = ""
    members: set[str] = field(default_factory=set)

    def line(self, words: Sequence[str]) -> None:
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self.logs.append(_fresh(parse_vkey(vkey), self.logs))
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                verifier = _fresh(parse_vkey(vkey), self.witnesses.values())
                if verifier.kind not in _WITNESS_KINDS:
                    raise PolicyError(f"{name}: a witness's key is of the kind 04 or 06")
                self.witnesses[self._new(name)] = verifier
            case ["group", name, threshold, *members] if members:
                self.groups[self._new(name)] = self._group(threshold, members)
            case ["quorum", name] if not self.quorum:
                if name != NONE and name not in self.witnesses and name not in self.groups:
                    raise PolicyError(f"{name} is not defined before the quorum")
                self.quorum = name
            case _:
                raise PolicyError("not a log, witness, group or the one quorum")

    def _new(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise PolicyError(f"the name {name} is taken")
        return name

    def _group(self, threshold: str, members: Sequence[str]) -> Group:
        for member in members:
            if (member not in self.witnesses and member not in self.groups) or member in self.members:
                raise PolicyError(f"{member} is not defined before, or is in a group already")
            self.members.add(member)
        words = {"any": 1, "all": len(members)}
        if threshold not in words and not _THRESHOLD.fullmatch(threshold):
            raise PolicyError(f"{threshold!r} is not any, all or a number")
        count = words.get(threshold) or int(threshold)
        if count > len(members):
            raise PolicyError(f"a group of {len(members)} has not {count} members")
        return Group(count, tuple(members))


def _fresh(verifier: KeyVerifier, others: Iterable[KeyVerifier]) -> KeyVerifier:
    if any(verifier.key.public_bytes_raw() == other.key.public_bytes_raw() for other in others):
        raise PolicyError(f"the public key of {verifier.name} is there twice")
    return verifier


def parse_policy(text: str) -> Policy:
    """Read a policy file. Raises PolicyError naming the line that is wrong."""
    if len(text) > MAX_POLICY or (text and not text.endswith("\n")):
        raise PolicyError(f"a policy is lines that end with a newline, at most {MAX_POLICY} bytes")
    draft = _Draft()
    for number, line in enumerate(text.split("\n"), 1):
        if any(char < " " and char != "\t" for char in line):
            raise PolicyError(f"line {number}: a control character")
        words = _BLANK.split(line.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            continue
        try:
            draft.line(words)
        except (PolicyError, NoteError) as error:
            raise PolicyError(f"line {number}: {error}") from error
    if not draft.quorum:
        raise PolicyError("a policy has one quorum line")
    return Policy(tuple(draft.logs), draft.witnesses, draft.groups, draft.quorum)


def write_policy(logs: Iterable[str], witnesses: Mapping[str, Sequence[str]], threshold: int) -> str:
    """Return the policy "`threshold` of these witnesses"; a witness with several keys must have signed with all of them.

    `witnesses` has each one's verifier keys by its name. Names of theirs with a space in them are not given.
    """
    lines = [f"log {vkey}" for vkey in logs]
    for name, vkeys in witnesses.items():
        if len(vkeys) == 1:
            lines.append(f"witness {name} {vkeys[0]}")
        else:
            parts = [f"{name}.{number}" for number in range(1, len(vkeys) + 1)]
            lines += [f"witness {part} {vkey}" for part, vkey in zip(parts, vkeys, strict=True)]
            lines.append(f"group {name} all {' '.join(parts)}")
    if threshold and witnesses:
        lines.append(f"group quorum {threshold} {' '.join(witnesses)}")
        lines.append("quorum quorum")
    else:
        lines.append(f"quorum {NONE}")
    return "".join(f"{line}\n" for line in lines)
