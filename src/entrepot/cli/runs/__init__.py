"""`entrepot runs`: the history of flow runs and task runs; each module gives the topic some of its commands."""

from entrepot.cli.runs import answering, control, graph, listing, logs
from entrepot.cli.runs.topic import app

__all__ = ["answering", "app", "control", "graph", "listing", "logs"]
