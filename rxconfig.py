"""Where Reflex's own commands look for the configuration; it is made in `novapulse.launch`."""

from novapulse.launch.reflex_config import config

__all__ = ["config"]
