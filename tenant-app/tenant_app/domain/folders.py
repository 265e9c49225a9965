"""Folders: a path a document lies at. A folder exists while a document lies in it or below; it gives and takes no right."""

from tenant_app.domain.documents import checked_text
from tenant_app.errors import InvalidInput

DEEPEST = 8


def checked_folder(given: str) -> str:
    """Return a folder's path, such as Quality/SOPs, without a slash at either end; empty for the top.

    Raises InvalidInput.
    """
    parts = [
        checked_text(part, field="folder", label="A folder's name", least=1, most=80)
        for part in given.split("/")
        if part.strip()
    ]
    if len(parts) > DEEPEST:
        raise InvalidInput(f"Folders can be {DEEPEST} deep.", field="folder")
    if any(part.strip(".") == "" for part in parts):
        raise InvalidInput("A folder's name cannot be dots alone.", field="folder")
    return "/".join(parts)


def lies_in(folder: str, top: str) -> bool:
    """Say whether a folder is `top` or below it."""
    return not top or folder == top or folder.startswith(f"{top}/")


def moved(folder: str, old: str, new: str) -> str:
    """Return where a folder at or below `old` is once `old` is called `new`."""
    rest = folder.removeprefix(old).lstrip("/")
    return "/".join(part for part in (new, rest) if part)


def crumbs(folder: str) -> list[tuple[str, str]]:
    """Return (name, path) from the top to this folder."""
    parts = folder.split("/") if folder else []
    return [(part, "/".join(parts[: place + 1])) for place, part in enumerate(parts)]
