"""`concurrency` and `rate_limit` for code that does not await, under the module name that Prefect has for them."""

from entrepot.concurrency.slots import concurrency, rate_limit

__all__ = ["concurrency", "rate_limit"]
