"""Collection: what of a result store is no longer needed, and how it is removed beside living writers."""

from entrepot.results.collect.collector import GRACE, Collector, Left, Progress, Report
from entrepot.results.collect.policy import Rules, Share

__all__ = ["GRACE", "Collector", "Left", "Progress", "Report", "Rules", "Share"]
