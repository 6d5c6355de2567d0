"""Finds a Chromium for the browser tests, and installs one where there is none.

`python -m tests.browser` prints the path of the one that will be used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# Chromium's sandbox needs rights that root in a container does not have; nothing may be fetched in the background.
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")


def find() -> str | None:
    """The executable to use: the one named by `CHROMIUM`, an installed one, or Playwright's own."""
    if named := os.environ.get("CHROMIUM"):
        return named
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


def install() -> str:
    """Install a Chromium: from the distribution as root on Debian, else by Playwright; returns its path."""
    if sys.platform == "linux" and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "install", "-y", "chromium"]):
            if subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode != 0:
                break
    if not find():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    path = find()
    if path is None:
        sys.exit("There is no Chromium and none could be installed. Install one and set CHROMIUM to its path.")
    return path


if __name__ == "__main__":
    found = find()
    if found is None and "--install" in sys.argv:
        found = install()
    print(found or "none")
