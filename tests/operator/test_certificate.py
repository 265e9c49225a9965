"""The certificate of destruction: it verifies with no cluster, and nothing of it can be changed unnoticed."""

import asyncio
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tenant_operator.offboarding.certificate import encode, holds, pae, pem, seal, verify
from tests.support.fakes_offboarding import World, approve, offboarding_key, populated, run


@pytest.fixture(scope="module")
def world() -> World:
    made = populated()
    approve(made, "alice")
    approve(made, "bob")
    asyncio.run(run(made))
    return made


@pytest.fixture(scope="module")
def issued(world) -> dict[str, Any]:
    return world.objects[offboarding_key()]["status"]["certificate"]


def errors(content: bytes, **more: Any) -> list[str]:
    return [finding.text for finding in verify(content, **more) if finding.level == "error"]


def again(issued: dict[str, Any], key: Ed25519PrivateKey, **changes: Any) -> bytes:
    """Forge: change the payload and sign it with a key of one's own, whose public half it then names."""
    payload = {**issued["payload"], **changes}
    payload["issuer"] = {**payload["issuer"], "publicKey": pem(key.public_key().public_bytes_raw())}
    return encode(seal(payload, key.sign(pae(payload))))


def test_it_holds_and_says_that_no_key_was_pinned(issued):
    findings = verify(encode(issued))
    assert holds(findings)
    assert [finding.level for finding in findings] == ["note"]


def test_it_holds_with_the_pinned_key_raw_or_pem(world, issued):
    raw = world.signing.public_key().public_bytes_raw()
    assert verify(encode(issued), public_key=raw) == []
    assert verify(encode(issued), public_key=pem(raw)) == []


def test_every_flipped_byte_is_caught(issued):
    content = encode(issued)
    missed = []
    for at in range(len(content)):
        changed = content[:at] + bytes([content[at] ^ (1 << (at % 8))]) + content[at + 1 :]
        if not errors(changed):
            missed.append((at, content[max(0, at - 20) : at + 20]))
    assert missed == []


def test_every_truncation_and_addition_is_caught(issued):
    content = encode(issued)
    assert all(errors(content[:at]) for at in range(0, len(content), 7))
    assert errors(content + b"\n")
    assert errors(b" " + content)
    assert errors(json.dumps(issued).encode())


def test_another_key_is_caught_when_the_right_one_is_pinned(world, issued):
    forged = again(issued, Ed25519PrivateKey.generate())
    assert errors(forged) == []
    assert errors(forged, public_key=world.signing.public_key().public_bytes_raw()) == [
        "signed with another key than the pinned one"
    ]


def test_what_it_says_is_checked_even_when_it_is_rightly_signed(world, issued):
    payload = issued["payload"]
    alone = payload["approvals"][:1] * 2
    assert any("1 different people" in said for said in errors(again(issued, world.signing, approvals=alone)))
    early = payload["export"]["verifiedAt"]
    assert any("grace period" in said for said in errors(again(issued, world.signing, destructionBegan=early)))
    left = [{**payload["evidence"][0], "state": "Deleting"}, *payload["evidence"][1:]]
    assert any("not said to be absent" in said for said in errors(again(issued, world.signing, evidence=left)))
    assert any("no evidence" in said for said in errors(again(issued, world.signing, evidence=[])))
    assert any("both logs" in said for said in errors(again(issued, world.signing, audit=payload["audit"][:1])))
    moved = [{**payload["audit"][0], "index": payload["audit"][0]["index"] + 1}, payload["audit"][1]]
    assert any(
        "does not hold" in said or "is of entry" in said for said in errors(again(issued, world.signing, audit=moved))
    )
    other = [{**payload["audit"][0], "leafHash": "00" * 32}, payload["audit"][1]]
    assert any("does not hold" in said for said in errors(again(issued, world.signing, audit=other)))
    swapped = [{**payload["audit"][0], "proof": payload["audit"][1]["proof"]}, payload["audit"][1]]
    assert errors(again(issued, world.signing, audit=swapped))


@given(st.binary(max_size=200))
def test_it_never_raises(content):
    assert errors(content)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.dictionaries(st.sampled_from(["payload", "signature", "type", "issuer", "x"]), inner),
    )
)
def test_no_json_makes_it_raise(value):
    assert errors(json.dumps(value).encode())
