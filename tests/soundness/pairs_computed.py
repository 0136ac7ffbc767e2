"""Code that is looked up by other code: by computed names, by registries, by annotations."""

from entrepot_test_pairs import Pairs

computed = Pairs("code that is looked up by other code")
computed.differ("a name by globals()", "N = 1\ndef work(x): return globals()['N']", "N = 1", "N = 2")
computed.differ("a name by eval", "N = 1\ndef work(x): return eval('N')", "N = 1", "N = 2")
computed.differ("a helper by eval", "def f(): return 1\ndef work(x): return eval('f()')", "return 1", "return 2")
computed.differ(
    "a constant by getattr", "import conf\ndef work(x): return getattr(conf, 'N')", "N = 1", "N = 2", conf="N = 1"
)
computed.differ(
    "a method by getattr", "class A:\n def f(self): return 1\ndef work(x): return getattr(A(), 'f')()", "1", "2"
)
_TOOLS = {"tools": "def run(x): return x * 2"}
_IMPORT = "import importlib\ndef work(x): return importlib.import_module('tools').run(x)"
computed.differ("a module by import_module", _IMPORT, "* 2", "* 3", **_TOOLS)
computed.differ("a module by __import__", "def work(x): return __import__('tools').run(x)", "* 2", "* 3", **_TOOLS)
computed.differ(
    "a module by import_module, assigned",
    """
    from importlib import import_module

    def work(x):
        tools = import_module("tools")
        return tools.run(x)
    """,
    "* 2",
    "* 3",
    **_TOOLS,
)
computed.differ(
    "a class below another",
    "class A: pass\nclass B(A):\n n = 1\ndef work(x): return [c.n for c in A.__subclasses__()]",
    "n = 1",
    "n = 2",
)
computed.differ(
    "a class below another, by a helper",
    """
    def all_of(cls):
        return [one.n for one in cls.__subclasses__()]

    class A:
        pass

    class B(A):
        n = 1

    def work(x):
        return all_of(A)
    """,
    "n = 1",
    "n = 2",
)
computed.differ(
    "what is registered with an abstract class",
    "import abc\nclass A(abc.ABC): pass\nA.register(int)\ndef work(x): return isinstance(x, A)",
    "register(int)",
    "register(str)",
)
computed.differ(
    "a helper that the module makes when asked",
    "import conf\ndef work(x): return conf.go(x)",
    "return 1",
    "return 2",
    conf="""
    def real(x): return 1
    def __getattr__(name):
        if name == "go": return lambda x: real(x)
        raise AttributeError(name)
    """,
)
_HINTS = """
    import typing

    def build(f, x):
        return typing.get_type_hints(f)["x"](x)

    def ask(x: int):
        "Ask."

    def work(x):
        return build(ask, x)
"""
computed.differ("annotations, by a helper", _HINTS, "x: int", "x: float")
computed.differ(
    "annotations, by inspect",
    """
    from inspect import signature as read

    def ask(x: int): pass

    def work(x): return read(ask).parameters["x"].annotation(x)
    """,
    "x: int",
    "x: float",
)
computed.differ(
    "annotations of the function itself, by its decorator",
    """
    def converted(f):
        def wrapper(**given):
            return f(**{name: f.__annotations__[name](value) for name, value in given.items()})
        return wrapper

    @converted
    def work(x: int):
        return x
    """,
    "x: int",
    "x: float",
)
computed.differ(
    "annotations of a function inside, by a helper",
    """
    def build(f, x):
        return f.__annotations__["x"](x)

    def work(x):
        def ask(x: int): pass
        return build(ask, x)
    """,
    "x: int",
    "x: float",
)
computed.differ(
    "annotations that pydantic goes by",
    "from pydantic import validate_call\n@validate_call\ndef work(x: int): return x",
    "x: int",
    "x: float",
)
computed.differ(
    "annotations that pydantic goes by, of a helper",
    "from pydantic import validate_call\n@validate_call\ndef help(x: int): return x\ndef work(x): return help(x)",
    "x: int",
    "x: float",
)
computed.differ(
    "the type that is dispatched on, inside",
    """
    import functools

    def work(x):
        @functools.singledispatch
        def f(x): return 0
        @f.register
        def _(x: int): return 1
        return f(x)
    """,
    "x: int",
    "x: float",
)
computed.differ(
    "a docstring, by a helper",
    "def doc(f): return f.__doc__\ndef ask(): 'a'\ndef work(x): return doc(ask)",
    "'a'",
    "'b'",
)
computed.differ("a docstring of a class, by an object", "class A: 'a'\ndef work(x): return A().__doc__", "'a'", "'b'")
computed.agree("a docstring that nobody reads", "def ask(): 'a'\ndef work(x): return ask()", "'a'", "'b'")
computed.agree(
    "another module than the one that is imported by name", _IMPORT, "N = 1", "N = 2", spare="N = 1", **_TOOLS
)
computed.agree("a comment in a module that is imported by name", _IMPORT, "* 2", "* 2  # twice", **_TOOLS)
computed.agree("a comment beside eval", "N = 1\ndef work(x): return eval('N')", "N = 1", "N = 1  # one")
computed.agree(
    "a class that is not below it",
    "class A: pass\nclass B:\n n = 1\ndef work(x): return len(A.__subclasses__())",
    "n = 1",
    "n = 2",
)
