"""The version of the installed package."""

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("novapulse")
    except PackageNotFoundError:  # imported from a source tree that is not installed: its wheel is being built
        return "0+source"


VERSION = _installed()
