import base64
import hashlib

import pytest

from localcluster.paths import Layout
from localcluster.services import directory
from localcluster.services.common import Surroundings


@pytest.fixture
def around(tmp_path):
    made = Layout(cache=tmp_path / "cache", state=tmp_path / "state", run=tmp_path / "run")
    made.make()
    return Surroundings(made, None, None, {})


def test_every_tenant_has_its_five_groups_each_with_a_member(around):
    text = directory._ldif(around)
    for tenant in directory.TENANTS:
        for group in directory.GROUPS:
            entry = text.split(f"dn: cn={group},ou=groups,ou={tenant},")[1].split("\n\n")[0]
            assert "member: " in entry
    assert "member: uid=ana.ruiz,ou=people,ou=acme-pharma" in text


def test_the_same_installation_writes_the_same_directory_again(around):
    assert directory._ldif(around) == directory._ldif(around)
    assert directory._configuration(around) == directory._configuration(around)


def test_no_password_stands_in_the_directory_in_the_clear(around):
    text = directory._ldif(around) + directory._configuration(around)
    for secret in around.layout.secrets.iterdir():
        assert secret.read_text() not in text


def test_a_hash_is_one_that_slapd_checks():
    stored = base64.b64decode(directory.hashed("word", b"salt").removeprefix("{SSHA}"))
    assert stored[20:] == b"salt"
    assert stored[:20] == hashlib.sha1(b"word" + b"salt", usedforsecurity=False).digest()
