import dataclasses
import os
import shutil
import time

import pytest

from localcluster import baseimage, binaries, tools
from localcluster.files import digest_files, link, locked, write


@pytest.fixture
def module(tmp_path, monkeypatch):
    folder = tmp_path / "tools"
    shutil.copytree(tools.PAUSE.source, folder / "pause")
    monkeypatch.setattr(tools, "HOUSE", tmp_path)
    return folder / "pause"


def test_equal_inputs_give_an_equal_key_in_every_clone(tmp_path):
    for clone in ("one", "two"):
        (tmp_path / clone).mkdir()
        (tmp_path / clone / "main.go").write_text("package main")
    keys = {digest_files([tmp_path / clone / "main.go"], tmp_path / clone, "go1") for clone in ("one", "two")}
    assert len(keys) == 1


def test_a_name_a_content_a_mode_and_a_flag_each_change_the_key(tmp_path):
    file = tmp_path / "a"
    file.write_text("x")
    before = digest_files([file], tmp_path, "flag")
    assert digest_files([file], tmp_path, "other") != before
    file.chmod(0o755)
    assert digest_files([file], tmp_path, "flag") != before
    file.chmod(0o644)
    file.write_text("y")
    assert digest_files([file], tmp_path, "flag") != before
    file.write_text("x")
    assert digest_files([file], tmp_path, "flag") == before
    renamed = file.rename(tmp_path / "b")
    assert digest_files([renamed], tmp_path, "flag") != before


def test_texts_do_not_run_into_each_other(tmp_path):
    assert digest_files([], tmp_path, "ab", "c") != digest_files([], tmp_path, "a", "bc")


def test_a_binary_is_keyed_by_compiler_sources_and_flags(module):
    before = binaries.cache_key(tools.PAUSE, "go1.26")
    assert binaries.cache_key(tools.PAUSE, "go1.27") != before
    other_flags = dataclasses.replace(tools.PAUSE, variables={"main.Version": "2"})
    assert binaries.cache_key(other_flags, "go1.26") != before
    (module / "main.go").write_text("package main")
    assert binaries.cache_key(tools.PAUSE, "go1.26") != before


def test_every_tool_has_its_module_and_its_checksums():
    for tool in tools.ALL:
        assert (tool.source / "go.mod").exists()
        assert tool is tools.PAUSE or (tool.source / "go.sum").exists()


def test_the_base_image_is_keyed_by_its_recipe(monkeypatch):
    before = baseimage.cache_key()
    monkeypatch.setattr(baseimage, "_PACKAGES", ("python3",))
    assert baseimage.cache_key() != before


def test_writing_the_same_again_changes_nothing(tmp_path):
    path = tmp_path / "deep" / "file"
    assert write(path, "a", 0o600)
    inode = path.stat().st_ino
    assert not write(path, "a", 0o600)
    assert path.stat().st_ino == inode
    assert write(path, "b", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def test_a_link_follows_its_target(tmp_path):
    link(tmp_path / "now", tmp_path / "one")
    link(tmp_path / "now", tmp_path / "two")
    assert (tmp_path / "now").readlink() == tmp_path / "two"


def test_a_lock_keeps_another_process_out(tmp_path):
    read, ready = os.pipe()
    child = os.fork()
    if not child:
        with locked(tmp_path / "lock", "work"):
            os.write(ready, b"x")
            time.sleep(0.6)
        os._exit(0)
    os.read(read, 1)
    begin = time.monotonic()
    with locked(tmp_path / "lock", "work"):
        waited = time.monotonic() - begin
    os.waitpid(child, 0)
    assert waited > 0.3
