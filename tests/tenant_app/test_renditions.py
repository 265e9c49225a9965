"""PDF renditions: signatures, trail, marked changes, time zone, and a seal that finds one flipped byte (11.10(b), 11.50(b))."""

import io
import shutil
import subprocess

import pikepdf
import pytest
from asn1crypto.x509 import Certificate
from PIL import Image
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from tenant_app import factory
from tenant_app.adapters.directory import LdapDirectory
from tenant_app.settings import RecordsSection
from tests.tenant_app.support.documents import sample_pdf
from tests.tenant_app.support.site import Site
from tests.tenant_app.test_filing import NEW
from tests.tenant_app.test_workflow import approved

pytestmark = pytest.mark.skipif(shutil.which("pdfsig") is None, reason="poppler-utils is not installed")


def text_of(pdf: bytes) -> str:
    done = subprocess.run(["pdftotext", "-layout", "-", "-"], input=pdf, capture_output=True, check=True)
    return done.stdout.decode()


def pdfsig(pdf: bytes, tmp_path) -> str:
    path = tmp_path / "copy.pdf"
    path.write_bytes(pdf)
    return subprocess.run(["pdfsig", str(path)], capture_output=True, check=False, text=True).stdout


async def sealed_by(pdf: bytes, issuer: bytes):
    context = ValidationContext(trust_roots=[Certificate.load(issuer)], allow_fetching=False)
    [found] = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    return await async_validate_pdf_signature(found, signer_validation_context=context)


@pytest.fixture
async def vienna(fresh, keys, audit):
    config = fresh.model_copy(update={"records": RecordsSection(time_zone="Europe/Vienna")})
    app = factory.build(config, factory.Ports(keys=keys, directory=LdapDirectory(config.ldap), audit=audit))
    await app.database.open()
    made = Site(app)
    yield made
    await made.close()
    await app.close()


async def rendered(site: Site, document: str, uid: str = "rita", number: int = 1) -> bytes:
    answer = await (await site.as_(uid)).get(f"/documents/{document}/versions/{number}/rendition.pdf")
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_at05_at28_at35_at58_the_rendition_shows_every_signature_with_name_time_zone_and_meaning(
    vienna: Site, audit
):
    document = await approved(vienna)
    pdf = await rendered(vienna, document)
    text = text_of(pdf)
    for word in ("Hello", "Alice Author", "Rosa Reviewer", "Ana Approver", "Meaning: approval", "Meaning: authorship",
                 "I have reviewed this version in full", "Components: id, password", "Europe/Vienna", "UTC"):  # fmt: skip
        assert word in text, word
    await vienna.app.relay.deliver_all()
    assert audit.actions().count("app:document:print") == 1


async def test_at54_the_rendition_marks_changed_values(site: Site):
    alice = await site.as_("alice")
    document = await alice.uploaded(sample_pdf("Original page", ["of the author"]), "r.pdf")
    await alice.get(f"/documents/{document}/describe")
    answer = await alice.post(f"/documents/{document}/describe", {**NEW, "reason": "Title was too short"})
    assert answer.status_code == 303
    text = text_of(await rendered(site, document))
    assert "Original page" in text
    changed = [line for line in text.splitlines() if "▲ changed" in line]
    assert any("/title" in line and "A note" in line and "A better title" in line for line in changed)
    assert not any("/sha256" in line for line in changed)
    assert "This version is not signed." in text


async def test_at01_the_seal_verifies_to_the_tenants_signing_key_and_one_flipped_byte_is_found(
    site: Site, tmp_path, keys
):
    pdf = await rendered(site, await approved(site))
    issuer = (await (await site.as_("max")).get("/pdf-seal-issuer.cer")).content
    raw = Certificate.load(issuer).public_key["public_key"].native
    assert raw == (await keys.public_keys())[1]
    status = await sealed_by(pdf, issuer)
    assert (status.intact, status.valid, status.trusted, status.coverage.name) == (True, True, True, "ENTIRE_FILE")
    assert "Signature is Valid" in pdfsig(pdf, tmp_path)
    for place in (len(pdf) // 10, len(pdf) // 3, len(pdf) // 2):
        broken = bytearray(pdf)
        broken[place] ^= 1
        assert "Signature is Valid" not in pdfsig(bytes(broken), tmp_path), place


async def test_the_seal_of_another_tenant_is_not_trusted(site: Site, fresh, keys, audit):
    from tests.tenant_app.support.fakes import FakeKeys

    pdf = await rendered(site, await (await site.as_("alice")).uploaded())
    other = factory.build(fresh, factory.Ports(keys=FakeKeys(), directory=LdapDirectory(fresh.ldap), audit=audit))
    await other.database.open()
    stranger = await other.printing.seal._made()
    await other.close()
    status = await sealed_by(pdf, stranger.issuer)
    assert (status.intact, status.trusted) == (True, False)


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4000, 300), "white").save(out, "png")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (picture(), "gel.png", "gel.png"),
        ("Zeile ä\t1\n".encode() * 900, "n.txt", "Zeile ä"),
        (b'{"a": 1}', "d.json", '"a": 1'),
    ],
)
async def test_every_kind_of_content_has_a_rendition(site: Site, content, name, words):
    document = await (await site.as_("alice")).uploaded(content, name)
    assert words in text_of(await rendered(site, document))


async def test_a_rendition_copies_the_pages_and_nothing_that_runs(site: Site):
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(sample_pdf("Scripted", ["page"]))) as pdf:
        script = pikepdf.Dictionary(S=pikepdf.Name("/JavaScript"), JS="app.alert(1)")
        pdf.Root.OpenAction = script
        pdf.pages[0].obj.AA = pikepdf.Dictionary(O=script)
        pdf.save(out)
    document = await (await site.as_("alice")).uploaded(out.getvalue(), "s.pdf")
    with pikepdf.open(io.BytesIO(await rendered(site, document))) as pdf:
        assert not [each for each in pdf.objects if isinstance(each, pikepdf.Dictionary) and "/JS" in each]


async def test_the_seal_key_is_made_once_and_kept_wrapped(site: Site, fresh, keys, audit, server):
    alice = await site.as_("alice")
    document = await alice.uploaded()
    await rendered(site, document)
    again = factory.build(fresh, factory.Ports(keys=keys, directory=LdapDirectory(fresh.ldap), audit=audit))
    await again.database.open()
    assert await again.printing.seal.issuer() == await site.app.printing.seal.issuer()
    await again.close()
    with server.admin(fresh.database.name) as conn:
        rows = conn.execute("SELECT wrapped FROM seal_keys").fetchall()
    assert len(rows) == 1
    assert rows[0][0].startswith("vault:v1:")
