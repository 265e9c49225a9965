"""What a witness is told, in one JSON file. Keys are camelCase; unknown ones are refused with their name."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from audit_contract.keys import KeyVerifier, parse_vkey
from audit_service.settings import Listen, Part

_Name = Annotated[str, StringConstraints(pattern=r"^[!-*,-~]{1,200}$")]


class LogRule(Part):
    """Logs that are witnessed: one origin, or every origin with a prefix; and the keys that sign them.

    A verifier key's own name does not matter here: the same key signs each log under the log's name.
    """

    origin: _Name | None = None
    prefix: _Name | None = None
    vkeys: tuple[str, ...] = ()
    vkeys_file: Path | None = Field(None, description="One verifier key a line; read anew, so keys can be added to it.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.origin is None) == (self.prefix is None):
            raise ValueError("a rule names an origin or a prefix, one of them")
        if not self.vkeys and self.vkeys_file is None:
            raise ValueError("a rule has vkeys or a vkeysFile; without keys nothing could be checked")
        for vkey in self.vkeys:
            parse_vkey(vkey)
        return self

    def covers(self, origin: str) -> bool:
        """Tell whether the rule is for this log."""
        return origin == self.origin if self.prefix is None else origin.startswith(self.prefix)

    def verifiers(self, origin: str) -> list[KeyVerifier]:
        """Return the keys under the log's name. Raises OSError or NoteError when the file cannot be used."""
        texts = list(self.vkeys)
        if self.vkeys_file is not None:
            texts += self.vkeys_file.read_text().split()
        return [KeyVerifier(origin, each.kind, each.key) for each in map(parse_vkey, texts)]


class WitnessConfig(Part):
    """The whole. `name` is the key name in its cosignatures: like a URL without a scheme, and never changed."""

    name: _Name
    storage: Path = Field(
        description="Its keys and what it signed. Never restored from a copy: that would be a set back."
    )
    logs: tuple[LogRule, ...] = Field(min_length=1)
    listen: Listen = Listen(port=8444)

    def rule(self, origin: str) -> LogRule | None:
        """Return the first rule for a log."""
        return next((rule for rule in self.logs if rule.covers(origin)), None)
