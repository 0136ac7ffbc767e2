"""`entrepot cache`: what is kept and why; each module gives the topic some of its commands."""

from entrepot.cli.cache import explaining, invalidating, listing
from entrepot.cli.cache.topic import app

__all__ = ["app", "explaining", "invalidating", "listing"]
