import pytest

from localcluster.errors import LocalClusterError
from localcluster.waiting import Seen, WaitedInVainError, wait_for


def test_a_wait_ends_with_what_was_waited_for_what_was_seen_and_the_log(tmp_path):
    log = tmp_path / "etcd.log"
    log.write_text("first\nthe reason\n")
    with pytest.raises(
        WaitedInVainError, match=r"waited 0s for etcd; last seen: refused\n.*etcd.log\n.*\n +the reason"
    ):
        wait_for("etcd", lambda: Seen(ok=False, detail="refused"), seconds=0.05, log=log, every=0.01)


def test_a_wait_ends_as_soon_as_it_is_so():
    looks = iter([Seen(ok=False), Seen(ok=True, detail="there")])
    assert wait_for("it", lambda: next(looks), seconds=5, every=0.01).detail == "there"


def test_a_look_that_knows_better_ends_the_wait():
    def look():
        raise LocalClusterError("the process has ended")

    with pytest.raises(LocalClusterError, match="has ended"):
        wait_for("it", look, seconds=60)
