"""`cloister-verify`: check an audit log with no network and no trust in who runs it.

Also `python -m audit_contract`, and one file made by `audit_contract.zipapp` that needs Python and `cryptography` only.
Exit codes: 0 ok, 1 tampered, 2 incomplete, 3 not signed as asked, 4 bad input, 5 times run backwards or a
time-stamp is bad. With `--json` every line is one JSON object, the last one the report; without it a table, in
which nothing that a log's sources wrote can steer a terminal.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from audit_contract import bundle as bundles
from audit_contract.checkpoint import from_text, open_checkpoint
from audit_contract.keys import KeyVerifier, parse_vkey
from audit_contract.leaf import LeafError, read_leaf
from audit_contract.merkle import ProofError, leaf_hash, root_of, verify_consistency
from audit_contract.note import NoteError, SignatureError, UnsignedError, decode_base64, parse
from audit_contract.proof import verify_proof
from audit_contract.report import Exit, Report
from audit_contract.tiles import TileError, split_entries
from audit_contract.verify import verify_bundle

_SHOWN = 20


class _Parser(argparse.ArgumentParser):
    """Wrong arguments are bad input like any other: 2, argparse's own answer, means incomplete here."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Exit.BAD_INPUT, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        report = _COMMANDS[chosen.command](chosen)
    except UnsignedError as error:
        report = _failed(Exit.POLICY, error)
    except (SignatureError, ProofError, LeafError) as error:
        report = _failed(Exit.TAMPERED, error)
    except (OSError, NoteError, TileError, bundles.BundleError, UnicodeDecodeError) as error:
        report = _failed(Exit.BAD_INPUT, error)
    _say(json.dumps(report.as_json()) if chosen.json else _table(report))
    return int(report.code)


def _say(line: str) -> None:
    """Write a line, in whatever encoding the terminal has."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _plain(text: str) -> str:
    """Return text with everything escaped that is not to be seen: a name in a log must not move a cursor or hide a line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cloister-verify", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("bundle", "everything: entries, proofs, signatures, sources, values"),
        ("gaps", "what is missing: numbers of sources, outcomes of intents; exit 2 when anything is"),
        ("timeline", "the same as bundle, and the entries in order"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("bundle", type=Path)
        command.add_argument("--log", help="the log's origin, when the bundle must be of this log")
        command.add_argument("--since", type=Path, help="an older checkpoint of the log that the bundle must continue")
        command.add_argument(
            "--tsa", type=Path, help="certificates (PEM) of time-stamp authorities that count (else exit 5)"
        )
        command.add_argument(
            "--policy", type=Path, help="a tlog-policy: the witnesses that must have cosigned (else exit 3)"
        )
        _add_keys(command)
    entry = commands.add_parser("entry", help="one entry with its .tlog-proof")
    entry.add_argument("proof", type=Path)
    entry.add_argument("--leaf", type=Path, required=True, help="the entry's bytes")
    entry.add_argument("--log", required=True)
    _add_keys(entry)
    consistency = commands.add_parser("consistency", help="two checkpoints and the proof that one continues the other")
    for name in ("old", "new", "proof"):
        consistency.add_argument(name, type=Path)
    consistency.add_argument("--log", required=True)
    _add_keys(consistency)
    return parser


def _add_keys(command: argparse.ArgumentParser) -> None:
    command.add_argument("--key", action="append", default=[], help="a verifier key of the log; may be given again")
    command.add_argument("--keys", type=Path, help="a file of verifier keys, one a line")


def _keys(chosen: argparse.Namespace) -> list[str]:
    lines = chosen.keys.read_text().splitlines() if chosen.keys else []
    return [*chosen.key, *(line for line in lines if line.strip())]


def _verifiers(chosen: argparse.Namespace) -> list[KeyVerifier]:
    return [parse_vkey(text) for text in _keys(chosen)]


def _bundle(chosen: argparse.Namespace) -> Report:
    data = chosen.bundle.read_bytes()
    policy = chosen.policy.read_text() if chosen.policy else None
    tsa = chosen.tsa.read_bytes() if chosen.tsa else None
    report = verify_bundle(data, _keys(chosen), chosen.log, policy, tsa)
    if chosen.since is not None and report.ok:
        _check_since(report, data, chosen)
    return report


def _check_since(report: Report, data: bytes, chosen: argparse.Namespace) -> None:
    """Check that the bundle's first entries are the tree of an older checkpoint, signed by one of the keys where given."""
    note = chosen.since.read_bytes()
    known = _verifiers(chosen)
    point = open_checkpoint(note, report.log, known).checkpoint if known else from_text(parse(note).text)
    entries = _entries(bundles.read(data))
    if point.origin != report.log or point.size > report.size:
        report.add(Exit.INCOMPLETE, None, f"the older checkpoint is of {point.origin} with {point.size} entries")
    elif root_of(leaf_hash(entry) for entry in entries[: point.size]) != point.root:
        report.add(
            Exit.TAMPERED,
            None,
            f"the first {point.size} entries are not those of the older checkpoint: the log was forked",
        )


def _entries(bundle: bundles.Bundle) -> list[bytes]:
    return [entry for member in bundle.entry_members() for entry in split_entries(bundle.members[member])]


def _gaps(chosen: argparse.Namespace) -> Report:
    report = _bundle(chosen)
    for index in report.open_intents:
        report.add(Exit.INCOMPLETE, index, f"entry {index}: an intent whose outcome is not in the log")
    for index in report.orphans:
        report.add(Exit.INCOMPLETE, index, f"entry {index}: an outcome whose intent is not in the log before it")
    return report


def _timeline(chosen: argparse.Namespace) -> Report:
    report = _bundle(chosen)
    if report.code not in {Exit.BAD_INPUT, Exit.TAMPERED}:
        for index, entry in enumerate(_entries(bundles.read(chosen.bundle.read_bytes()))):
            _say(_line(index, read_leaf(entry).data, as_json=chosen.json))
    return report


def _line(index: int, data: dict[str, Any], *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"index": index, "entry": data})
    who = data["actor"].get("name") or data["actor"]["sub"]
    what = f"{data['object']['type']}/{data['object']['id']}"
    result = str(data.get("result", ""))
    line = f"{index:>7} {data['t']['event']} {who:<24} {data['action']:<32} {data['phase']:<8} {result:<7} {what}"
    return _plain(line)


def _entry(chosen: argparse.Namespace) -> Report:
    leaf = chosen.leaf.read_bytes()
    index, point = verify_proof(chosen.proof.read_bytes(), leaf, chosen.log, [*_verifiers(chosen)])
    read_leaf(leaf)
    return Report(
        log=chosen.log, size=point.size, root=point.root.hex(), proven=1, trusted=True, signed_by=[f"entry {index}"]
    )


def _consistency(chosen: argparse.Namespace) -> Report:
    old, new = (
        open_checkpoint(path.read_bytes(), chosen.log, _verifiers(chosen)).checkpoint
        for path in (chosen.old, chosen.new)
    )
    path = [decode_base64(line) for line in chosen.proof.read_text().split()]
    verify_consistency(old.size, new.size, path, old.root, new.root)
    return Report(log=chosen.log, size=new.size, root=new.root.hex(), trusted=True)


_COMMANDS = {"bundle": _bundle, "gaps": _gaps, "timeline": _timeline, "entry": _entry, "consistency": _consistency}


def _failed(kind: Exit, error: Exception) -> Report:
    report = Report()
    report.add(kind, None, str(error))
    return report


def _stamped(report: Report) -> str:
    whose = "" if report.stamps_trusted else "; by whom was not checked, --tsa does"
    return f"{report.stamps} time-stamps, the last of {report.stamped}{whose}" if report.stamps else ""


def _table(report: Report) -> str:
    rows = [
        ("result", "ok" if report.ok else report.code.name.lower().replace("_", " ")),
        ("log", report.log),
        ("entries", f"{report.proven} of {report.size} proven"),
        ("root", report.root),
        ("values", f"{report.values} fit, {report.erased} erased by a recorded act"),
        ("signed by", ", ".join(report.signed_by)),
        ("witnessed by", ", ".join(report.witnessed_by)),
        ("stamped", _stamped(report)),
        ("keys", "given by you" if report.trusted else "taken from the bundle itself: it agrees with itself, no more"),
        ("open intents", str(len(report.open_intents))),
        ("first bad", "" if report.first_bad is None else f"entry {report.first_bad}"),
    ]
    shown = [f"{name:<13} {_plain(value)}" for name, value in rows if value]
    shown += [f"{problem.kind.name.lower():<13} {_plain(problem.text)}" for problem in report.problems[:_SHOWN]]
    if len(report.problems) > _SHOWN:
        shown.append(f"{'':<13} and {len(report.problems) - _SHOWN} more")
    return "\n".join(shown)


if __name__ == "__main__":
    sys.exit(main())
