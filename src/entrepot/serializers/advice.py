"""What messages advise where a serializer cannot write a value: another one, as far as the store allows it."""

from typing import Final

__all__ = ["OR_ANOTHER", "OR_PICKLE", "advice_within"]

OR_PICKLE: Final = ", or use result_serializer='pickle'"
"""How advice ends where pickle may help."""

OR_ANOTHER: Final = ", or use result_serializer='auto', or 'pickle'"
"""How it ends where a serializer was named that does not suit the value."""


def advice_within(message: str, allow: frozenset[str] | None) -> str:
    """Return a message without the advice that a store does not allow.

    Args:
        message: Made with the ends above.
        allow: The names of the serializers that may be used; None for all.
    """
    if allow is None or "pickle" in allow:
        return message
    return message.replace(OR_PICKLE, "").replace(OR_ANOTHER, ", or use result_serializer='auto'")
