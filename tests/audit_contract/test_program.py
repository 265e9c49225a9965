"""`cloister-verify`, the one file, run as a stranger runs it: no package of ours installed, exit codes and both forms."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from audit_contract import bundle as bundles
from audit_contract import zipapp
from audit_contract.entry import Actor, Draft, ObjectRef
from audit_contract.form import Place, unplaced
from audit_contract.merkle import consistency_ranges, inclusion_ranges, leaf_hash
from audit_contract.proof import InclusionProof
from tests.audit_contract import oracle
from tests.audit_contract.test_bundle import BUNDLE, CLOCK, ENTRIES, KEYS, LOG, MEMBERS, VALUES, members_of


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


def test_the_same_sources_give_the_same_file_from_any_folder_at_any_time(tmp_path: Path) -> None:
    first = zipapp.build()
    folder = tmp_path / "elsewhere" / "audit_contract"
    shutil.copytree(Path(zipapp.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for number, file in enumerate(sorted(folder.iterdir())):
        file.chmod(0o600 if number % 2 else 0o755)
        os.utime(file, (number * 1e6, number * 1e6))
    out = tmp_path / "out.pyz"
    told = subprocess.run(
        [sys.executable, "-W", "error", "-m", "audit_contract.zipapp", out], check=True, capture_output=True, text=True,
        cwd=tmp_path, timeout=60, env={**os.environ, "PYTHONPATH": str(folder.parent), "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "LC_ALL": "C"},
    ).stdout  # fmt: skip
    assert out.read_bytes() == first == zipapp.build()
    assert told.split()[0] == hashlib.sha256(first).hexdigest() == zipapp.program().sha256
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert not [name for name in names if not name.endswith(".py")]
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        imported = re.findall(
            r"^(?:from|import) (\w+)", "\n".join(archive.read(name).decode() for name in names), re.MULTILINE
        )
    assert set(imported) - set(sys.stdlib_module_names) == {"audit_contract", "rfc8785", "cryptography"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["bundle"],
        ["bundle", "x", "--colour"],
        ["entry", "p", "--leaf", "l"],
        ["consistency", "a", "b"],
    ],
)
def test_wrong_arguments_are_bad_input_never_incomplete(program: Path, arguments: list[str]) -> None:
    found = subprocess.run([sys.executable, "-I", program, *arguments], capture_output=True, check=False, timeout=60)
    assert found.returncode == 4


@pytest.mark.parametrize("command", ["bundle", "gaps", "timeline"])
def test_files_that_are_not_what_they_should_be_are_bad_input(program: Path, tmp_path: Path, command: str) -> None:
    file, keys = tmp_path / "b.tar", tmp_path / "keys"
    file.write_bytes(BUNDLE)
    for content in (b"\xff\xfe", b"no key\n", b"a+00000000+AQ==\n"):
        keys.write_bytes(content)
        assert run(program, command, file, "--keys", keys)[0] == 4
    keys.write_text("\n".join(KEYS))
    for old in (b"", b"\xff", MEMBERS["keys"], MEMBERS["checkpoint"][:-5]):
        (tmp_path / "old").write_bytes(old)
        assert run(program, command, file, "--keys", keys, "--since", tmp_path / "old")[0] == 4


def test_times_that_run_backwards_alone_are_exit_5(program: Path, tmp_path: Path) -> None:
    entries = []
    for number, second in enumerate((5, 4)):
        draft = Draft(
            action="operator:object:apply",
            result="ok",
            actor=Actor(type="user", sub="x"),
            object=ObjectRef(type="D", id="1"),
        )
        place = Place(0, None, f"2026-11-23T12:00:0{second}.000000Z", CLOCK)
        entries.append(unplaced(draft.plain(), LOG, "operator", f"a/{number}", {}).leaf(place))
    file = tmp_path / "b.tar"
    file.write_bytes(bundles.write(members_of(entries, [[], []]).items()))
    code, said = run(program, "--json", "bundle", file)
    assert (code, json.loads(said)["firstBad"]) == (5, 1), said


def test_with_json_every_line_is_an_object_and_the_last_is_the_report(program: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    file.write_bytes(BUNDLE)
    code, said = run(program, "--json", "timeline", file)
    rows = [json.loads(line) for line in said.splitlines()]
    assert (code, [row["index"] for row in rows[:-1]], rows[-1]["proven"]) == (0, list(range(1000)), 1000)


def test_nothing_a_source_wrote_can_steer_a_terminal_whatever_its_encoding(program: Path, tmp_path: Path) -> None:
    draft = Draft(
        action="operator:object:apply", result="ok", actor=Actor(type="user", sub="x", name="A\x1b[2J\r\u202eB\u2028\U0001f600"),
        object=ObjectRef(type="Document", id="\x9b31m\n0 forged line"),
    )  # fmt: skip
    place = Place(0, None, "2026-11-23T12:00:00.000000Z", CLOCK)
    entry = unplaced(draft.plain(), LOG, "operator", "a/0", {}).leaf(place)
    file = tmp_path / "b.tar"
    file.write_bytes(bundles.write(members_of([entry], [[]]).items()))
    for encoding in ("utf-8", "ascii", "latin-1"):
        found = subprocess.run(
            [sys.executable, program, "timeline", file], capture_output=True, check=False, timeout=60,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": ""},
        )  # fmt: skip
        assert (found.returncode, found.stderr) == (0, b"")
        lines = found.stdout.decode(encoding).split("\n")
        assert r"\x1b[2J\r\u202eB\u2028" in lines[0]
        assert r"\x9b31m\n0 forged line" in lines[0]
        assert lines[1].startswith("result")
        assert all(char.isprintable() for line in lines for char in line)
