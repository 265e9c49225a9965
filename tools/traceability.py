"""Writes docs/traceability.md: clause → control → tests → last result, from the tests' own names (`test_at29_…`).

    python tools/traceability.py [--junit REPORT.xml …] [--check]

The table below says what each acceptance test shows; which tests there are is read from the tests. Results come from junit
reports where given, and stay empty otherwise: a result that nobody measured is not written down. `--check` changes nothing and
ends with 1 when the committed page names other clauses or tests than there are now.
"""

import argparse
import ast
import re
import sys
import xml.etree.ElementTree as ET  # reports of our own test runs
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "traceability.md"
TESTS: Final = ROOT / "tests"
_NAMED: Final = re.compile(r"(?:^|_)at(\d{2})(?=_|$)")


@dataclass(frozen=True, slots=True)
class Row:
    """One acceptance test: the clause it answers, the control in one line, and what shows it."""

    number: int
    clause: str
    control: str
    shows: str


def _rows(clause: str, control: str, *shown: tuple[int, str]) -> list[Row]:
    return [Row(number, clause, control, shows) for number, shows in shown]


TABLE: Final = [
    *_rows(
        "11.10 opening",
        "one identity source, TLS, keys a tenant, sealed signature records, a witness",
        (1, "bundles and seals verify offline; single flipped bits are found"),
    ),
    *_rows(
        "11.10(a)",
        "qualification per installation; hash checked at every read; a scrubber",
        (2, "the qualification report's image digests are the running ones"),
        (3, "one altered byte of a stored version is found, recorded and told"),
    ),
    *_rows(
        "11.10(b)",
        "export of original bytes, JSON, PDF, trail, signatures, digests",
        (4, "what was exported has the source's counts and hashes"),
        (5, "PDF/A is checked; every signature is visible in the PDF"),
    ),
    *_rows(
        "11.10(c)",
        "retention and legal hold; restore drills",
        (6, "deletion under retention is refused and recorded for every role"),
        (7, "years later, keys rotated, a record is there, verifies, and is kept to its last day"),
        (8, "a restore drill recovers all versions"),
    ),
    *_rows(
        "11.10(d)",
        "LDAP bind, deny by default, deprovisioning at once",
        (9, "the matrix of routes and roles"),
        (10, "disabled in the directory: the session dies"),
        (11, "anonymous and empty-password binds are refused"),
    ),
    *_rows(
        "11.10(e)",
        "append-only trail with old, new and reason; kept as long as the record",
        (12, "replaying the trail from nothing rebuilds the state"),
        (13, "no route changes an entry unseen"),
        (14, "the trail outlives the record"),
        (15, "no change without its entry, whatever dies when"),
    ),
    *_rows(
        "11.10(f)",
        "one state machine, one guard",
        (16, "nothing is published without review, then approval, of the same bytes"),
        (17, "a step out of order is refused and recorded"),
    ),
    *_rows(
        "11.10(g)",
        "separate rights; an administrator has no content rights; author is not approver",
        (18, "the matrix of rights"),
        (19, "nobody holds two of author, reviewer, approver on a version"),
        (20, "a change of role takes effect at the next request"),
    ),
    *_rows(
        "11.10(h)",
        "workload identity; declared type against content; sessions bound to clients",
        (21, "a file that is not what it says is refused; a forged identity too"),
    ),
    *_rows("11.10(i)", "training as a precondition", (22, "a right that needs training is not given without it")),
    *_rows(
        "11.10(j)",
        "accountability policy accepted before signing",
        (23, "a new policy version blocks signing until accepted"),
    ),
    *_rows(
        "11.10(k)(1)",
        "documentation shipped and versioned with the image",
        (24, "the documentation's hash is the image's"),
    ),
    *_rows(
        "11.10(k)(2)",
        "every change of configuration is an entry",
        (25, "each generation maps to an intent and an outcome"),
    ),
    *_rows(
        "11.30",
        "TLS everywhere, keys a tenant, sealed signatures",
        (26, "no plaintext at rest or on the wire; seals verify offline"),
    ),
    *_rows(
        "11.50(a)",
        "printed name, time, meaning from a closed list",
        (27, "missing, extra and free-text meanings are refused"),
    ),
    *_rows("11.50(b)", "signatures in every readable form", (28, "the PDF's text has name, time, zone and meaning")),
    *_rows(
        "11.70",
        "signatures bound to record, version, content, and the one before",
        (29, "moved, removed or replayed signatures are found"),
    ),
    *_rows(
        "11.100(a)",
        "identity is the directory's immutable id",
        (30, "a re-created account does not inherit signatures"),
    ),
    *_rows("11.100(b)", "enrolment before signing", (31, "who is not enrolled cannot sign")),
    *_rows(
        "11.100(c)",
        "letter to the agency; evidence a signature",
        (32, "the evidence pack of one signature verifies alone"),
    ),
    *_rows("11.200(a)(1)", "two components, typed in the dialog", (33, "a session alone never signs")),
    *_rows(
        "11.200(a)(1)(i)",
        "all components first, later the password",
        (34, "the table of what may sign"),
        (35, "the components are in each record"),
    ),
    *_rows("11.200(a)(1)(ii)", "any break asks for all again", (36, "after a break the password alone is refused")),
    *_rows(
        "11.200(a)(2)",
        "nobody signs as another; delegation is labelled",
        (37, "a delegated session cannot sign as its principal"),
    ),
    *_rows("11.200(a)(3)", "misuse needs two people", (38, "a lone administrator cannot reset and use")),
    *_rows("11.200(b)", "no biometric signatures", (39, "a biometric mode is refused")),
    *_rows("11.300(a)", "unique, normalised account names", (40, "two entries for one name: nobody is picked")),
    *_rows(
        "11.300(b)",
        "password age, access reviews",
        (41, "too old a password does not sign"),
        (42, "an overdue review alerts"),
    ),
    *_rows("11.300(c)", "loss: sessions end at once", (43, "reported loss ends every session")),
    *_rows(
        "11.300(d)",
        "lockout, throttle, alerts in ten seconds",
        (44, "five bad signings lock and alert"),
        (45, "a sink that is down: the next one is told"),
    ),
    *_rows("11.300(e)", "testing of tokens", (46, "an untested token must be tested before it signs")),
    *_rows(
        "11.10(d), sessions",
        "timeouts, limits, delays",
        (47, "the idle timeout cannot be extended by people"),
        (48, "100 parallel sign-ins leave exactly the limit"),
        (49, "progressive delay locks nobody else out"),
    ),
    *_rows("11.10(e), versions", "versions are never overwritten", (50, "the same version again is a conflict")),
    *_rows("11.10(c), end of life", "verified destruction", (51, "destruction is verified and certified")),
    *_rows(
        "Annex 11 (2011)",
        "reason for changes; reviewed trails; printouts show changes",
        (52, "a change or deletion without a reason is refused"),
        (53, "a trail review is a signed record of exactly the entries that were shown"),
        (54, "the PDF marks changed values"),
    ),
    *_rows(
        "Annex 11 (draft 2025)",
        "the trail is always on; access reviews; time zones",
        (55, "no setting turns the trail off"),
        (56, "an edit after signing is a new, unsigned version"),
        (57, "an access review has a signed outcome"),
        (58, "the time zone is printed"),
    ),
    *_rows(
        "FDA data integrity 2018",
        "the trail is reviewed before approval; data is a record when made",
        (59, "no approval before the trail was opened"),
        (60, "what is sent is stored with its entry when the answer comes; browsers keep nothing"),
    ),
    *_rows(
        "ICH E6(R3) 4.2.2",
        "removal of personal data is an act of its own",
        (61, "redaction erases one value and the tree still verifies"),
    ),
]


def named_tests(folder: Path) -> dict[int, list[str]]:
    """Return the tests of each acceptance test, as `path::name`, read from the sources without importing them."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for number in _NAMED.findall(node.name):
                    found[int(number)].append(f"{path.relative_to(folder.parent).as_posix()}::{node.name}")
    return {number: sorted(set(names)) for number, names in found.items()}


def results(reports: Iterable[Path]) -> dict[str, str]:
    """Return the worst outcome of each test in junit reports: parametrised cases count together."""
    rank = {"passed": 0, "skipped": 1, "failed": 2}
    found: dict[str, str] = {}
    for report in reports:
        for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314  # reports of our own test runs
            tags = {child.tag for child in case}
            outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
            name = f"{case.get('classname', '').replace('.', '/')}.py::{(case.get('name') or '').partition('[')[0]}"
            if rank[outcome] >= rank.get(found.get(name, ""), -1):
                found[name] = outcome
    return found


def page(tests: dict[int, list[str]], outcomes: dict[str, str]) -> str:
    """Return the page's text."""
    lines = [
        "# Traceability",
        "",
        "Clause → control → tests → last result. Written by `python tools/traceability.py` from the tests' names; do not edit.",
        "AT numbers are those of the acceptance tests for 21 CFR Part 11 and its companions. A result is of the last run that",
        "was given to the program; without one the column says nothing. A tested control does not make a validated system.",
        "",
        "| clause | control | AT | shows | tests | last result |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in TABLE:
        names = tests.get(row.number, [])
        cells = "<br>".join(f"`{name.rpartition('/')[2]}`" for name in names) or "**none**"
        lines.append(
            f"| {row.clause} | {row.control} | AT-{row.number:02d} | {row.shows} | {cells} | {_outcome(names, outcomes)} |"
        )
    missing = [f"AT-{row.number:02d} ({row.shows})" for row in TABLE if not tests.get(row.number)]
    lines += ["", "## Without a test", ""]
    lines += [f"- {each}" for each in missing] or ["None."]
    return "\n".join(lines) + "\n"


def _outcome(names: list[str], outcomes: dict[str, str]) -> str:
    seen = [outcomes[name] for name in names if name in outcomes]
    counts = [f"{seen.count(word)} {word}" for word in ("passed", "failed", "skipped") if word in seen]
    return ", ".join(counts)


def without_results(text: str) -> list[str]:
    """Return a page's lines with the last column emptied, for comparing what does not depend on a run."""
    return [re.sub(r" \| [^|]*\|$", " |", line) if line.startswith("|") else line for line in text.splitlines()]


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or compare it; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--junit", type=Path, action="append", default=[], help="a junit report; may be given again")
    parser.add_argument("--check", action="store_true", help="compare only")
    chosen = parser.parse_args(arguments)
    text = page(named_tests(TESTS), results(chosen.junit))
    if chosen.check:
        committed = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        if without_results(committed) == without_results(text):
            return 0
        sys.stderr.write("docs/traceability.md is not current: run python tools/traceability.py\n")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
