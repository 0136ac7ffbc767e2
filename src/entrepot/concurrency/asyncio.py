"""`concurrency` and `rate_limit` for code that awaits, under the module name that Prefect has for them."""

from entrepot.concurrency.slots import arate_limit as rate_limit
from entrepot.concurrency.slots import concurrency

__all__ = ["concurrency", "rate_limit"]
