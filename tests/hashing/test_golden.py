"""Digests that stored keys depend on, pinned: a change of any makes every stored result of that kind a miss."""

import collections
import datetime as dt
import json
import os
import uuid
from decimal import Decimal
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from entrepot.hashing.values import hash_parts, hash_value
from entrepot_test_values import Color, Model, Pair, Point, cycle_of_one

GOLDEN = Path(__file__).parents[1] / "golden" / "hashing" / "values.json"

VALUES = {
    "none": None,
    "true": True,
    "int": 42,
    "long int": 2**100,
    "float": 0.1,
    "nan": float("nan"),
    "complex": 1 + 2j,
    "text": "Entrepôt",
    "long text": "é" * 50_000,
    "bytes": b"\x00\xff",
    "list": [1, "a", [None]],
    "list of ints": list(range(100)),
    "list of floats": [n / 2 for n in range(100)],
    "list of texts": [str(n) for n in range(100)],
    "long list": [*range(20_000), "end"],
    "tuple": (1, 2),
    "set": {3, 1, 2},
    "frozenset": frozenset({"a"}),
    "dict": {"b": 1, "a": {"c": [1.5]}},
    "dict of mixed keys": {1: "a", "1": "b", (1,): "c"},
    "cycle": cycle_of_one(),
    "ordered": collections.OrderedDict(b=1, a=2),
    "datetime": dt.datetime(2024, 5, 1, 12, 30, tzinfo=dt.UTC),
    "date": dt.date(2024, 5, 1),
    "timedelta": dt.timedelta(days=1, seconds=2),
    "decimal": Decimal("1.50"),
    "uuid": uuid.UUID(int=7),
    "path": PurePosixPath("a/b"),
    "enum": Color.RED,
    "dataclass": Point(1.0, 2.0),
    "named tuple": Pair(1.0, 2.0),
    "model": Model(x=1.0),
    "array": np.arange(6, dtype="<i8").reshape(2, 3),
    "array in Fortran order": np.asfortranarray(np.arange(6, dtype="<i8").reshape(2, 3)),
    "large array": np.arange(10_000, dtype="<f8"),
    "scalar": np.float32(1.5),
}


def test_golden_digests():
    found = {name: hash_value(value) for name, value in VALUES.items()}
    found["parts"] = hash_parts({"task": "m.f", "input:x": "0"})
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        pytest.fail("written anew; look at the difference, and run again")
    assert found == json.loads(GOLDEN.read_text())
