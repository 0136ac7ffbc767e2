"""A folder of fake distributions on `sys.path`."""

from entrepot_test_sites import site

__all__ = ["site"]
