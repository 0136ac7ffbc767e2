"""`entrepot plugins`: what is installed, whether it is sound, and how to write one; each module gives some commands."""

from entrepot.cli.plugins import checking, creating, listing
from entrepot.cli.plugins.topic import app

__all__ = ["app", "checking", "creating", "listing"]
