"""C2SP tlog-policy: what is read, what is refused by line, and when a quorum is met."""

import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit_contract.keys import KeySigner, KeyType, KeyVerifier
from audit_contract.policy import PolicyError, parse_policy, write_policy


def key(number: int, kind: KeyType = KeyType.ED25519_COSIGNATURE) -> KeyVerifier:
    seed = number.to_bytes(32, "big")
    private = (
        MLDSA44PrivateKey.from_seed_bytes(seed)
        if kind is KeyType.ML_DSA_44
        else Ed25519PrivateKey.from_private_bytes(seed)
    )
    return KeySigner(f"witness.example/{number}", kind, private).verifier


X1, X2, X3, Y1, Y2, Y3 = KEYS = [key(number) for number in range(1, 7)]
LOG = key(9, KeyType.ED25519)
EXAMPLE = f"""\
# The example of the specification.
log {LOG.vkey}

witness X1 {X1.vkey}
\twitness X2\t{X2.vkey} https://witness.example/
witness X3 {X3.vkey}
group X-witnesses 2 X1 X2 X3

witness Y1 {Y1.vkey}
witness Y2 {Y2.vkey}
witness Y3 {Y3.vkey}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def test_the_specifications_example_is_met_exactly_when_it_says() -> None:
    policy = parse_policy(EXAMPLE)
    assert [each.vkey for each in policy.logs] == [LOG.vkey]
    for chosen in itertools.chain.from_iterable(itertools.combinations(KEYS, count) for count in range(7)):
        xs, ys = (sum(each in group for each in chosen) for group in (KEYS[:3], KEYS[3:]))
        assert policy.met(chosen) == (xs >= 2 and ys >= 1)


def test_none_and_a_single_witness_are_quorums() -> None:
    assert parse_policy("quorum none\n").met([])
    single = parse_policy(f"witness w {X1.vkey}\nquorum w\n")
    assert (single.met([X1]), single.met([X2])) == (True, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "one quorum line"),
        ("quorum none", "end with a newline"),
        ("quorum none\nquorum none\n", "line 2"),
        ("quorum w\n", "not defined before"),
        (f"witness none {X1.vkey}\nquorum none\n", "is taken"),
        (f"witness w {X1.vkey}\nwitness w {X2.vkey}\nquorum w\n", "is taken"),
        (f"witness w {X1.vkey}\nwitness v {X1.vkey}\nquorum w\n", "there twice"),
        (f"log {LOG.vkey}\nlog {LOG.vkey}\nquorum none\n", "there twice"),
        (f"witness w {LOG.vkey}\nquorum w\n", "04 or 06"),
        ("witness w x\nquorum w\n", "not a verifier key"),
        (f"witness w {X1.vkey}\ngroup g 2 w\nquorum g\n", "has not 2 members"),
        (f"witness w {X1.vkey}\ngroup g 0 w\nquorum g\n", "not any, all or a number"),
        (f"witness w {X1.vkey}\ngroup g 01 w\nquorum g\n", "not any, all or a number"),
        (f"witness w {X1.vkey}\ngroup g any w w\nquorum g\n", "in a group already"),
        (f"witness w {X1.vkey}\ngroup g any w\ngroup h any w\nquorum g\n", "in a group already"),
        ("group g any h\nquorum g\n", "not defined before"),
        ("group g any\nquorum none\n", "not a log, witness"),
        ("quorum none\n\rquorum none\n", "control character"),
        ("nothing known\nquorum none\n", "line 1"),
    ],
)
def test_what_is_not_a_policy_is_refused_with_its_reason(text: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        parse_policy(text)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        policy = parse_policy(text)
    except PolicyError:
        return
    assert policy.met(policy.witnesses.values())


@given(st.integers(1, 4), st.data())
def test_what_is_written_is_k_of_n_and_of_each_witness_all_keys(count: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(0, count))
    pairs = {f"w{n}": [key(n), key(n, KeyType.ML_DSA_44)][: data.draw(st.integers(1, 2))] for n in range(1, count + 1)}
    text = write_policy([LOG.vkey], {name: [each.vkey for each in keys] for name, keys in pairs.items()}, threshold)
    every = [each for keys in pairs.values() for each in keys]
    signed = [every[at] for at in data.draw(st.sets(st.integers(0, len(every) - 1)))]
    whole = sum(all(each in signed for each in keys) for keys in pairs.values())
    assert parse_policy(text).met(signed) == (whole >= threshold)
