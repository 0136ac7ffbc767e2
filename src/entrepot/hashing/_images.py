"""How to write the images of Pillow: class, mode, size, pixels, palette, and what the file said besides (`info`)."""

from typing import Any

from PIL import Image

from entrepot.hashing._bytes import bytes_form, text
from entrepot.hashing._encoder import Encoder, Encoding, Refused
from entrepot.hashing._labels import class_label

__all__ = ["encoding_for"]


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if this module does not know it."""
    if issubclass(cls, Image.Image) and cls.__module__.partition(".")[0] == "PIL":
        return _image
    return None


def _image(encoder: Encoder, value: Any) -> bytes:
    if getattr(value, "n_frames", 1) > 1:
        raise Refused(
            "an image of several frames", "which shows only one of them at a time (pass a list of their copies)"
        )
    value.load()
    palette = value.palette and (value.palette.mode, bytes(value.palette.palette))
    return encoder.named(
        "PIL.Image",
        text(class_label(type(value))),
        encoder.encode((value.mode, value.size, palette)),
        encoder.part(".info", dict(value.info)),
        bytes_form(value.tobytes()),
    )
