"""From the trail alone back to the state: what every document is, was said to be, and where it stands (11.10(e), AT-12).

If folding the entries from the first one on gives what the tables hold, then the trail has every change, in order, whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_VERSION = ("/fileName", "/mediaType", "/size", "/sha256")
_WORDS = ("/title", "/kind", "/project", "/reference")


class GapError(ValueError):
    """An entry does not follow from those before it."""


@dataclass(slots=True, kw_only=True)
class VersionState:
    """A version as the trail tells it."""

    file_name: str
    media_type: str
    size: int
    sha256: str
    state: str = "draft"
    reviewers: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class DocumentState:
    """A document as the trail tells it. `words` are the values of its description by path, empty ones left out."""

    number: int
    words: dict[str, str]
    folder: str
    versions: dict[int, VersionState] = field(default_factory=dict)
    remarks: dict[str, tuple[str, bool]] = field(default_factory=dict)
    signatures: list[tuple[int, str, str]] = field(default_factory=list)
    held: bool = False
    disposed: bool = False


def replay(entries: Iterable[dict[str, Any]]) -> dict[str, DocumentState]:
    """Return every document's state after the entries' bodies, oldest first. What was refused changes nothing.

    Raises KeyError for a change of something that no entry made before, and GapError for one from another value.
    """
    found: dict[str, DocumentState] = {}
    for entry in entries:
        if entry["result"] != "ok" or entry["object"]["type"] != "Document":
            continue
        new = {change["path"]: change.get("new") for change in entry["change"]}
        identity = entry["object"]["id"]
        if entry["action"] == "app:document:create":
            found[identity] = DocumentState(number=new["/number"], words=_words(new), folder=new.get("/folder") or "")
            found[identity].versions[new["/version"]] = _version(new)
        elif identity in found:
            _apply(found[identity], entry, new)
    return found


def _apply(document: DocumentState, entry: dict[str, Any], new: dict[str, Any]) -> None:
    number = int(entry["object"].get("version") or 0)
    match entry["action"]:
        case "app:document:update":
            _update(document, entry, new)
        case "app:annotation:create":
            document.remarks[new["/id"]] = (new["/annotation"], False)
        case "app:annotation:resolve":
            document.remarks[new["/id"]] = (document.remarks[new["/id"]][0], True)
        case "app:workflow:assign":
            document.versions[number].reviewers.add(new["/reviewers"])
        case "app:workflow:transition":
            _expect(document.versions[number].state, entry, "/state")
            document.versions[number].state = new["/state"]
        case "app:signature:create" | "app:signature:revoke":
            document.signatures.append((number, new["/meaning"], new["/signature"]))
        case "app:retention:update" if "/hold" in new:
            document.held = new["/hold"]
        case "app:document:delete":
            document.disposed = True
        case _:
            # Reads and copies change nothing.
            return


def _expect(found: str, entry: dict[str, Any], path: str) -> None:
    """Compare what was before with what the entry says was before: an entry that is missing between them is found."""
    [old] = [change.get("old") for change in entry["change"] if change["path"] == path]
    if (old or "") != found:
        raise GapError(f"entry {entry['id']} changes {path} from another value than the entries before it left")


def _update(document: DocumentState, entry: dict[str, Any], new: dict[str, Any]) -> None:
    if "/version" in new:
        document.versions[new["/version"]] = _version(new)
    elif "/folder" in new:
        _expect(document.folder, entry, "/folder")
        document.folder = new["/folder"] or ""
    else:
        for path in new:
            _expect(document.words.get(path, ""), entry, path)
        document.words = _words({**document.words, **new})


def _words(new: dict[str, Any]) -> dict[str, str]:
    named = {path: value for path, value in new.items() if path in _WORDS or path.startswith("/fields/")}
    return {path: value for path, value in named.items() if value}


def _version(new: dict[str, Any]) -> VersionState:
    file_name, media_type, size, sha256 = (new[path] for path in _VERSION)
    return VersionState(file_name=file_name, media_type=media_type, size=size, sha256=sha256)
