"""`entrepot store`: where results are kept; each module gives the topic some of its commands."""

from entrepot.cli.store import collecting, looking
from entrepot.cli.store.topic import app

__all__ = ["app", "collecting", "looking"]
