"""One request on its way through a page: who asks, from where, with which form, and what the page may use."""

from dataclasses import dataclass, field
from typing import NewType

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from tenant_app.domain.access import Right
from tenant_app.errors import InvalidInput, NotSignedIn
from tenant_app.factory import App
from tenant_app.services.caller import Caller
from tenant_app.services.documents import Upload
from tenant_app.services.sessions import Client

SESSION_COOKIE = "__Host-cloister"
FORM_COOKIE = "__Host-cloister-form"
WAY_COOKIE = "__Host-cloister-way"

Token = NewType("Token", str)


@dataclass(slots=True, kw_only=True)
class Visit:
    """What a page handler gets. `form` is there, its token already checked, when the method changes something."""

    request: Request
    app: App
    client: Client
    maybe: Caller | None = None
    form: FormData = field(default_factory=FormData)

    @property
    def caller(self) -> Caller:
        """Return the signed-in person. Raises NotSignedIn on a public page that asks anyway."""
        if self.maybe is None:
            raise NotSignedIn("Please sign in.")
        return self.maybe

    def may(self, right: Right) -> bool:
        """Say whether the person has a right, for showing or leaving out what they could not use."""
        return self.maybe is not None and right in self.maybe.session.rights

    def text(self, name: str) -> str:
        """Return a text field of the form, empty when absent."""
        value = self.form.get(name, "")
        return value if isinstance(value, str) else ""

    async def upload(self, name: str) -> Upload:
        """Return a file of the form. Raises InvalidInput when none was chosen."""
        value = self.form.get(name)
        if not isinstance(value, UploadFile) or not value.filename:
            raise InvalidInput("Choose a file.", field=name)
        return Upload(file_name=value.filename, content=await value.read())


def client_of(request: Request) -> Client:
    """Return where a request comes from. The peer is the ingress or the person; forwarded headers are not believed."""
    return Client(
        address=request.client.host if request.client else "unknown",
        agent=request.headers.get("user-agent", ""),
        request=request.scope.get("cloister.request", ""),
    )
