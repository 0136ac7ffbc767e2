"""Compiled code, normalised: how it is written does not count, what it does counts."""

import argparse
import ast
import asyncio.base_events
import configparser
import copy
import difflib
import fractions
import functools
import heapq
import inspect
import json.decoder
import random
import shlex
import statistics
import string
import textwrap
import types
from collections.abc import Iterator

import pytest

from entrepot.hashing._bytecode import facts_of

MODULES = [
    argparse,
    asyncio.base_events,
    configparser,
    difflib,
    fractions,
    functools,
    heapq,
    json.decoder,
    random,
    shlex,
    statistics,
    string,
    textwrap,
]
MUTATIONS = 10


def functions(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield the functions of a module and of its classes, outermost first."""
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield const
            yield from functions(const)


def compiled(tree: ast.AST) -> list[types.CodeType]:
    return list(functions(compile(ast.unparse(ast.fix_missing_locations(tree)), "<other>", "exec")))


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def plain(code: types.CodeType) -> tuple[object, ...]:
    """Return what code is made of, without lines and names of files."""
    consts = tuple(plain(c) if isinstance(c, types.CodeType) else (type(c), repr(c)) for c in code.co_consts)
    return (code.co_code, consts, code.co_names, code.co_varnames, code.co_exceptiontable, code.co_flags)


class TestHowItIsWritten:
    def test_reformatting_all_of_it_changes_hardly_anything(self):
        # Everything that is on several lines comes to be on one: far more than a formatter does to a file.
        total = differing = 0
        for module in MODULES:
            source = inspect.getsource(module)
            here = functions(compile(source, "<one>", "exec"))
            for one, two in zip(here, compiled(ast.parse(source)), strict=True):
                total += 1
                differing += facts_of(one).digest != facts_of(two).digest
        assert total > 800
        assert differing / total < 0.002

    def test_docstrings_do_not_count(self):
        for module in MODULES:
            tree = ast.parse(inspect.getsource(module))
            for one, two in zip(compiled(tree), compiled(without_docstrings(copy.deepcopy(tree))), strict=True):
                assert facts_of(one).digest == facts_of(two).digest, one.co_qualname

    def test_names_that_are_read_are_the_same_however_it_is_written(self):
        for module in MODULES[:4]:
            source = inspect.getsource(module)
            here = functions(compile(source, "<one>", "exec"))
            for one, two in zip(here, compiled(ast.parse(source)), strict=True):
                assert facts_of(one).globals == facts_of(two).globals


class Mutation(ast.NodeTransformer):
    """Changes the n-th place that can be changed."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.seen = 0

    def _here(self) -> bool:
        self.seen += 1
        return self.seen - 1 == self.place

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool) or node.value is None or node.value is ...:
            return node
        if not self._here():
            return node
        changed = (
            node.value + 1
            if isinstance(node.value, int | float)
            else node.value + node.value[:0] + type(node.value)(*(("x",) if isinstance(node.value, str) else (b"x",)))
        )
        return ast.Constant(changed)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Add) and self._here():
            node.op = ast.Sub()
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if self._here():
            node.ops[0] = ast.IsNot() if isinstance(node.ops[0], ast.Is) else ast.Is()
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and self._here():
            node.attr += "_"
        return node


class TestWhatItDoes:
    @pytest.mark.filterwarnings("ignore:.*is.* with :SyntaxWarning")
    @pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
    def test_a_small_change_anywhere_gives_another_digest(self, module):
        tree = without_docstrings(ast.parse(inspect.getsource(module)))
        originals = compiled(copy.deepcopy(tree))
        chance = random.Random(7)
        counter = Mutation(-1)
        counter.visit(copy.deepcopy(tree))
        changes = 0
        for place in chance.sample(range(counter.seen), min(MUTATIONS, counter.seen)):
            mutated = Mutation(place).visit(copy.deepcopy(tree))
            for one, two in zip(originals, compiled(mutated), strict=True):
                differ = plain(one) != plain(two)
                changes += differ
                assert (facts_of(one).digest != facts_of(two).digest) == differ, (place, one.co_qualname)
        assert changes

    def test_the_digest_is_the_same_after_the_code_is_gone_and_compiled_again(self):
        source = "def f(x):\n    return [y + 1 for y in x]\n"
        digests = set()
        for _ in range(50):
            namespace: dict[str, types.FunctionType] = {}
            exec(source, namespace)
            digests.add(facts_of(namespace["f"].__code__).digest)
            del namespace
        assert len(digests) == 1


class TestWhatItReads:
    def read(self, source: str) -> dict[str, tuple[tuple[str, ...], ...]]:
        return dict(facts_of(next(functions(compile(source, "<x>", "exec")))).globals)

    def test_attributes_that_follow_a_name(self):
        assert self.read("def f(): return a.b.c + a.b.d + e") == {"a": (("b", "c"), ("b", "d")), "e": ((),)}

    def test_a_name_read_whole_is_not_looked_into(self):
        assert self.read("def f(): return a.b, a") == {"a": ((),)}
        assert self.read("def f(): return a.b, a.b.c") == {"a": (("b",),)}

    def test_names_in_everything_inside(self):
        source = "def f():\n class A:\n  x = a\n  def g(self): return [b for _ in c]\n return lambda: d.e"
        assert {"a", "b", "c", "d"} <= set(self.read(source))

    def test_own_variables_are_not_globals(self):
        assert self.read("def f(a):\n b = a\n return [b for c in b if c]") == {}

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("import a", [("a", 0, None, (("x",),))]),
            ("import a as n", [("a", 0, None, ())]),
            ("from a import b", [("a", 0, "b", ())]),
            ("from . import b", [("", 1, "b", ())]),
            ("from ..p.q import b", [("p.q", 2, "b", ())]),
            ("import a.b.c", [("a.b.c", 0, None, ()), ("a", 0, None, (("x",),))]),
            ("import a.b.c as n", [("a.b.c", 0, None, ())]),
        ],
    )
    def test_imports_inside(self, line, expected):
        code = next(functions(compile(f"def f():\n {line}\n return a.x", "<x>", "exec")))
        found = [(one.module, one.level, one.name, one.chains) for one in facts_of(code).imports]
        assert [one[:3] for one in found] == [one[:3] for one in expected]
        for one, two in zip(found, expected, strict=True):
            assert not two[3] or one[3] == two[3]

    def test_variables_around_through_functions_between(self):
        source = "def a():\n m = 1\n def b():\n  def c(): return m.x\n  return c\n return b"
        outer = next(functions(compile(source, "<x>", "exec")))
        inner = next(functions(outer))
        assert dict(facts_of(inner).free) == {"m": (("x",),)}
