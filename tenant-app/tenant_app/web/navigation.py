"""The main navigation: only what the person can use is shown."""

from collections.abc import Callable
from dataclasses import dataclass

from tenant_app.domain.access import Right


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One entry of the navigation."""

    href: str
    label: str
    icon: str
    right: Right | None = None
    under: tuple[str, ...] = ()

    def here(self, path: str) -> bool:
        """Say whether `path` is this entry's page or one below it."""
        return path == self.href or any(path.startswith(prefix) for prefix in self.under)


LINKS = (
    Link(href="/", label="Home", icon="home"),
    Link(href="/documents", label="Documents", icon="documents", right=Right.VIEW, under=("/documents/",)),
    Link(href="/upload", label="New document", icon="upload", right=Right.AUTHOR),
    Link(href="/me", label="Your rights", icon="shield", under=("/me/",)),
    Link(href="/admin", label="Administration", icon="people", right=Right.ADMINISTER, under=("/admin/",)),
)


def navigation(may: Callable[[Right], bool]) -> list[Link]:
    """Return the links of a person who may do what `may` says."""
    return [link for link in LINKS if link.right is None or may(link.right)]
