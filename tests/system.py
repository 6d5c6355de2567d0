"""Brings what the tests need from the system: `python -m tests.system`.

A Chromium always. The proxy that a test puts in front, and Prometheus, are servers that would start by themselves: they
are installed on machines of CI only, and elsewhere their tests are skipped where there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests import browser

_APT = ("apt-get", "-qq")
# What is looked for, and the package that brings it.
_FOR_CI = {
    "nginx": "nginx-light",
    "caddy": "caddy",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "faketime": "faketime",
    "jq": "jq",  # documents use it
}


def may_install() -> bool:
    """Whether this is a Debian on which we are root."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install packages of the distribution, without starting what is a service; a failure shows in what follows."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in ([*_APT, "update"], [*_APT, "install", "-y", *packages]):
        if subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode != 0:
            return


def main() -> None:
    """Install what is missing; end with what to do where that is not possible."""
    packages = [] if browser.find() else ["chromium"]
    if os.environ.get("CI"):
        packages += [package for program, package in _FOR_CI.items() if shutil.which(program) is None]
    if os.environ.get("CI") and shutil.which("promtool") is None:
        packages.append("prometheus")
    if packages and may_install():
        install(*packages)
    if browser.find() is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if browser.find() is None:
        sys.exit("There is no Chromium and none could be installed. Install one and set CHROMIUM to its path.")


if __name__ == "__main__":
    main()
