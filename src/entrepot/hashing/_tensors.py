"""How to write the tensors of PyTorch, and the few other types that come with them.

A tensor is its dtype, shape, strides, kind of device ("cpu", "cuda"; not which one), whether it requires a gradient,
the gradient if there is one, and its values bit by bit. The graph that it came out of does not count.
"""

from typing import Any

import torch

from entrepot.hashing._bytes import bytes_form, text
from entrepot.hashing._encoder import Encoder, Encoding, Refused

__all__ = ["encoding_for"]


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if this module does not know it."""
    if cls is torch.Tensor or cls is torch.nn.Parameter:
        return _tensor
    if cls is torch.Size:
        return _size
    if cls in (torch.dtype, torch.device, torch.layout, torch.memory_format):
        return _name
    return None


def _tensor_form(encoder: Encoder, value: Any) -> bytes:
    if value.layout is not torch.strided or value.is_quantized or value.is_nested or value.device.type == "meta":
        raise Refused(
            "a torch.Tensor", "which is sparse, quantized, nested or without values, and not looked into (use to_dense)"
        )
    plain = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
    content = b""
    if plain.numel():
        content = plain.reshape(-1).view(torch.uint8).numpy().data
    facts = (str(value.dtype), tuple(value.shape), value.stride(), value.device.type, value.requires_grad)
    gradient = value.grad if value.is_leaf else None
    return encoder.named(
        f"torch.{type(value).__name__}", encoder.encode(facts), bytes_form(content), encoder.part(".grad", gradient)
    )


def _tensor(encoder: Encoder, value: Any) -> bytes:
    return encoder.container(value, _tensor_form)


def _size(encoder: Encoder, value: Any) -> bytes:
    return encoder.named("torch.Size", encoder.encode(tuple(value)))


def _name(encoder: Encoder, value: Any) -> bytes:
    return encoder.named(f"torch.{type(value).__name__}", text(str(value)))
