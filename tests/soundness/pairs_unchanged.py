"""Edits that change nothing: comments, docstrings, formatting, line numbers, annotations, code that is not used."""

from entrepot_test_pairs import Pairs

prose = Pairs("comments, docstrings, annotations")
_LONG = """
    LIMIT = 10

    def help(a, b):
        total = a * 2
        for n in range(b):
            if n % 2 == 0 and n < LIMIT:
                total += n
            else:
                total -= 1
        return {"total": total, "pairs": [(n, n + 1) for n in range(b) if n]}

    def work(x):
        try:
            found = help(x, b=4)
        except ValueError as error:
            return str(error)
        return found, f"{x:>5}", x if x else None
"""
prose.agree("a comment", "def work(x):\n    # one\n    return x", "# one", "# two")
prose.agree("a comment that was added", "def work(x):\n    return x", "    return", "    # one\n    return")
prose.agree("a comment at the end of a line", "def work(x):\n    return x", "return x", "return x  # as it is")
prose.agree("a comment between branches", _LONG, "else:", "# odd ones\n        else:")
prose.agree("a comment inside brackets", "def work(x): return [\n    x,\n    1,\n]", "    1,", "    # one\n    1,")
prose.agree(
    "a comment at the top of the file",
    "def work(x): return x",
    "def work",
    "#!/usr/bin/env python\n# a flow\ndef work",
)
prose.agree("a docstring", 'def work(x):\n    """One."""\n    return x', "One.", "Two.")
prose.agree(
    "a docstring that was added",
    "def work(x):\n    return x",
    "    return",
    '    """Does it."""\n    return',
)
prose.agree(
    "a docstring of many lines",
    'def work(x):\n    """One."""\n    return x',
    "One.",
    "One.\n\n    Two.\n    ",
)
prose.agree("a docstring of a helper", _LONG, "total = a * 2", '"""Help."""\n    total = a * 2')
prose.agree("a docstring of the module", "def work(x): return x", "def work", '"""A flow."""\ndef work')
prose.agree(
    "a docstring of a function inside",
    "def work(x):\n    def f():\n        return 1\n    return f()",
    "        return 1",
    "        'One.'\n        return 1",
)
prose.agree(
    "a text that stands alone",
    "def work(x):\n    y = x\n    return y",
    "    return",
    "    'note'\n    return",
)
prose.agree("a number that stands alone", "def work(x):\n    y = x\n    return y", "    return", "    42\n    return")
prose.agree("annotations", "def work(x): return x", "(x)", "(x: int) -> int")
prose.agree("other annotations", "def work(x: int) -> int: return x", "(x: int) -> int", "(x: float) -> 'list[int]'")
prose.agree("an annotation of a local variable", "def work(x):\n    y = x\n    return y", "y = x", "y: int = x")
prose.agree(
    "annotations of a helper",
    _LONG,
    "def help(a, b)",
    "def help(a: int, b: int = 0) -> dict".replace(" = 0", ""),
)
prose.agree("annotations of star-arguments", "def work(x, *a, **k): return x, a, k", "*a, **k", "*a: int, **k: str")
prose.agree(
    "annotations of a function inside",
    "def work(x):\n    f = lambda: 1\n    def g(y): return y\n    return g(f())",
    "def g(y)",
    "def g(y: int) -> int",
)
prose.agree(
    "annotations as text",
    "def work(x: int): return x",
    "def work",
    "from __future__ import annotations\ndef work",
)
prose.agree("a type alias that is only for annotations", "T = int\ndef work(x: T): return x", "T = int", "T = float")
prose.agree("a `pass`", "def work(x):\n    return x", "    return", "    pass\n    return")
prose.agree(
    "a `pass` in a loop",
    "def work(x):\n    for y in [x]:\n        x = y\n    return x",
    "x = y",
    "x = y\n        pass",
)
layout = Pairs("formatting and lines")
layout.agree("blank lines", "def work(x):\n    y = x\n    return y", "    return", "\n\n    return")
layout.agree("moved down", "def work(x): return x", "def work", "\n\n\n\ndef work")
layout.agree("moved a thousand lines down", "def work(x): return x", "def work", "\n" * 1000 + "def work")
layout.agree(
    "a helper moved below",
    "def help(x): return x + 1\ndef work(x): return help(x)\n",
    "def help(x): return x + 1\ndef work(x): return help(x)\n",
    "def work(x): return help(x)\ndef help(x): return x + 1\n",
)
layout.agree("spaces", "def work(x): return x+1", "x+1", "x  +  1")
layout.agree("an indent of two", "def work(x):\n    if x:\n        return 1\n    return 2", "    ", "  ")
layout.agree("tabs", "def work(x):\n    if x:\n        return 1\n    return 2", "    ", "\t")
layout.agree("one line or two", "def work(x): return x + 1", "def work(x): return", "def work(x):\n    return")
layout.agree(
    "statements joined by a semicolon",
    "def work(x):\n    y = x\n    return y",
    "y = x\n    return",
    "y = x; return",
)
layout.agree("brackets", "def work(x): return x+1", "x+1", "(x\n   + 1)")
layout.agree("brackets that were not needed", "def work(x): return (x * 2) + 1", "(x * 2)", "x * 2")
layout.agree("a list that was split", "def work(x):\n    return [x, x]", "[x, x]", "[\n        x,\n        x,\n    ]")
layout.agree(
    "a call that was split",
    "def work(x):\n    return max(x, 1)",
    "max(x, 1)",
    "max(\n        x,\n        1,\n    )",
)
layout.agree(
    "a condition that was split",
    "def work(x):\n    if x and x > 1 or x < 0:\n        return 1\n    return 2",
    "x and x > 1 or x < 0",
    "(\n        x and x > 1\n        or x < 0\n    )",
)
layout.agree("parameters that were split", "def work(x, y=1): return x + y", "(x, y=1)", "(\n    x,\n    y=1,\n)")
layout.agree("a backslash", "def work(x): return x + 1", "x + 1", "x \\\n        + 1")
layout.agree(
    "a comprehension that was split",
    "def work(x): return [y for y in range(x) if y]",
    "y for y in range(x) if y",
    "\n    y\n    for y in range(x)\n    if y\n",
)
layout.agree(
    "a dict that was split",
    "def work(x): return {'a': x, 'b': 1}",
    "{'a': x, 'b': 1}",
    "{\n    'a': x,\n    'b': 1,\n}",
)
layout.agree("a trailing comma", "def work(x): return (x, 1)", "(x, 1)", "(x, 1,)")
layout.agree(
    "a lambda that was split",
    "def work(x): return (lambda y: y + 1)(x)",
    "lambda y: y + 1",
    "\n    lambda y: y + 1\n",
)
layout.agree(
    "a decorator on the line before",
    "def same(f):\n return lambda x: f(x)\n@same\ndef work(x): return x",
    "@same\n",
    "\n\n@same\n\n",
)
layout.agree(
    "a match that was spread",
    "def work(x):\n match x:\n  case 3: return 1\n  case _: return 2",
    "case 3: return 1\n  ",
    "case 3:\n   return 1\n\n  ",
)
layout.agree(
    "a with-statement in brackets",
    "import contextlib\ndef work(x):\n with contextlib.nullcontext(x) as y: return y",
    "contextlib.nullcontext(x) as y",
    "(contextlib.nullcontext(x) as y)",
)
layout.agree("a long function, spread", _LONG, "total += n", "\n\n            total += n\n")
layout.agree("a long function, in brackets", _LONG, "n % 2 == 0 and n < LIMIT", "(n % 2 == 0) and (n < LIMIT)")
layout.agree("a return in brackets", "def work(x): return x", "return x", "return (x)")
layout.agree("a tuple without brackets", "def work(x): return (x, 1)", "(x, 1)", "x, 1")
layout.agree("line ends of Windows", "def work(x):\n    y = x\n    return y", "\n", "\r\n")
layout.agree("an empty line at the end", "def work(x): return x", "return x\n", "return x\n\n\n")
written = Pairs("another way to write the same")
written.agree("kinds of quotes", "def work(x): return 'a'", "'a'", '"a"')
written.agree("three quotes", "def work(x): return 'a'", "'a'", '"""a"""')
written.agree("a raw text", "def work(x): return 'a'", "'a'", "r'a'")
written.agree("an escape", "def work(x): return 'a'", "'a'", "'\\x61'")
written.agree("texts that are joined", "def work(x): return 'ab'", "'ab'", "'a' 'b'")
written.agree("how a number is written", "def work(x): return 1000", "1000", "1_000")
written.agree("a number in hexadecimal", "def work(x): return 255", "255", "0xFF")
written.agree("a float", "def work(x): return 1000.0", "1000.0", "1e3")
written.agree("a constant that is computed", "def work(x): return x * 60", "x * 60", "x * (6 * 10)")
written.agree("a text that is computed", "def work(x): return 'aaa'", "'aaa'", "'a' * 3")
written.agree(
    "the order of a set of constants",
    "def work(x): return x in {'a', 'b', 'c'}",
    "'a', 'b', 'c'",
    "'c', 'b', 'a'",
)
written.agree(
    "`elif` and `else: if`",
    "def work(x):\n if x > 5: return 1\n elif x > 2: return 2\n return 3",
    " elif x > 2: return 2\n",
    " else:\n  if x > 2: return 2\n",
)
written.agree("a global, computed", "N = 4\ndef work(x): return N", "N = 4", "N = 2 + 2")
written.agree("a global, by another name first", "N = 4\ndef work(x): return N", "N = 4", "M = 4\nN = M")
written.agree("a global list, made otherwise", "N = [1, 2]\ndef work(x): return N", "[1, 2]", "list((1, 2))")
written.agree(
    "the order of a global set",
    "T = {'a', 'b', 'c'}\ndef work(x): return T",
    "'a', 'b', 'c'",
    "'c', 'b', 'a'",
)
written.agree("the order of globals", "A = 1; B = 2\ndef work(x): return A + B", "A = 1; B = 2", "B = 2; A = 1")
written.agree("a global, assigned twice", "N = 4\ndef work(x): return N", "N = 4", "N = 3\nN = 4")
written.agree("a global with an annotation", "N = 4\ndef work(x): return N", "N = 4", "N: int = 4")
written.agree("`not x in` and `x not in`", "def work(x): return x not in [1]", "x not in", "not x in")
written.agree(
    "a bare return at the end",
    "def work(x):\n print(end='')",
    " print(end='')\n",
    " print(end='')\n return\n",
)
written.agree(
    "a return of None",
    "def work(x):\n print(end='')",
    " print(end='')\n",
    " print(end='')\n return None\n",
)
written.agree(
    "a bare except's name that is not there",
    "def work(x):\n try: return 1 / x\n except ZeroDivisionError: return 0",
    "except ZeroDivisionError",
    "except (ZeroDivisionError)",
)
written.agree("an f-string without fields", "def work(x): return 'a'", "'a'", "f'a'")
unused = Pairs("code that is not used")
unused.agree("another function of the file", "def work(x): return x\ndef other(): return 1", "return 1", "return 2")
unused.agree("a function that was added", "def work(x): return x", "def work", "def other(): return 1\ndef work")
unused.agree(
    "a function that was removed",
    "def other(): return 1\ndef work(x): return x",
    "def other(): return 1\n",
    "",
)
unused.agree("another global", "A = 1\nB = 2\ndef work(x): return A", "B = 2", "B = 3")
unused.agree("a global of a parameter's name", "y = 1\ndef work(x, y=5): return y", "y = 1", "y = 2")
unused.agree("a global of a local's name", "y = 1\ndef work(x):\n y = x\n return y", "y = 1\n", "y = 2\n")
unused.agree("a global of an attribute's name", "real = 1\ndef work(x): return x.real", "real = 1", "real = 2")
unused.agree(
    "a helper of another function",
    "def help(): return 1\ndef work(x): return x\ndef other(): return help()",
    "return 1",
    "return 2",
)
unused.agree("a class", "class A:\n n = 1\ndef work(x): return x", "n = 1", "n = 2")
unused.agree(
    "what runs only as a script",
    "def work(x): return x\nif __name__ == '__main__':\n print(work(1))",
    "work(1)",
    "work(2)",
)
unused.agree(
    "a constant condition that is never met",
    "def work(x):\n if False:\n  return 1\n return x",
    "return 1",
    "return 2",
)
unused.agree("a global array", "import numpy as np\nA = np.array([1])\ndef work(x): return x", "[1]", "[2]")
unused.agree(
    "an object without identity",
    "import threading\nLOCK = threading.Lock()\ndef work(x): return x",
    "threading.Lock()",
    "threading.RLock()",
)
unused.agree("a default of another function", "def other(y=1): return y\ndef work(x): return x", "y=1", "y=2")
