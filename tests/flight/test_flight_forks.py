"""A task that forks: what becomes of the child is not said of the claim, which its parent holds."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from entrepot_test_processes import Program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")

TASK = """
import os, sys
from entrepot import task
from entrepot.cache_policies import INPUTS

def end_of_child():
    {ending}

@task(cache_policy=INPUTS, single_flight=True, result_storage=sys.argv[1], result_serializer="json")
def forks(number):
    print("computes")
    child = os.fork()
    if child == 0:
        return end_of_child()
    os.waitpid(child, 0)
    return "of the parent"

parent = os.getpid()
try:
    found = forks(1)
except ValueError:
    sys.exit(3)
if os.getpid() != parent:
    sys.exit(0)
print("returned", found)
print("returned", forks(1))
"""


@pytest.mark.parametrize("ending", ["sys.exit(0)", "raise ValueError", "return 'of the child'"])
def test_the_parent_keeps_its_claim_and_its_result(
    ending: str, tmp_path: Path, start_program: Callable[..., Program]
) -> None:
    program = start_program(TASK.format(ending=ending), str(tmp_path / "store"))
    program.says("computes")
    program.says("returned of the parent")
    program.says("returned of the parent")
    program.end()
    (record,) = tmp_path.glob("store/records/*/*")
    assert b"of the parent" in record.read_bytes()
