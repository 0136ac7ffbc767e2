"""Tensors count by dtype, shape, strides, kind of device, gradient and values."""

import pytest

from entrepot.errors import UnhashableValueError
from entrepot.hashing.values import hash_value

torch = pytest.importorskip("torch")


def distinct(values) -> bool:
    return len({hash_value(value) for value in values}) == len(values)


def test_what_counts():
    base = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    changed = base.clone()
    changed[1, 2] = 9
    values = [
        base,
        changed,
        base.reshape(3, 2),
        base.reshape(6),
        base.t(),
        base.t().contiguous(),
        base.double(),
        base.to(torch.bfloat16),
        base.to(torch.float16),
        base.to(torch.int64),
        base.bool(),
        base.to(torch.complex64),
        base.clone().requires_grad_(),
        torch.nn.Parameter(base.clone()),
        torch.tensor(1.0),
        torch.tensor([1.0]),
        torch.empty(0),
        torch.empty(0, 3),
        base.numpy(),
        base.tolist(),
        base.shape,
        tuple(base.shape),
        torch.float32,
        torch.device("cpu"),
    ]
    assert distinct(values)


def test_equal_tensors_agree():
    base = torch.arange(6.0)
    assert hash_value(base) == hash_value(base.clone()) == hash_value(torch.arange(8.0)[:6])
    assert hash_value(torch.ones(3).conj()) == hash_value(torch.ones(3))


def test_a_gradient_counts():
    one, two = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    assert hash_value(one) == hash_value(two)
    (one * 2).sum().backward()
    assert hash_value(one) != hash_value(two)


@pytest.mark.parametrize("make", [lambda: torch.ones(2, 2).to_sparse(), lambda: torch.empty(2, device="meta")])
def test_what_cannot_be_looked_into_is_refused(make):
    with pytest.raises(UnhashableValueError, match=r"torch\.Tensor"):
        hash_value(make())


def test_models_are_refused_with_the_way_out():
    with pytest.raises(UnhashableValueError, match=r"@hasher\(Linear\)"):
        hash_value(torch.nn.Linear(2, 2))
