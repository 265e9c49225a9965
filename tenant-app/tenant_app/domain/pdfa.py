"""What a PDF/A validator says of a file (ISO 19005), and the words for it.

The report is veraPDF's `--format json`: `report.jobs[0].validationResult[0]` with `compliant` and `details.ruleSummaries`.
Only the texts of the validation profile are taken from it, never those that quote the file.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import TypeAdapter

FLAVOURS = ("1a", "1b", "2a", "2b", "2u", "3a", "3b", "3u", "4", "4e", "4f")
"""Part and level of every PDF/A there is: ISO 19005-1:2005, -2:2011, -3:2012, -4:2020."""
_SHOWN = 3
_LONGEST = 240
_MOST_RULES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that the file breaks, in the words of veraPDF's validation profile."""

    specification: str
    clause: str
    test: int
    description: str

    def __str__(self) -> str:
        """Return the rule for people, its description at most 240 characters."""
        text = self.description
        if len(text) > _LONGEST:
            text = text[:_LONGEST].rsplit(" ", 1)[0] + "…"
        return f"{self.specification}, clause {self.clause}, test {self.test}: {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a file is the PDF/A it claims to be. `rules` may be empty: not every validator says why."""

    compliant: bool
    rules: tuple[Rule, ...] = ()
    readable: bool = True

    @classmethod
    def of_report(cls, report: bytes) -> Self:
        """Return the verdict of veraPDF's JSON report on one file. Raises ValueError when it is none."""
        try:
            (job,) = json.loads(report)["report"]["jobs"]
            (result,) = job["validationResult"]
            rules = [_rule(item) for item in result["details"]["ruleSummaries"]]
            return cls(compliant=result["compliant"] is True, rules=_in_order(rules))
        except (KeyError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"this is no report of veraPDF on one file: {type(error).__name__}") from error

    @classmethod
    def of_json(cls, text: bytes) -> Self:
        """Return the verdict that `as_json` wrote. Raises ValueError when it is none."""
        return TypeAdapter(cls).validate_json(text, strict=True)

    def as_json(self) -> bytes:
        """Return `{"compliant": bool, "readable": bool, "rules": [{specification, clause, test, description}]}`."""
        return TypeAdapter(type(self)).dump_json(self)

    def refusal(self, flavour: str) -> str:
        """Return why the file is refused, for who uploads it: at most three rules, and how many more there are."""
        if not self.readable:
            return "The PDF/A validator cannot read the file as a PDF. Save it anew as PDF/A."
        start = f"The file claims to be PDF/A-{flavour}, and the PDF/A validator finds that it is not."
        shown = " ".join(_sentence(str(rule)) for rule in self.rules[:_SHOWN])
        more = len(self.rules) - _SHOWN
        rest = f"{more} more rule{'s' if more > 1 else ''} broken." if more > 0 else ""
        return " ".join(filter(None, (start, shown, rest)))


def _rule(item: Mapping[str, Any]) -> Rule:
    return Rule(
        specification=str(item["specification"]),
        clause=str(item["clause"]),
        test=int(item["testNumber"]),
        description=str(item["description"]),
    )


def _in_order(rules: list[Rule]) -> tuple[Rule, ...]:
    """Return the first fifty rules, by clause: veraPDF's own order changes from run to run."""

    def key(rule: Rule) -> tuple[list[int], int]:
        return [int(part) for part in re.findall(r"\d+", rule.clause)], rule.test

    return tuple(sorted(rules, key=key)[:_MOST_RULES])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "…")) else f"{text}."
