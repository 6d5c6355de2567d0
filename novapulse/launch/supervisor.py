"""The parent of all processes of `novapulse up`: starts them in order, keeps them alive, stops them in order.

Run as `python -m novapulse.launch.supervisor <plan>`. It imports the standard library only, to stay small.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from novapulse.launch import valkey
from novapulse.launch.children import Child
from novapulse.launch.errors import StartError
from novapulse.launch.health import is_healthy
from novapulse.launch.notify import READY_FD, notify
from novapulse.launch.plan import Plan
from novapulse.launch.process import Gate, spawn

_VALKEY_READY_S = 60.0  # loading a large append-only file takes its time
_HEALTHY_S = 60.0
_DEATHS_BEFORE_HEALTHY = 4  # a child that cannot start is a fault to report, not to repeat for ever
_TICK_S = 0.1
_IDLE_TICK_S = 1.0  # a child's death wakes us at once (SIGCHLD)
_KILL_MARGIN_S = 3.0
_VALKEY_STOP_S = 5.0


class _StopRequestedError(Exception):
    pass


class Supervisor:
    """Runs one plan until a signal ends it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._environment = os.environ | {
            "NOVAPULSE_DATA_DIR": plan.data_dir,
            "NOVAPULSE_SUPERVISED": "1",
            "PYTHONUNBUFFERED": "1",
            # glibc gives every thread an arena of its own, which idle memory pays for.
            "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
            # One port for several processes; the web process tells of all of them.
            "NOVAPULSE_PROBE_PORT": "0",
        }
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):  # systemd's, and about this process
            self._environment.pop(name, None)
        self._valkey: Child | None = None
        self._children: list[Child] = []
        self._passing: list[subprocess.Popen[bytes]] = []  # while they replace, or are replaced
        self._gate = Gate()
        self._stop_signals = 0
        self._restart_asked = False
        self._in_terminal = os.isatty(0)
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> int:
        """Start everything, watch it, stop it; returns the exit code."""
        self._listen_for_signals()
        try:
            self._start_valkey()
            self._start_children()
            setup_url = self._prepare()
            self._gate.open()
            self._wait_until_healthy()
            self._announce(setup_url)
            while True:
                self._wait(_IDLE_TICK_S if all(child.running() for child in self._all()) else _TICK_S)
                self._tend()
                if self._restart_asked:
                    self._restart_asked = False
                    self._restart_all()
        except _StopRequestedError:
            notify("STOPPING=1")
            say("stopping")
            return 0
        except StartError as error:
            say(str(error), error=True)
            return 1
        finally:
            self._stop()

    def _listen_for_signals(self) -> None:
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count_signal)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to wake up

    def _count_signal(self, number: int, _frame: FrameType | None) -> None:
        # In a terminal a hang-up says that it was closed; from elsewhere it asks to begin anew.
        if number == signal.SIGHUP and not self._in_terminal:
            self._restart_asked = True
        else:
            self._stop_signals += 1

    def _wait(self, seconds: float) -> None:
        """Sleep until a signal comes, `seconds` at most.

        Raises:
            _StopRequestedError: the signal asks to stop.
        """
        self._sleep(seconds)
        if self._stop_signals:
            raise _StopRequestedError

    def _sleep(self, seconds: float) -> None:
        readable, _, _ = select.select([self._wake_read], [], [], seconds)
        if readable:
            os.read(self._wake_read, 4096)

    def _start_valkey(self) -> None:
        if not self.plan.valkey_socket:
            return
        unix_socket = Path(self.plan.valkey_socket)
        data_dir = Path(self.plan.data_dir) / "valkey"
        self._valkey = Child("valkey", lambda: valkey.start(unix_socket, data_dir))
        self._valkey.start()
        deadline = time.monotonic() + _VALKEY_READY_S
        while not valkey.is_ready(unix_socket):
            if not self._valkey.running():
                raise StartError("The embedded Valkey does not start.", f"Its log is {data_dir / 'valkey.log'}.")
            if time.monotonic() > deadline:
                raise StartError("The embedded Valkey does not answer.", f"Its log is {data_dir / 'valkey.log'}.")
            self._wait(0.02)

    def _prepare(self) -> str | None:
        """Migrate, check the keys, see to the first admin, in a process that gives its memory back.

        Returns:
            The link to set NovaPulse up, while there is no user.
        """
        process = spawn(_python("prepare"), env=self._environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        answer = b""
        try:
            while process.poll() is None:
                self._wait(_TICK_S)
                answer += process.stdout.read() or b""
            answer += process.stdout.read() or b""
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        try:
            result: dict[str, str | None] = json.loads(answer)
        except ValueError:
            raise StartError("The database could not be prepared.", "The lines above say why.") from None
        if problem := result.get("problem"):
            raise StartError(problem, result.get("remedy") or "")
        return result.get("setup_url")

    def _start_children(self) -> None:
        """Start them; they import their code, which takes longest, and wait until the stores are prepared."""
        workers = ["worker" if number == 1 else f"worker-{number}" for number in range(1, self.plan.workers + 1)]
        for name in ("web", *workers, "scheduler"):
            role = name.partition("-")[0]
            child = Child(name, lambda role=role: self._gate.spawn(_python("child", role), self._environment), role)
            self._children.append(child)
            child.start()

    def _restart_all(self) -> None:
        """Replace one process after another; each new one is ready before the old one is told to stop."""
        say("restarting")
        notify("RELOADING=1")
        try:
            self._prepare()
            for child in sorted(self._children, key=lambda child: child.role == "web"):
                self._restart(child)
            say("restarted")
        except StartError as error:
            say(f"not all restarted: {error}", error=True)
        notify("READY=1")

    def _restart(self, child: Child) -> None:
        read, write = os.pipe()
        environment = self._environment | {READY_FD: str(write)}
        process = spawn(_python("child", child.role), env=environment, pass_fds=(write,))
        os.close(write)
        self._passing.append(process)
        try:
            self._wait_for_byte(read, process, child.name)
        finally:
            os.close(read)
        before = child.replace(process)
        self._passing.remove(process)
        if before is not None and before.poll() is None:
            self._passing.append(before)
            before.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + self._patience_s
            while before.poll() is None:
                if time.monotonic() > deadline:
                    before.kill()
                self._wait(_TICK_S)
                self._tend()
            self._passing.remove(before)

    def _wait_for_byte(self, read: int, process: subprocess.Popen[bytes], name: str) -> None:
        """Wait until a new process says that it is ready.

        Raises:
            StartError: it does not; it has been ended.
        """
        os.set_blocking(read, False)
        deadline = time.monotonic() + _HEALTHY_S
        while True:
            try:
                if os.read(read, 1):
                    return
                late = True  # it has ended
            except BlockingIOError:
                late = time.monotonic() > deadline
            if late:
                process.kill()
                process.wait()
                self._passing.remove(process)
                raise StartError(f"The new {name} process does not start; the old one goes on.", "See above.")
            self._wait(_TICK_S)
            self._tend()

    @property
    def _patience_s(self) -> float:
        return self.plan.drain_s + self.plan.shutdown_timeout_s + _KILL_MARGIN_S

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _HEALTHY_S
        while not is_healthy(self.plan.host, self.plan.port):
            self._tend()
            for child in self._children:
                if child.deaths >= _DEATHS_BEFORE_HEALTHY:
                    raise StartError(f"The {child.name} process does not start.", "The lines above say why.")
            if time.monotonic() > deadline:
                say(f"not healthy yet after {_HEALTHY_S:.0f} s; `novapulse doctor` says what is missing", error=True)
                deadline = float("inf")
            self._wait(_TICK_S)

    def _announce(self, setup_url: str | None) -> None:
        say(f"ready at {self.plan.address}")
        if setup_url:
            say(f"make the first account (the link works once): {setup_url}")
        say("Ctrl-C stops it" if self._in_terminal else "SIGTERM stops it, SIGHUP restarts it piece by piece")
        notify("READY=1")

    def _tend(self) -> None:
        for child in self._all():
            if news := child.tend():
                say(news, error=True)

    def _all(self) -> list[Child]:
        return [*([self._valkey] if self._valkey else []), *self._children]

    def _stop(self) -> None:
        """Stop the processes that work, then Valkey, which they need until their end. A second signal kills."""
        signals = self._stop_signals
        self._stop_all([*self._children, *map(_child_of, self._passing)], self._patience_s, signals)
        self._stop_all([self._valkey] if self._valkey else [], _VALKEY_STOP_S, signals)

    def _stop_all(self, children: list[Child], patience_s: float, signals: int) -> None:
        for child in children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while any(child.running() for child in children):
            if time.monotonic() > deadline or self._stop_signals > signals:
                for child in children:
                    child.signal(signal.SIGKILL)
            self._sleep(_TICK_S)


def _child_of(process: subprocess.Popen[bytes]) -> Child:
    child = Child("passing", lambda: process)
    child.replace(process)
    return child


def _python(module: str, *arguments: str) -> list[str]:
    # -P: the folder NovaPulse is started in is the user's, nothing is imported from it.
    return [sys.executable, "-P", "-m", f"novapulse.launch.{module}", *arguments]


def say(text: str, *, error: bool = False) -> None:
    """One line for the person at the terminal."""
    print(f"novapulse: {text}", file=sys.stderr if error else sys.stdout, flush=True)


def main() -> int:
    """Entry point; the one argument is the plan."""
    return Supervisor(Plan.from_json(sys.argv[1])).run()


if __name__ == "__main__":
    sys.exit(main())
