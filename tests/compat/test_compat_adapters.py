"""Functions with Prefect's arguments."""

import os
from pathlib import Path

import pytest

from entrepot.compat import adapters
from entrepot.errors import UnhashableValueError


def test_compressed_serializers_have_their_names() -> None:
    assert adapters.compressed_json().name == "compressed/json"
    assert adapters.compressed_pickle().name == "compressed/pickle"


def test_objects_are_hashed_by_value_and_type() -> None:
    assert adapters.hash_objects(1, b=2) == adapters.hash_objects(1, b=2)
    assert len({adapters.hash_objects(1), adapters.hash_objects(1.0), adapters.hash_objects([1]), None}) == 4
    assert adapters.hash_objects(object()) is None
    with pytest.raises(UnhashableValueError):
        adapters.hash_objects(object(), raise_on_failure=True)


def test_the_harness_takes_a_timeout_for_a_server_that_does_not_start(entrepot_home: Path) -> None:
    with adapters.prefect_test_harness(server_startup_timeout=30) as home:
        assert os.environ["ENTREPOT_HOME"] == str(home) != str(entrepot_home)
    assert os.environ["ENTREPOT_HOME"] == str(entrepot_home)
