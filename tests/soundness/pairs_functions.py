"""What the function itself says."""

from entrepot_test_pairs import Pairs

body = Pairs("the function itself")
body.differ("a constant", "def work(x): return x + 1", "+ 1", "+ 2")
body.differ("an operator", "def work(x): return x + 1", "x + 1", "x - 1")
body.differ("an operator in place", "def work(x):\n x += 2\n return x", "+=", "*=")
body.differ("the type of a constant", "def work(x): return x + 1", "+ 1", "+ 1.0")
body.differ("a constant and its equal", "def work(x): return (x, 1)", "1", "True")
body.differ("the sign of zero", "def work(x): return 0.0", "0.0", "-0.0")
body.differ("a text", "def work(x): return 'a'", "'a'", "'b'")
body.differ("a text and bytes", "def work(x): return 'a'", "'a'", "b'a'")
body.differ("a set and a tuple of constants", "def work(x): return (1, 2)", "(1, 2)", "{1, 2}")
body.differ("a comparison", "def work(x): return x < 3", "<", "<=")
body.differ("`is` and `==`", "def work(x): return x is []", "is", "==", inputs="{'x': []}")
body.differ("`and` and `or`", "def work(x): return x and 0", "and", "or")
body.differ("the branches of a condition", "def work(x): return 1 if x else 2", "1 if x else 2", "2 if x else 1")
body.differ("the order of operands", "def work(x): return x - 1", "x - 1", "1 - x")
body.differ("a name of a parameter", "def work(x, y=1): return 1", "y=1", "z=1", shows=False)
body.differ("the order of parameters", "def work(x, y=1): return (x, y)", "(x, y)", "(y, x)")
body.differ("a parameter that became a keyword", "def work(x, y=1): return x", "(x, y", "(x, *, y", shows=False)
body.differ(
    "a parameter by position only",
    "def help(x, y=1): return x\ndef work(x): return help(x)",
    "y=1)",
    "y=1, /)",
    shows=False,
)
body.differ("one argument and all", "def work(x, *more): return (x, more)", "*more", "more=()", shows=False)
body.differ("keywords collected or not", "def work(x, **more): return more", "**more", "more=None")
body.differ("unpacked or not", "def work(x): return [*x]", "[*x]", "[x]", inputs="{'x': [1]}")
body.differ("a starred target", "def work(x):\n a, *b = x\n return a, b", "a, *b", "*b, a", inputs="{'x': [1, 2]}")
body.differ("async", "def work(x): return x", "def work", "async def work")
body.differ("a generator", "def work(x): return x", "return x", "yield x")
body.differ("what is yielded", "def work(x):\n for y in range(x): yield y", "yield y", "yield -y")
body.differ("`yield` and `yield from`", "def work(x): yield from [[x]]", "yield from", "yield")
body.differ("what is awaited", "async def a(): return 1\nasync def work(x): return await a()", "return 1", "return 2")
body.differ(
    "an asynchronous comprehension",
    """
    async def each():
     yield 1
    async def work(x): return [y + 1 async for y in each()]
    """,
    "y + 1",
    "y + 2",
)
body.differ("a lambda inside", "def work(x): return list(map(lambda y: y + 1, [x]))", "y + 1", "y + 2")
body.differ("a function inside", "def work(x):\n def g(): return 1\n return g()", "return 1", "return 2")
body.differ("a default of a function inside", "def work(x):\n def g(y=1): return y\n return g()", "y=1", "y=2")
body.differ("a class inside", "def work(x):\n class A:\n  b = 1\n return A.b", "b = 1", "b = 2")
body.differ("what a comprehension keeps", "def work(x): return [y for y in range(x) if y > 1]", "> 1", "> 0")
body.differ(
    "the kind of a comprehension",
    "def work(x): return [y for y in [x]]",
    "[y for y in [x]]",
    "{y for y in [x]}",
)
body.differ("a generator expression", "def work(x): return sum(y * 2 for y in range(x))", "y * 2", "y * 3")
body.differ("a dict comprehension", "def work(x): return {y: 1 for y in range(x)}", "y: 1", "y: 2")
body.differ(
    "the loops of a comprehension",
    "def work(x): return [(a, b) for a in 'ab' for b in 'cd']",
    "(a, b)",
    "(b, a)",
)
body.differ("an f-string's format", "def work(x): return f'{x:.1f}'", ".1f", ".2f")
body.differ("an f-string's conversion", "def work(x): return f'{x!r}'", "!r", "!s", inputs="{'x': 'a'}")
body.differ("the text of an f-string", "def work(x): return f'a{x}'", "a{x}", "b{x}")
body.differ("a format inside a format", "def work(x): return f'{x:{4}}'", "{4}", "{5}")
_MATCH = "def work(x):\n match x:\n  case [1, *_]: return 1\n  case {'a': y}: return y\n  case _: return 0"
body.differ("a matched sequence", _MATCH, "[1, *_]", "[2, *_]", inputs="{'x': [1, 2]}")
body.differ("a matched key", _MATCH, "{'a': y}", "{'b': y}", inputs="{'x': {'a': 5}}")
body.differ("a guard", "def work(x):\n match x:\n  case y if y > 2: return 1\n return 0", "y > 2", "y > 3")
body.differ(
    "an exception that is caught",
    """
    def work(x):
     try: return {}[1]
     except KeyError: return 0
     except LookupError: return 1
    """,
    "KeyError",
    "ValueError",
)
body.differ(
    "what a try covers",
    "def work(x):\n try: return x\n finally: print(end='')",
    " try: return x\n finally: print(end='')",
    " print(end='')\n return x",
    shows=False,
)
body.differ("an assertion", "def work(x):\n assert x > 1\n return x", "x > 1", "x > 2", shows=False)
body.differ("what is deleted", "def work(x):\n y = [1, 2]\n del y[0]\n return y", "y[0]", "y[1]")
body.differ("a slice", "def work(x): return 'abc'[0:2]", "0:2", "0:3")
body.differ("a chained comparison", "def work(x): return 1 < x < 5", "< 5", "< 2")
body.differ("a walrus", "def work(x): return (y := x + 1) * y", ":= x + 1", ":= x + 2")
body.differ(
    "a loop's `else`",
    "def work(x):\n for y in 'a': pass\n else: return 1\n return 2",
    " else: return 1\n",
    "",
)
body.differ(
    "break and continue",
    "def work(x):\n for y in 'ab':\n  x += 1\n  continue\n return x",
    "continue",
    "break",
)
body.differ("an attribute's name", "def work(x): return x.real", "real", "imag")
body.differ("a keyword of a call", "def work(x): return int('11', base=2)", "base=2", "base=3")
body.differ("a name that is global", "y = 1\ndef work(x):\n global y\n y = y + x\n return y", "y + x", "y - x")
body.differ(
    "a variable of an outer function",
    "def work(x):\n n = 0\n def up():\n  nonlocal n\n  n += 1\n up()\n return n",
    "n += 1",
    "n += 2",
)
body.differ(
    "nonlocal or not",
    "def work(x):\n n = 0\n def up():\n  nonlocal n\n  n = 1\n up()\n return n",
    "  nonlocal n\n",
    "",
)
body.differ("a tuple's order", "def work(x): return (x, 1)", "(x, 1)", "(1, x)")
body.differ("the key of a dict", "def work(x): return {'a': x}", "'a'", "'b'")
body.differ("recursion", "def work(x): return x and 1 + work(x - 1)", "1 +", "2 +")
body.differ(
    "a docstring that became the result",
    "def work(x):\n 'a'\n return None",
    "'a'\n return None",
    "return 'a'",
)
body.differ(
    "a raised error",
    "def work(x):\n try: raise KeyError\n except LookupError as e: return type(e)",
    "raise Key",
    "raise Index",
)
body.differ("a bit operator", "def work(x): return x & 1", "&", "|")
body.differ("a negation", "def work(x): return -x", "-x", "+x")
body.differ("a power", "def work(x): return x ** 2", "**", "*")
body.differ("a statement that was added", "def work(x):\n return x", " return x", " x = x * 2\n return x")
body.differ(
    "two statements in another order",
    "def work(x):\n x += 1\n x *= 2\n return x",
    "x += 1\n x *= 2",
    "x *= 2\n x += 1",
)
body.differ("a long constant", "def work(x): return 'a' * 3000 + '" + "b" * 3000 + "'", "b" * 3000, "b" * 2999 + "c")
