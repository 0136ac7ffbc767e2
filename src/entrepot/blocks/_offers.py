"""Which names to offer to who asked for a block that is not there."""

from difflib import get_close_matches

__all__ = ["offer"]


def offer(name: str, names: list[str]) -> str:
    """Return what to say of the names that are there: those that are near, or the first of all."""
    if not names:
        return "none is saved there; save one first"
    near = get_close_matches(name, names, n=3)
    by_name = [each for each in names if name in each.split("/")]
    shown = list(dict.fromkeys([*by_name, *near]))
    if shown:
        return f"did you mean {' or '.join(repr(each) for each in shown[:3])}?"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""  # noqa: PLR2004  what fits a line
    return f"saved there: {', '.join(names[:10])}{more}"
