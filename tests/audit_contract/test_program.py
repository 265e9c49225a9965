"""`cloister-verify`, the one file, run as a stranger runs it: no package of ours installed, exit codes and both forms."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from audit_contract import bundle as bundles
from audit_contract import zipapp
from audit_contract.merkle import consistency_ranges, inclusion_ranges, leaf_hash
from audit_contract.proof import InclusionProof
from tests.audit_contract import oracle
from tests.audit_contract.test_bundle import BUNDLE, ENTRIES, KEYS, LOG, MEMBERS, VALUES, members_of


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("program") / "cloister-verify"
    assert zipapp.main([str(target)]) == 0
    assert target.read_bytes() == zipapp.build()
    return target


def run(program: Path, *arguments: object) -> tuple[int, str]:
    # -I: no PYTHONPATH, no current folder; what it needs is in the file, but `cryptography`.
    found = subprocess.run(
        [sys.executable, "-I", program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.stderr == ""
    return found.returncode, found.stdout


def test_a_bundle_and_its_ways_to_be_wrong(program: Path, tmp_path: Path) -> None:
    file, keys = tmp_path / "b.tar", tmp_path / "keys"
    file.write_bytes(BUNDLE)
    keys.write_text("\n".join(KEYS) + "\n")
    code, said = run(program, "bundle", file, "--keys", keys, "--log", LOG)
    assert code == 0
    assert "1000 of 1000 proven" in said
    code, said = run(program, "--json", "bundle", file)
    assert (code, json.loads(said)["trusted"]) == (0, False)
    assert run(program, "gaps", file, "--keys", keys)[0] == 0
    assert run(program, "timeline", file)[1].count("\n") >= 1000
    assert run(program, "bundle", file, "--keys", keys, "--log", "other")[0] == 3
    file.write_bytes(BUNDLE[:-1])
    assert run(program, "bundle", file)[0] == 4
    assert run(program, "bundle", tmp_path / "none")[0] == 4
    changed = {
        **MEMBERS,
        bundles.entry_members(1000)[0]: MEMBERS[bundles.entry_members(1000)[0]].replace(b"u-3", b"u-4", 1),
    }
    file.write_bytes(bundles.write(changed.items()))
    code, said = run(program, "--json", "bundle", file, "--keys", keys)
    assert (code, json.loads(said)["firstBad"]) == (1, 3)
    file.write_bytes(bundles.write({**MEMBERS, "values/000.ndjson": b""}.items()))
    assert run(program, "bundle", file, "--keys", keys)[0] == 2
    file.write_bytes(bundles.write(members_of(ENTRIES[:1], VALUES[:1]).items()))
    assert run(program, "gaps", file)[0] == 2


def test_an_older_checkpoint_an_entry_and_two_checkpoints(program: Path, tmp_path: Path) -> None:
    def put(name: str, data: bytes) -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    small = members_of(ENTRIES[:40], VALUES[:40])
    other = members_of(ENTRIES[1:41], VALUES[1:41])
    file, keys = put("b.tar", BUNDLE), put("keys", "\n".join(KEYS).encode())
    assert run(program, "bundle", file, "--keys", keys, "--since", put("old", small["checkpoint"]))[0] == 0
    assert run(program, "bundle", file, "--keys", keys, "--since", put("fork", other["checkpoint"]))[0] == 1
    path = oracle.path(7, ENTRIES[:40])
    assert len(path) == len(inclusion_ranges(7, 40))
    proof = put("p", InclusionProof(7, tuple(path), small["checkpoint"]).encode())
    assert run(program, "entry", proof, "--leaf", put("leaf", ENTRIES[7]), "--log", LOG, "--keys", keys)[0] == 0
    assert run(program, "entry", proof, "--leaf", put("leaf", ENTRIES[8]), "--log", LOG, "--keys", keys)[0] == 1
    assert run(program, "entry", proof, "--leaf", put("leaf", ENTRIES[7]), "--log", LOG)[0] == 3
    hashes = oracle.proof(40, ENTRIES)
    assert len(hashes) == len(consistency_ranges(40, 1000))
    lines = b"".join(base64.b64encode(each) + b"\n" for each in hashes)
    pair = (put("old", small["checkpoint"]), put("new", MEMBERS["checkpoint"]))
    assert run(program, "consistency", *pair, put("c", lines), "--log", LOG, "--keys", keys)[0] == 0
    assert run(program, "consistency", *pair, put("c", lines[45:]), "--log", LOG, "--keys", keys)[0] == 1
    assert leaf_hash(ENTRIES[7]) != leaf_hash(ENTRIES[8])
