"""Reading forms: in memory, up to a limit, with their token checked before anything else is done with them."""

from collections.abc import AsyncIterator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from tenant_app.domain.ids import same_token
from tenant_app.errors import ForgeryRefused, InvalidInput, TooLarge

# Room for the other fields and the parts' headers around a file of the largest size.
_AROUND = 64 * 1024
_PLAIN_LIMIT = 256 * 1024
_SAFE_SITES = frozenset({"same-origin", "none"})
# Of what is counted here (document numbers, versions) nothing needs more; a longer one would not fit the database.
_MAX_DIGITS = 9
TOKEN_FIELD = "csrf"  # noqa: S105  # the field's name, not a token
TOKEN_HEADER = "x-csrf-token"  # noqa: S105  # the header's name


class _InMemory(MultiPartParser):
    """Keeps files in memory: what is uploaded must not lie on a disk, not even in /tmp, before it is sealed."""

    spool_max_size = 1 << 40


def refuse_other_sites(request: Request, hostname: str) -> None:
    """Raise ForgeryRefused when a browser says that another site sent this request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in _SAFE_SITES:
        raise ForgeryRefused("This request came from another site, so nothing was done.")
    origin = request.headers.get("origin")
    if origin not in (None, "null") and origin.partition("://")[2] not in {request.headers.get("host"), hostname}:
        raise ForgeryRefused("This request came from another site, so nothing was done.")


def whole_number(text: str) -> int | None:
    """Return a number that somebody sent, None when it is not one: `str.isdigit` alone takes superscripts for digits too."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


async def read_form(request: Request, *, expected: str, max_bytes: int) -> FormData:
    """Return the form after comparing its token with `expected` in constant time.

    Raises TooLarge, InvalidInput for a form that cannot be read, ForgeryRefused for a missing or other token.
    """
    kind, _ = parse_options_header(request.headers.get("content-type"))
    multipart = kind == b"multipart/form-data"
    limit = max_bytes + _AROUND if multipart else _PLAIN_LIMIT
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(max_bytes)
    try:
        form = await _parse(request, _limited(request, limit, max_bytes), multipart=multipart)
    except MultiPartException as error:
        raise InvalidInput("The form could not be read. Please try again.") from error
    given = form.get(TOKEN_FIELD) or request.headers.get(TOKEN_HEADER) or ""
    if not expected or not isinstance(given, str) or not same_token(given, expected):
        await form.close()
        raise ForgeryRefused("The page you sent this from is too old, or was not ours. Open it again and retry.")
    return form


async def _parse(request: Request, stream: AsyncIterator[bytes], *, multipart: bool) -> FormData:
    if multipart:
        # mypy: the parsers take any asynchronous iterator of bytes, though they say generator.
        return await _InMemory(request.headers, stream, max_files=1, max_fields=40).parse()  # type: ignore[arg-type]
    return await FormParser(request.headers, stream, max_fields=200).parse()  # type: ignore[arg-type]


async def _limited(request: Request, limit: int, max_bytes: int) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The file is over the limit of {max_bytes // (1024 * 1024)} MiB.", field="file")
