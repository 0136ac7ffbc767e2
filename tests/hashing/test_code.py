"""What a function does: parts, refusals, names looked up anew at every call, and what it costs to look."""

import builtins
import collections
import contextlib
import copy
import dataclasses
import functools
import gc
import logging
import os
import subprocess
import sys
import threading
import types
import weakref

import numpy as np
import pytest

from entrepot.errors import UnhashableValueError
from entrepot.hashing import _bytecode
from entrepot.hashing._walker import CodeWalker
from entrepot.hashing.code import CodeHash, hash_function, known_function
from entrepot.hashing.values import hash_parts, hash_value

LIMIT = 1
RATE = 0.5
NAMES = ["a", "b"]
LOCK = threading.Lock()
log = logging.getLogger(__name__)


def helper(x: int) -> int:
    return x + LIMIT


def uses_helper(x: int) -> float:
    return helper(x) * RATE


def uses_list(x: str) -> bool:
    return x in NAMES


def with_default(x: int = 1, *, y: int = 2) -> int:
    return x + y


def uses_default(x: int) -> int:
    return with_default(x)


class Tool:
    size = 1

    def run(self) -> int:
        return self.size + LIMIT


def uses_class(x: int) -> int:
    return Tool().run() + x


def uses_attribute(x: int) -> int:
    return Tool.size + x


class Root:
    pass


class OneRoot(Root):
    size = 1


class OtherRoot(Root):
    size = 2


class Middle(OneRoot):
    pass


class Lowest(Middle):
    pass


def uses_inherited() -> int:
    return Lowest.size


class Maker(type):
    def __call__(cls) -> int:
        return 1


class OtherMaker(type):
    def __call__(cls) -> int:
        return 2


class Made(metaclass=Maker):
    pass


def uses_made() -> object:
    return Made()


class UsersWrapper:
    def __init__(self) -> None:
        self.inner = helper

    def __entrepot_code__(self) -> object:
        return self.inner


WRAPPER = UsersWrapper()


def uses_wrapper() -> object:
    return WRAPPER


def uses_missing(x: int) -> int:
    return appears_later(x)  # noqa: F821  the point of the test


def fresh(fn: object) -> CodeHash:
    """Return what a walk finds, whatever is remembered."""
    walker = CodeWalker()
    walker.walk(fn)
    return CodeHash(walker.parts)


def digests_around(fn: object, change: contextlib.AbstractContextManager[object]) -> tuple[str, str, str]:
    """Return the digest before, during and after a change; each is what a fresh walk finds."""
    found = []

    def note() -> None:
        for _ in range(2):
            digest = hash_function(fn).digest
            assert digest == fresh(fn).digest
        found.append(digest)

    note()
    with change:
        note()
    note()
    return (found[0], found[1], found[2])


@contextlib.contextmanager
def setting(owner: object, name: str, value: object):
    patch = pytest.MonkeyPatch()
    patch.setattr(owner, name, value, raising=False)
    try:
        yield
    finally:
        patch.undo()


@contextlib.contextmanager
def exchanging(owner: object, name: str, value: object):
    """Set what classes cannot be without: `setting` would delete it afterwards."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def appended(items: list[object], item: object):
    items.append(item)
    try:
        yield
    finally:
        items.pop()


HERE = sys.modules[__name__]


class TestNamesAreLookedUpAnew:
    @pytest.mark.parametrize(
        ("fn", "change"),
        [
            (uses_helper, lambda: setting(HERE, "LIMIT", 2)),
            (uses_helper, lambda: setting(HERE, "LIMIT", bool(1))),
            (uses_helper, lambda: setting(HERE, "LIMIT", 1.0)),
            (uses_helper, lambda: setting(HERE, "RATE", -0.5)),
            (uses_helper, lambda: setting(HERE, "helper", with_default)),
            (uses_helper, lambda: setting(HERE, "helper", len)),
            (uses_helper, lambda: setting(helper, "__code__", (lambda x: x).__code__)),
            (uses_helper, lambda: setting(uses_helper, "__code__", (lambda x: x).__code__)),
            (uses_helper, lambda: setting(helper, "__defaults__", (1,))),
            (uses_list, lambda: appended(NAMES, "c")),
            (uses_list, lambda: setting(HERE, "NAMES", ["a"])),
            (uses_list, lambda: setting(HERE, "NAMES", ("a", "b"))),
            (uses_default, lambda: setting(with_default, "__defaults__", (3,))),
            (uses_default, lambda: setting(with_default, "__kwdefaults__", {"y": 3})),
            (uses_default, lambda: setting(with_default, "__kwdefaults__", None)),
            (uses_class, lambda: setting(Tool, "size", 2)),
            (uses_class, lambda: setting(Tool, "run", lambda self: 1)),
            (uses_class, lambda: setting(Tool, "more", 1)),
            (uses_class, lambda: setting(HERE, "LIMIT", 2)),
            (uses_attribute, lambda: setting(Tool, "size", 2)),
            (uses_missing, lambda: setting(HERE, "appears_later", 1)),
            (uses_missing, lambda: setting(builtins, "appears_later", 1)),
        ],
    )
    def test_a_change_while_running_gives_another_digest(self, fn, change):
        before, during, after = digests_around(fn, change())
        assert before != during
        assert before == after

    def test_a_change_of_a_default_where_it_is(self):
        def base(x: int, items: list[int] = []) -> int:  # noqa: B006  the point of the test
            return x + len(items)

        before, during, after = digests_around(base, appended(base.__defaults__[0], 1))
        assert before != during
        assert before == after

    def test_a_change_of_a_keyword_default_where_it_is(self):
        before = hash_function(uses_default).digest
        with_default.__kwdefaults__["y"] = 9
        try:
            assert hash_function(uses_default).digest == fresh(uses_default).digest != before
        finally:
            with_default.__kwdefaults__["y"] = 2
        assert hash_function(uses_default).digest == before

    def test_a_variable_of_an_enclosing_function(self):
        n = 1

        def inner(x: int) -> int:
            return x + n

        first = hash_function(inner).digest
        n = 2
        assert hash_function(inner).digest != first
        n = 1
        assert hash_function(inner).digest == first

    def test_a_variable_that_was_deleted(self):
        n = 1

        def inner(x: int) -> int:
            return x + n  # noqa: F821  it is deleted below

        first = hash_function(inner).digest
        del n
        assert hash_function(inner).parts["closure:" + _label(inner) + ".n"] == "missing"
        assert hash_function(inner).digest != first

    def test_a_registered_implementation(self):
        @functools.singledispatch
        def shown(x: object) -> str:
            return "any"

        def inner(x: object) -> str:
            return shown(x)

        before = hash_function(inner).digest
        shown.register(int, lambda x: "int")
        assert hash_function(inner).digest != before

    def test_a_base_that_was_exchanged(self):
        class One:
            def run(self) -> int:
                return 1

        class Two:
            def run(self) -> int:
                return 2

        class Kid(One):
            pass

        def inner() -> int:
            return Kid().run()

        before = hash_function(inner).digest
        Kid.__bases__ = (Two,)
        assert hash_function(inner).digest != before

    @pytest.mark.parametrize(
        ("fn", "change"),
        [
            (uses_inherited, lambda: exchanging(Middle, "__bases__", (OtherRoot,))),
            (uses_made, lambda: exchanging(Made, "__class__", OtherMaker)),
            (uses_wrapper, lambda: setting(WRAPPER, "inner", with_default)),
        ],
    )
    def test_a_change_beside_the_names_that_are_read(self, fn, change):
        hash_function(fn)
        assert known_function(fn) is not None or fn is uses_wrapper  # else nothing is remembered that could be wrong
        before, during, after = digests_around(fn, change())
        assert before != during
        assert before == after

    def test_what_was_put_on_a_function_that_remembers(self):
        @functools.lru_cache
        def kept() -> int:
            return 1

        def inner() -> int:
            return kept.limit

        kept.limit = 1
        before = hash_function(inner).digest
        kept.limit = 2
        assert hash_function(inner).digest != before

    def test_the_defaults_of_a_named_tuple_that_were_set_on_what_makes_it(self):
        pair = collections.namedtuple("pair", "left right")  # noqa: PYI024  the older way, in which this is done

        def inner() -> object:
            return pair(1)

        pair.__new__.__defaults__ = (1,)
        before = hash_function(inner).digest
        pair.__new__.__defaults__ = (2,)
        assert hash_function(inner).digest != before

    def test_running_the_function_changes_nothing(self):
        code = helper.__code__.replace(co_name="warm")
        cold = _bytecode._Reader(code).facts().digest
        warm = types.FunctionType(code, globals())
        for n in range(10_000):  # the interpreter rewrites its own copy of the code as it learns the types
            warm(n)
        assert _bytecode._Reader(warm.__code__).facts().digest == cold

    def test_pickling_an_object_of_a_class_changes_nothing_of_the_class(self):
        class Row:  # `copyreg` notes the names of its slots in it
            pass

        def work():
            return Row()

        before = hash_function(work).digest
        copy.copy(Row())
        assert "__slotnames__" in vars(Row)
        assert hash_function(work).digest == before

    def test_what_is_remembered_keeps_no_function_alive(self):
        def make(n: int):
            def inner(x: int) -> int:
                return x + n + LIMIT

            return inner

        fn = make(1)
        hash_function(fn)
        gone = weakref.ref(fn)
        del fn
        gc.collect()
        assert gone() is None


def _label(fn: types.FunctionType) -> str:
    return f"{__name__}:{fn.__code__.co_qualname}"


class TestWhatIsPutThereWhileRunning:
    """The second look must see what the first one could not."""

    def project(self, source: str) -> dict[str, object]:
        namespace: dict[str, object] = {"__name__": "a_project_of_the_tests"}
        exec(source, namespace)
        return namespace

    @pytest.mark.parametrize(
        ("source", "change"),
        [
            ("def rate(): pass\ndef total(fs): return fs\ndef work(): return total([rate])", "rate.weight = 2"),
            ("def rate(): pass\nrate.weight = 2\ndef work(): return rate", "rate.weight = 2.0"),
            ("def work(): pass", "work.weight = 2"),
            ("T = {1: 2, 3: 4}\ndef work(): return T", "T[1] = T.pop(1)"),
            ("class C:\n x: int\ndef work(): return C", "C.__annotations__['x'] = float"),
            ("def ask(): 'a'\ndef work(): return ask.__doc__", "ask.__doc__ = 'b'"),
        ],
    )
    def test_in_the_project(self, source, change):
        names = self.project(source)
        before = hash_function(names["work"]).digest
        assert hash_function(names["work"]).digest == before
        exec(change, names)
        assert hash_function(names["work"]).digest != before

    def test_in_a_library(self, monkeypatch):
        names = self.project("import colorsys\ndef work(): return colorsys.rgb_to_yiq, colorsys.ONE_THIRD")
        before = hash_function(names["work"]).digest
        monkeypatch.setattr("colorsys.ONE_THIRD", 0.25)
        second = hash_function(names["work"]).digest
        monkeypatch.setattr("colorsys.rgb_to_yiq", helper)
        third = hash_function(names["work"]).digest
        assert len({before, second, third}) == 3

    def test_among_the_built_in_names(self, monkeypatch):
        names = self.project("def work(x): return ascii(x)")
        before = hash_function(names["work"]).digest
        monkeypatch.setattr("builtins.ascii", helper)
        assert hash_function(names["work"]).digest != before

    def test_what_nobody_reads_of_a_function_need_not_have_an_identity(self):
        names = self.project(
            "import threading\ndef rate(): pass\nrate.lock = threading.Lock()\ndef work(): return rate"
        )
        assert hash_function(names["work"]).digest == hash_function(names["work"]).digest
        names = self.project("import threading\ndef rate(): pass\nrate.lock = threading.Lock()\ndef work(): rate.lock")
        with pytest.raises(UnhashableValueError):
            hash_function(names["work"])


class TestParts:
    def test_they_name_what_the_function_uses(self):
        parts = hash_function(uses_helper).parts
        assert set(parts) == {
            "python",
            "code",
            f"code:{__name__}:helper",
            f"global:{__name__}.helper",
            f"global:{__name__}.LIMIT",
            f"global:{__name__}.RATE",
        }
        assert parts[f"global:{__name__}.LIMIT"] == hash_value(1)
        assert parts[f"global:{__name__}.helper"] == f"@{__name__}:helper"
        assert parts["python"] == f"cpython {sys.version_info.major}.{sys.version_info.minor}"

    def test_their_digest_is_that_of_the_parts(self):
        found = hash_function(uses_helper)
        assert found.digest == hash_parts(found.parts)
        assert len(found.digest) == 64

    def test_only_the_part_that_changed_differs(self):
        before = hash_function(uses_class).parts
        with setting(HERE, "LIMIT", 2):
            after = hash_function(uses_class).parts
        assert {name for name in before if before[name] != after[name]} == {f"global:{__name__}.LIMIT"}

    def test_they_cannot_be_changed(self):
        with pytest.raises(TypeError):
            hash_function(uses_helper).parts["code"] = "x"

    def test_a_distribution_counts_by_its_version(self):
        def inner(x: object) -> object:
            return np.sum(x)

        assert hash_function(inner).parts["package:numpy"] == np.__version__

    def test_an_import_inside_counts_the_same_whether_the_module_was_loaded_or_not(self):
        source = "def inner():\n import {0}\n return {0}.loads('1')"
        namespace = {"__name__": "nowhere"}
        exec(source.format("tomlkit"), namespace)
        unloaded = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "tomlkit"}
        for name in unloaded:
            del sys.modules[name]
        try:
            before = hash_function(namespace["inner"]).parts
            assert "tomlkit" not in sys.modules
        finally:
            sys.modules.update(unloaded)
        __import__("tomlkit")
        assert hash_function(namespace["inner"]).parts == before
        assert "package:tomlkit" in before

    def test_a_library_can_be_used_in_all_the_usual_ways(self):
        source = """
import os.path, math, json as j
from random import random
from collections import OrderedDict, Counter
from functools import reduce, partial
from numpy import array, linalg
import numpy as np
import pandas as pd
def inner(x):
    return (os.path.join("a", x), math.pi, j.dumps(x), random(), OrderedDict(), Counter(x), reduce(max, x),
            partial(max, 1), array(x), linalg.norm(x), np.random.default_rng(), pd.read_csv(x), np.add(x, 1), np.pi)
"""
        namespace: dict[str, object] = {"__name__": "usual"}
        exec(source, namespace)
        assert {"package:numpy", "package:pandas"} < set(hash_function(namespace["inner"]).parts)

    def test_code_without_a_source_file_is_code_like_any_other(self):
        def made(body: str) -> object:
            namespace: dict[str, object] = {"__name__": "notebook"}
            exec(body, namespace)
            return namespace["work"]

        one, two = made("def work(x): return x + 1"), made("# a cell\n\ndef work(x):\n    return x + 1")
        assert hash_function(one).digest == hash_function(two).digest
        assert hash_function(one).digest != hash_function(made("def work(x): return x + 2")).digest

    @pytest.mark.parametrize(
        "fn",
        [len, str.upper, "a".upper, functools.partial(helper, 1), Tool, Tool().run.__func__, np.sum, np.add],
        ids=lambda fn: type(fn).__name__,
    )
    def test_whatever_can_be_called_has_a_digest(self, fn):
        assert hash_function(fn).digest == hash_function(fn).digest

    def test_a_method_counts_with_its_object(self):
        @dataclasses.dataclass
        class Scale:
            factor: int

            def run(self, x: int) -> int:
                return x * self.factor

        assert hash_function(Scale(1).run).digest == hash_function(Scale(1).run).digest
        assert hash_function(Scale(1).run).digest != hash_function(Scale(2).run).digest

    def test_an_object_of_the_users_that_wraps_a_function_can_say_so(self):
        class Wrapper:
            def __init__(self, fn: object, **options: object) -> None:
                self.fn, self.options = fn, options

            def __entrepot_code__(self) -> object:
                return (self.fn, self.options) if self.options else self.fn

        def digest(wrapper: object) -> str:
            def inner() -> object:
                return wrapper

            return hash_function(inner).digest

        assert digest(Wrapper(helper)) == digest(Wrapper(helper)) != digest(Wrapper(with_default))
        assert digest(Wrapper(helper, retries=1)) != digest(Wrapper(helper, retries=2))
        one, two = types.FunctionType(helper.__code__, globals()), types.FunctionType(helper.__code__, globals())
        two.__code__ = with_default.__code__
        assert digest(Wrapper(one, version="1")) == digest(Wrapper(two, version="1"))

    def test_a_script_counts_the_same_run_and_imported(self, tmp_path):
        script = tmp_path / "flow.py"
        script.write_text(
            "import dataclasses\n"
            "@dataclasses.dataclass\nclass Row:\n    x: int\n"
            "LIMIT = 1\n"
            "def work(row): return Row(row.x + LIMIT)\n"
            "def show():\n"
            "    from entrepot.hashing.code import hash_function\n"
            "    from entrepot.hashing.values import hash_value\n"
            "    print(hash_function(work).digest, hash_value(Row(1)))\n"
            "if __name__ == '__main__':\n    show()\n"
        )
        commands = [[str(script)], ["-c", "import flow; flow.show()"], ["-m", "flow"]]
        printed = {subprocess.check_output([sys.executable, *command], cwd=tmp_path) for command in commands}
        assert len(printed) == 1

    def test_what_runs_counts_not_what_the_file_says_by_now(self, tmp_path):
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "edited_later.py").write_text("def work(x):\n    return x + 1\n")
        sys.path.insert(0, str(folder))
        try:
            import edited_later  # noqa: PLC0415  written by this test

            before = fresh(edited_later.work).digest
            (folder / "edited_later.py").write_text("def work(x):\n    return x + 2\n")
            assert fresh(edited_later.work).digest == before
        finally:
            sys.path.remove(str(folder))
            sys.modules.pop("edited_later", None)


class TestRefusals:
    def refused(self, fn: object) -> UnhashableValueError:
        with pytest.raises(UnhashableValueError) as caught:
            hash_function(fn)
        return caught.value

    def test_a_global_without_identity(self):
        def extract() -> None:
            with LOCK:
                log.info("taken")

        error = self.refused(extract)
        assert error.parameter == f"global 'LOCK' of {extract.__qualname__}"
        for way in ("version=", "TASK_SOURCE", "INPUTS - "):
            assert way in str(error)
        assert "lock" in str(error)

    def test_a_helpers_global_names_the_helper(self):
        namespace: dict[str, object] = {"__name__": "m", "client": object.__new__(type("Client", (), {"a": 1}))}
        exec("def load(): return client\ndef work(): return load()", namespace)
        assert self.refused(namespace["work"]).parameter == "global 'client' of load"

    def test_where_in_the_global(self):
        namespace: dict[str, object] = {"__name__": "m", "clients": {"a": [LOCK]}}
        exec("def work(): return clients", namespace)
        assert self.refused(namespace["work"]).path == "global 'clients' of work['a'][0]"

    def test_a_variable_and_a_default(self):
        lock = LOCK

        def inner() -> object:
            return lock

        def other(x: object = LOCK) -> object:
            return x

        assert self.refused(inner).parameter.startswith("variable 'lock' of ")
        assert self.refused(other).parameter.startswith("default 'x' of ")

    def test_a_classs_attribute(self):
        class Pool:
            lock = LOCK

        def inner() -> object:
            return Pool()

        error = self.refused(inner)
        assert error.parameter.startswith("class ")
        assert error.path.endswith("Pool.lock")

    def test_functions_that_a_set_cannot_tell_apart(self):
        def make(n: int):
            return lambda: n

        both = {make(1), make(2)}

        def inner() -> object:
            return both

        assert "order" in str(self.refused(inner))

    def test_only_what_is_read_of_an_object_counts(self):
        class Settings:
            def __init__(self) -> None:
                self.limit = 1
                self.lock = LOCK

        namespace: dict[str, object] = {"__name__": "m", "settings": Settings()}
        exec("def work(): return settings.limit\ndef bad(): return settings.lock", namespace)
        before = hash_function(namespace["work"]).digest
        namespace["settings"].limit = 2
        assert hash_function(namespace["work"]).digest != before
        self.refused(namespace["bad"])

    def test_a_function_among_the_inputs_names_what_it_uses(self):
        def inner() -> object:
            return LOCK

        with pytest.raises(UnhashableValueError, match=r"callback\[0\] is a function, which uses global 'LOCK' of"):
            hash_value([inner], name="callback")

    def test_environment_of_the_test_is_not_read(self):
        def inner() -> str:
            return os.environ["HOME"]

        assert set(hash_function(inner).parts) == {"python", "code"}

    def test_code_that_reads_all_names_of_its_module_is_not_refused_for_one_without_identity(self):
        names: dict[str, object] = {"__name__": "m", "LOCK": LOCK, "N": 1}
        exec("def work(): return eval('N')", names)
        before = hash_function(names["work"]).digest
        names["N"] = 2
        assert hash_function(names["work"]).digest != before
        exec("def both(): return work(), LOCK", names)
        assert self.refused(names["both"]).parameter == "global 'LOCK' of both"
