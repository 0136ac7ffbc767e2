"""`entrepot keys`: what is sealed under which key, rotation, exports, and a doctor."""

from entrepot.cli.keys import carrying, changing, looking
from entrepot.cli.keys.topic import app

__all__ = ["app", "carrying", "changing", "looking"]
