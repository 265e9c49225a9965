"""The witness's state machine: it signs what continues and nothing else, whoever asks in whatever order."""

import base64
import tempfile
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import ValidationError

from audit_contract.checkpoint import Checkpoint, from_text
from audit_contract.keys import KeySigner, KeyType, parse_vkey
from audit_contract.merkle import leaf_hash, root_of
from audit_contract.note import Note, open_note, parse
from audit_service.keyring import BadKeyError
from audit_service.witness.config import WitnessConfig
from audit_service.witness.core import SIZE_TYPE, Answer, Witness
from audit_service.witness.storage import InUseError, Storage
from tests.audit_contract import oracle

PREFIX = "test.example/audit/"
LOG = f"{PREFIX}tenant-1"
ED, ML = Ed25519PrivateKey.from_private_bytes(bytes(32)), MLDSA44PrivateKey.from_seed_bytes(bytes(32))
LEAVES = [b"leaf %d" % number for number in range(64)]
FORK = [*LEAVES[:10], *(b"other %d" % number for number in range(54))]


def signers(origin: str = LOG, ed: Ed25519PrivateKey = ED) -> list[KeySigner]:
    return [KeySigner(origin, KeyType.ED25519, ed), KeySigner(origin, KeyType.ML_DSA_44, ML)]


def note(leaves: list[bytes], size: int, origin: str = LOG, by: list[KeySigner] | None = None) -> bytes:
    text = Checkpoint(origin, size, root_of(map(leaf_hash, leaves[:size]))).text()
    return Note(text, tuple(each.sign(text, 1_700_000_000) for each in (by or signers(origin)))).encode()


def body(old: int, proof: list[bytes], checkpoint: bytes) -> bytes:
    lines = [f"old {old}", *(base64.b64encode(each).decode() for each in proof)]
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + checkpoint


def growth(leaves: list[bytes], old: int, new: int) -> bytes:
    proof = oracle.proof(old, leaves[:new]) if 0 < old < new else []
    return body(old, proof, note(leaves, new))


def config(storage: Path) -> WitnessConfig:
    keys = [each.verifier.vkey for each in signers(f"{PREFIX}platform")]
    return WitnessConfig(name="witness.example/w1", storage=storage, logs=[{"prefix": PREFIX, "vkeys": keys}])


def opened(storage: Storage) -> Witness:
    settings_ = config(storage.folder)
    return Witness(settings_, storage, storage.signers(settings_.name), lambda: 1_700_000_123)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    found = Storage(tmp_path / "w")
    yield found
    found.close()


@pytest.fixture
def witness(storage: Storage) -> Witness:
    return opened(storage)


def test_a_first_checkpoint_and_its_growth_are_cosigned_with_both_keys(witness: Witness) -> None:
    for old, new in ((0, 7), (7, 7), (7, 33), (33, 64)):
        sent = growth(LEAVES, old, new)
        answer = witness.add_checkpoint(sent)
        assert answer.status == 200, answer
        verifiers = [parse_vkey(vkey) for vkey in witness.vkeys]
        whole, signed = open_note(note(LEAVES, new) + answer.body, verifiers)
        assert [each.kind for each in signed] == [KeyType.ED25519_COSIGNATURE, KeyType.ML_DSA_44]
        assert [signed[at].timestamp(whole.text, whole.signatures[2 + at].value) for at in (0, 1)] == [
            1_700_000_123
        ] * 2
        assert answer.body.startswith("— witness.example/w1 ".encode())


def test_the_stored_checkpoint_carries_the_logs_signatures_and_the_witnesss(witness: Witness) -> None:
    hashed = sha256(LOG.encode()).hexdigest()
    assert witness.checkpoint(hashed).status == 404
    signed = note(LEAVES, 7)
    answer = witness.add_checkpoint(body(0, [], signed))
    assert witness.checkpoint(hashed) == Answer(200, signed + answer.body)


def test_signatures_by_strangers_are_ignored_and_not_kept(witness: Witness) -> None:
    stranger = KeySigner("stranger.example", KeyType.ED25519, Ed25519PrivateKey.generate())
    sent = body(0, [], note(LEAVES, 7, by=[stranger, *signers()]))
    assert witness.add_checkpoint(sent).status == 200
    kept = parse(witness.checkpoint(sha256(LOG.encode()).hexdigest()).body)
    assert {each.name for each in kept.signatures} == {LOG, "witness.example/w1"}


def _malformed() -> list[bytes]:
    good = growth(LEAVES, 0, 7)
    zero = b"A" * 43 + b"=\n"
    return [
        b"", b"old 0", good[1:], good.replace(b"old 0", b"old 00"), good.replace(b"old 0", b"old -1"), good[:-1],
        good.replace(b"old 0", b"old  0"), good.replace(b"old 0\n", b"old 0\nnot base64\n"),
        b"old 7\n" + zero * 64 + b"\n" + note(LEAVES, 9), body(8, [], note(LEAVES, 7)),
        b"old 0\n\n" + LOG.encode() + b"\n7\nAAAA\n\n" + good.split(b"\n\n", 2)[2],
    ]  # fmt: skip


@pytest.mark.parametrize("sent", _malformed())
def test_what_is_not_a_submission_is_400(witness: Witness, sent: bytes) -> None:
    assert witness.add_checkpoint(sent).status == 400


def test_unknown_logs_are_404_and_bad_or_missing_signatures_403(witness: Witness) -> None:
    assert witness.add_checkpoint(body(0, [], note(LEAVES, 7, "elsewhere.example/log"))).status == 404
    stranger = signers(ed=Ed25519PrivateKey.generate())[:1]
    assert witness.add_checkpoint(body(0, [], note(LEAVES, 7, by=stranger))).status == 403
    good = parse(note(LEAVES, 7))
    broken = Note(Checkpoint(LOG, 7, bytes(32)).text(), good.signatures).encode()
    assert witness.add_checkpoint(body(0, [], broken)).status == 403
    other = note(LEAVES, 7, f"{PREFIX}tenant-2").replace(b"tenant-2", b"tenant-1")
    assert witness.add_checkpoint(body(0, [], other)).status == 403


def test_a_wrong_old_size_is_told_the_size_it_should_have_been(witness: Witness) -> None:
    witness.add_checkpoint(growth(LEAVES, 0, 7))
    for old in (0, 3, 8):
        assert witness.add_checkpoint(growth(LEAVES, old, 33)) == Answer(409, b"7\n", SIZE_TYPE)


def test_a_fork_a_wrong_proof_and_a_wrong_empty_root_are_422(witness: Witness) -> None:
    bad_empty = Checkpoint(LOG, 0, bytes(32)).text()
    sent = Note(bad_empty, tuple(each.sign(bad_empty, 1) for each in signers())).encode()
    assert witness.add_checkpoint(body(0, [], sent)).status == 422
    assert witness.add_checkpoint(body(0, [bytes(32)], note(LEAVES, 7))).status == 422
    assert witness.add_checkpoint(growth(LEAVES, 0, 20)).status == 200
    for sent in (
        growth(FORK, 20, 40),
        growth(FORK, 20, 20),
        body(20, [], note(LEAVES, 40)),
        body(20, [bytes(32), *oracle.proof(20, LEAVES[:40])], note(LEAVES, 40)),
        body(20, [bytes(32)], note(LEAVES, 20)),
    ):
        assert witness.add_checkpoint(sent).status == 422
    assert witness.add_checkpoint(growth(LEAVES, 20, 40)).status == 200


def test_of_concurrent_submissions_of_one_log_exactly_one_wins(witness: Witness) -> None:
    witness.add_checkpoint(growth(LEAVES, 0, 5))
    for start, sizes in ((5, range(6, 14)), (0, ())):
        answers: list[Answer] = []
        sent = [growth(LEAVES if size % 2 else FORK, start, size) for size in sizes]
        gate = threading.Barrier(max(1, len(sent)))

        def submit(each: bytes, gate: threading.Barrier = gate, answers: list[Answer] = answers) -> None:
            gate.wait()
            answers.append(witness.add_checkpoint(each))

        threads = [threading.Thread(target=submit, args=(each,)) for each in sent]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(answer.status == 200 for answer in answers) == (1 if sizes else 0)
        assert {answer.status for answer in answers} <= {200, 409}


def test_a_restarted_witness_has_the_same_keys_and_remembers(storage: Storage) -> None:
    first = opened(storage)
    first.add_checkpoint(growth(LEAVES, 0, 7))
    with pytest.raises(InUseError, match="another process"):
        Storage(storage.folder)
    storage.close()
    again = Storage(storage.folder)
    second = opened(again)
    assert second.vkeys == first.vkeys
    assert second.add_checkpoint(growth(LEAVES, 0, 9)).status == 409
    (storage.folder / "keys" / "ed25519.pem").unlink()
    with pytest.raises(BadKeyError, match="Put it back"):
        again.signers("witness.example/w1")
    again.close()
    storage._lock = Storage(storage.folder)._lock  # the fixture closes what holds the folder now


def test_private_keys_are_for_their_owner_alone(witness: Witness, storage: Storage) -> None:
    assert witness.vkeys
    assert {file.stat().st_mode & 0o777 for file in (storage.folder / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("bad", [{"prefix": "x"}, {"vkeys": ["x"]}, {"prefix": "x", "origin": "y", "vkeys_file": "/z"}])
def test_a_rule_without_keys_or_without_logs_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WitnessConfig(name="w", storage="/tmp/w", logs=[bad])


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_it_fail_or_sign(witness: Witness, sent: bytes) -> None:
    assert witness.add_checkpoint(sent).status in {400, 403, 404}
    assert witness.add_checkpoint(b"old 0\n\n" + sent).status in {400, 403, 404}


class Witnessing(RuleBasedStateMachine):
    """Submissions of two histories in any order, with restarts: what was signed is one growing tree."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.storage = Storage(Path(self.folder.name))
        self.witness = opened(self.storage)
        self.signed: list[Checkpoint] = [Checkpoint(LOG, 0, sha256(b"").digest())]

    @rule(fork=st.booleans(), old=st.integers(0, 64) | st.none(), new=st.integers(0, 64))
    def submit(self, fork: bool, old: int | None, new: int) -> None:
        leaves = FORK if fork else LEAVES
        last = self.signed[-1]
        old = last.size if old is None else old
        answer = self.witness.add_checkpoint(growth(leaves, old, new))
        continues = root_of(map(leaf_hash, leaves[: last.size])) == last.root
        expected = 400 if old > new else 409 if old != last.size else 200 if continues else 422
        assert answer.status == expected
        if answer.status == 200:
            self.signed.append(from_text(parse(note(leaves, new)).text))

    @rule()
    def restart(self) -> None:
        self.storage.close()
        self.storage = Storage(Path(self.folder.name))
        self.witness = opened(self.storage)

    @invariant()
    def it_remembers_exactly_the_last(self) -> None:
        if not hasattr(self, "witness"):
            return
        answer = self.witness.checkpoint(sha256(LOG.encode()).hexdigest())
        if len(self.signed) == 1:
            assert answer.status == 404
        else:
            assert from_text(parse(answer.body).text) == self.signed[-1]

    def teardown(self) -> None:
        if hasattr(self, "storage"):
            self.storage.close()
            self.folder.cleanup()


TestWitnessing = Witnessing.TestCase
TestWitnessing.settings = settings(max_examples=25, stateful_step_count=20)
