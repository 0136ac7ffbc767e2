"""Whether a text reads like a name that somebody thought of, and so may be shown where values may not."""

import re

__all__ = ["looks_like_words"]

_LONGEST = 32
_SHORTEST_TOKEN = 12

_WORDS = re.compile(
    r"""
    _{0,2}
    (?:
        (?: [a-z]{1,16} | [A-Z]{1,16}                   # max, HTTP
          | [A-Z]{0,6} [A-Z][a-z]{1,15}                 # Max, HTTPStatus
          | [A-Z]{0,6} (?:[A-Z][a-z]{1,15}){2,5}        # MaxRate
          | [a-z]{1,15} (?:[A-Z]{1,5}[a-z]{1,15}){1,4}  # maxRate, theURLOf
        )
        [0-9]{0,4}
    )
    (?: [_-]{1,2} (?: (?: [a-z]{1,16} | [A-Z]{1,16} | [A-Z]?[a-z]{1,15} (?:[A-Z][a-z]{1,15}){0,4} ) [0-9]{0,4}
                    | [0-9]{1,4} ) )*
    _{0,2}
    """,
    re.ASCII | re.VERBOSE,
)
_TOKEN = re.compile(
    r"""
    (?: [spr]k | gh[pousr] | github_pat | gl[a-z]{2,4} | xox[a-z] | npm | pypi | hf | whsec | shp[a-z]{2}
      | key | token | live | prod ) [_-]
    | AKIA | ASIA | AIza | ya29 | eyJ
    """,
    re.ASCII | re.VERBOSE,
)


def looks_like_words(text: str) -> bool:
    """Return whether a text reads like a name that somebody thought of: `max_rate`, `user-id`, `Q1`, `HTTPStatus2`.

    What machines make up does not: tokens, digests, numbers of accounts. It is at most 32 characters of words of
    letters (ASCII, up to 16 of them, in which capitals begin words), each with up to 4 digits behind it, with `_` or
    `-` between them; and it does not begin as tokens do (`sk-live-`, `ghp_`). A password that is a word looks like one.
    """
    if not 0 < len(text) <= _LONGEST or (len(text) >= _SHORTEST_TOKEN and _TOKEN.match(text)):
        return False
    return _WORDS.fullmatch(text) is not None
