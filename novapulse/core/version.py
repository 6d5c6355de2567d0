"""The version of the installed package."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("novapulse")
except PackageNotFoundError:  # imported from a source tree that is not installed: its wheel is being built
    VERSION = "0+source"
