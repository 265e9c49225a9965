"""Records through their whole retention, with every clock put ahead (11.10(c))."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tenant_app.support import vault as real

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
ROOT = Path(__file__).resolve().parents[2]
# libfaketime 0.9.10 lets clock_nanosleep fail where the monotonic clock is the real one; Python sleeps by it, select does not.
SLEEP = "import select, sys, time; time.sleep = lambda seconds: select.select((), (), (), seconds) and None"


@pytest.mark.timeout(900)
@pytest.mark.skipif(real.binary() is None, reason="the local cluster has not built Vault yet")
def test_at07_years_later_a_record_is_still_there_verifies_with_rotated_keys_and_is_kept_to_its_last_day(ground):
    """11.10(c): protection of records to enable their accurate and ready retrieval throughout the records retention period."""
    (library,) = FAKETIME  # tools/apt-packages has it
    # PostgreSQL runs as nobody and reads the clock too; pytest closes its own folders to others.
    clock = ground / "clock"
    clock.write_text("+0d\n")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        # Waiting is by the monotonic clock, which does not jump.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    arguments = ["-q", "-p", "no:cacheprovider", "tests/tenant_app/support/years.py"]
    command = [sys.executable, "-c", f"{SLEEP}; import pytest; sys.exit(pytest.main({arguments!r}))"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout[-8000:] + done.stderr[-2000:]
