import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster.errors import LocalClusterError
from localcluster.paths import Layout
from localcluster.processes import _CHILDREN, Observed, Processes, Record, end, is_ours, observe

RECORD = Record("kubelet", 42, 1000, "boot-1", ("/bin/kubelet", "--config=x"))


@pytest.fixture
def layout(tmp_path):
    made = Layout(cache=tmp_path / "cache", state=tmp_path / "state", run=tmp_path / "run")
    made.make()
    return made


@pytest.fixture
def processes(layout):
    ours = Processes(layout)
    yield ours
    for record in ours.records():
        ours.stop(record.name, seconds=1)
    while _CHILDREN:  # the command leaves them to init; here Python would say at its end that they still run
        _CHILDREN.pop().wait(5)


@pytest.mark.parametrize(
    ("seen", "ours"),
    [
        (Observed(1000, "boot-1", ("/bin/kubelet", "--config=x")), True),
        (Observed(1000, "boot-1", ("nsenter", "--", "/bin/kubelet", "--config=x")), True),
        (Observed(1001, "boot-1", ("/bin/kubelet", "--config=x")), False),
        (Observed(1000, "boot-2", ("/bin/kubelet", "--config=x")), False),
        (Observed(1000, "boot-1", ("/bin/kubelet", "--config=y")), False),
        (Observed(1000, "boot-1", ("/bin/kubelet", "--config=x", "--more")), False),
        (Observed(1000, "boot-1", ()), False),
        (None, False),
    ],
)
def test_only_the_same_life_of_the_same_program_is_ours(seen, ours):
    assert is_ours(RECORD, seen) is ours


def test_a_started_program_is_recorded_found_and_ended(layout, processes):
    assert processes.start("sleeper", ["sleep", "100"])
    assert not processes.start("sleeper", ["sleep", "100"]), "it runs already"
    record = Processes(layout).alive("sleeper")
    assert record is not None
    assert record.argv == ("sleep", "100")
    assert processes.stop("sleeper")
    assert processes.alive("sleeper") is None
    assert processes.records() == []


def test_other_flags_replace_the_running_program(processes):
    processes.start("sleeper", ["sleep", "100"])
    first = processes.require("sleeper")
    assert processes.start("sleeper", ["sleep", "101"])
    assert processes.require("sleeper").pid != first.pid
    assert observe(first.pid) is None


def test_a_record_of_a_reused_pid_ends_nobody(processes):
    stranger = subprocess.Popen(["sleep", "100"])
    try:
        seen = observe(stranger.pid)
        record = Record("sleeper", stranger.pid, seen.start_ticks - 1, seen.boot, ("sleep", "100"))
        assert not end(record, 1)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_thread_of_the_kernel_is_no_process_of_anybody():
    kthreadd = 2  # the parent of all of them, where the machine's own are seen
    name = Path(f"/proc/{kthreadd}/comm")
    if not name.exists() or name.read_text().strip() != "kthreadd":
        pytest.skip("this process sees none of the kernel's threads")
    began = time.monotonic()
    assert observe(kthreadd) is None
    assert time.monotonic() - began < 5, "it was looked at again and again"


def test_who_ignores_the_polite_signal_is_ended_by_force(processes):
    program = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(100)"
    )
    processes.start("deaf", [sys.executable, "-c", program])
    record = processes.require("deaf")
    wait_until(lambda: "deaf\n" in processes._layout.log("deaf").read_text())
    assert processes.stop("deaf", seconds=0.3)
    assert observe(record.pid) is None


def test_a_dead_program_is_forgotten_and_its_log_shown(processes):
    processes.start("brief", ["sh", "-c", "echo it went wrong; exit 3"])
    wait_until(lambda: processes.alive("brief") is None)
    with pytest.raises(LocalClusterError, match="it went wrong"):
        processes.require("brief")
    assert processes.forget_dead() == ["brief"]
    assert processes.records() == []


def test_a_program_outlives_whoever_started_it(layout, tmp_path):
    starter = (
        "import sys; from pathlib import Path; from localcluster.paths import Layout;"
        "from localcluster.processes import Processes;"
        "a = [Path(x) for x in sys.argv[1:]]; Processes(Layout(*a)).start('sleeper', ['sleep', '100'])"
    )
    folders = [str(layout.cache), str(layout.state), str(layout.run)]
    subprocess.run([sys.executable, "-c", starter, *folders], check=True)
    ours = Processes(layout)
    try:
        record = ours.require("sleeper")
        assert os.getsid(record.pid) == record.pid
    finally:
        ours.stop("sleeper")


def test_a_starter_killed_before_recording_leaves_nothing_running():
    # The launcher waits for a word; when the pipe closes without it, it ends.
    from localcluster.processes import _LAUNCHER

    child = subprocess.Popen(["sh", "-c", _LAUNCHER, "launcher", "sleep", "100"], stdin=subprocess.PIPE)
    child.stdin.close()
    assert child.wait(timeout=5) != 0
    assert child.returncode != -signal.SIGKILL


def wait_until(condition):
    end_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_at
        time.sleep(0.02)
