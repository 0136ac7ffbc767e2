"""Acme's blocks."""

from typing import ClassVar

from pydantic import SecretStr

from entrepot.blocks import Block

__all__ = ["AcmeNote"]


class AcmeNote(Block):
    """A note, and the token to post it with."""

    _block_type_name: ClassVar[str] = "Acme Note"
    _block_type_slug: ClassVar[str] = "acme-note"
    _description: ClassVar[str] = "Post notes to Acme."

    text: str
    token: SecretStr
