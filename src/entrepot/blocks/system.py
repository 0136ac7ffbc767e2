"""The plainest blocks: a secret, a text, a JSON value."""

from typing import Any

from pydantic import Field, SecretStr

from entrepot.blocks.core import Block

__all__ = ["JSON", "Secret", "String"]


class Secret(Block):
    """One secret: an API key, a password, a token.

    `Secret(value="...").save("my-api-key")` keeps it sealed; `Secret.load("my-api-key").get()` gives it back.
    """

    _block_type_name = "Secret"
    _block_type_slug = "secret"

    value: SecretStr = Field(description="The secret; it shows nowhere but in what `get` returns.")

    def get(self) -> str:
        """Return the secret in clear."""
        return self.value.get_secret_value()


class String(Block):
    """One text that is no secret: a name, an address, a template."""

    _block_type_name = "String"
    _block_type_slug = "string"

    value: str = Field(description="The text.")


class JSON(Block):
    """One JSON value: numbers, texts, lists and dicts; secrets inside are kept as secrets."""

    _block_type_name = "JSON"
    _block_type_slug = "json"

    value: Any = Field(description="The value.")
