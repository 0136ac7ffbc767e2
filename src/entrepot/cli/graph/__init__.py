"""A run as a picture: an SVG file with a timeline and a graph of dependencies."""

from entrepot.cli.graph.page import picture, shows

__all__ = ["picture", "shows"]
