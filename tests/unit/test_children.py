"""A supervised child comes back, with growing pauses while it keeps dying."""

import signal
import subprocess
import sys
import time

import pytest

from novapulse.launch.children import Child
from novapulse.launch.process import spawn


def _until(child: Child, word: str) -> str:
    for _ in range(400):
        if (news := child.tend()) and word in news:
            return news
        time.sleep(0.01)
    pytest.fail(f"no news with {word!r}")


def _sleeper() -> subprocess.Popen[bytes]:
    return spawn([sys.executable, "-c", "import time; time.sleep(60)"])


def test_a_killed_child_is_started_again() -> None:
    child = Child("sleeper", _sleeper)
    child.start()
    try:
        child.signal(signal.SIGKILL)
        assert "was ended by SIGKILL" in _until(child, "SIGKILL")
        assert not child.running()
        _until(child, "started again")
        assert child.running()
    finally:
        child.signal(signal.SIGKILL)


def test_pauses_grow_while_it_keeps_dying() -> None:
    child = Child("dead", lambda: spawn([sys.executable, "-c", "raise SystemExit(3)"]))
    child.start()
    assert "ended with code 3; starting it again in 0.2 s" in _until(child, "code 3")
    assert "starting it again in 0.4 s" in _until(child, "code 3")
    assert child.deaths == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_children_die_with_a_killed_parent() -> None:
    code = (
        "import sys, time; from novapulse.launch.process import spawn\n"
        "child = spawn([sys.executable, '-c', 'import time; time.sleep(60)']); print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil = pytest.importorskip("psutil")
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.01)
    pytest.fail("the child outlived its parent")
