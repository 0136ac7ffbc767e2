"""What every block type must keep to, as tests to inherit.

class TestMyBlock(BlockContract):
    def make_block(self):
        return MyBlock(host="db.example.com", password="correct horse")
"""

import copy
import json
import pickle
import re
from abc import ABC, abstractmethod
from typing import Any

from pydantic import ValidationError

from entrepot.blocks.core import Block
from entrepot.blocks.documents import use_documents
from entrepot.blocks.fields import secret_texts
from entrepot.hashing.values import hash_value
from entrepot.plugins import BLOCKS
from entrepot.testing._asserting import check
from entrepot.testing.fakes import memory_documents

__all__ = ["BlockContract"]

_SECRET = re.compile(
    r"(?:^|_)(?:passwords?|passwd|passphrase|secrets?|tokens?|api_?keys?|(?:private|secret)_key)$", re.IGNORECASE
)
_SHORTEST_SECRET = 4  # shorter texts are in all sorts of text by chance


class BlockContract(ABC):
    """Inherit it in a class whose name starts with `Test`, and define `make_block`.

    Everything is saved in memory, under keys that are made for it: no home is touched, and nothing is connected to.
    """

    @abstractmethod
    def make_block(self) -> Block:
        """Return a block with its secrets filled in; equal ones, each time."""

    def test_its_slug_leads_to_its_class(self) -> None:
        """By the entry point, or because the class was defined."""
        cls = type(self.make_block())
        check(BLOCKS.get(cls.get_block_type_slug()) is cls, "its slug leads to another class")

    def test_it_tells_people_what_it_is_for(self) -> None:
        """A description, and one of each field."""
        cls = type(self.make_block())
        check(bool(cls.get_description()), f"{cls.__name__} has no description: set _description, or write a docstring")

    def test_two_equal_ones_are_made(self) -> None:
        """The rest of this contract rests on it."""
        check(self.make_block() == self.make_block(), "make_block returned two that differ")

    def test_it_comes_back_as_it_was_saved(self) -> None:
        """By its class and by its slug."""
        with use_documents(memory_documents()):
            block = self.make_block()
            block.save("first")
            check(type(block).load("first") == block, "another block came back")
            back = Block.load(f"{block.get_block_type_slug()}/first")
            check(type(back) is type(block), f"a {type(back).__name__} came back by the slug")

    def test_each_save_is_a_new_version(self) -> None:
        """What was saved before stays."""
        with use_documents(memory_documents()):
            block = self.make_block()
            versions = [block.save("first", overwrite=True).version for _ in range(3)]
            check(versions == [1, 2, 3], f"the versions were {versions}")

    def test_its_secrets_show_nowhere(self) -> None:
        """Not in prints, JSON, dumps, schemas, pickles, nor in what is stored."""
        documents = memory_documents()
        with use_documents(documents):
            block = self.make_block()
            ref = block.save("first")
            shown = {
                "repr": repr(block),
                "str": str(block),
                "format": f"{block}",
                "model_dump": str(block.model_dump()),
                "model_dump_json": block.model_dump_json(),
                "JSON schema": json.dumps(type(block).model_json_schema()),
                "pickle": pickle.dumps(block).decode("latin-1"),
                "document": (documents.store.read(ref) or b"").decode("latin-1"),
            }
        for secret in secret_texts(type(block), block):
            if len(secret) >= _SHORTEST_SECRET:
                for where, text in shown.items():
                    check(secret not in text, f"a secret is in its {where}")

    def test_what_sounds_like_a_secret_is_kept_as_one(self) -> None:
        """A password in a field of plain text shows in prints, logs and JSON, and nothing knows that it is one."""
        block = self.make_block()
        for name in type(block).model_fields:
            if _SECRET.search(name):
                check(
                    not isinstance(getattr(block, name), str | bytes),
                    f"its field {name} is plain text: make it a SecretStr",
                )

    def test_it_can_be_copied_and_sent_to_a_process_that_has_the_keys(self) -> None:
        """As an argument of a task, say."""
        with use_documents(memory_documents()):
            block = self.make_block()
            check(pickle.loads(pickle.dumps(block)) == block, "another block came out of the pickle")  # noqa: S301  ours
            check(copy.deepcopy(block) == block, "its copy differs")

    def test_it_counts_by_its_fields_in_cache_keys(self) -> None:
        """Two equal ones are one value, whenever they were made."""
        with use_documents(memory_documents()):
            check(hash_value(self.make_block()) == hash_value(self.make_block()), "two equal ones are two values")

    def test_a_misspelt_field_is_refused_without_its_value(self) -> None:
        """A typing mistake in a name must not go unseen, nor show what was meant to be a secret."""
        cls = type(self.make_block())
        if cls.model_config.get("extra") == "allow":
            return  # a block whose fields are free says so; one that drops what it does not know loses it
        misspelt: dict[str, Any] = {"no_such_field_at_all": "hush-hush-hush"}
        try:
            cls(**misspelt)
        except ValidationError as error:
            check("no_such_field_at_all" in str(error), "the error does not name the field")
            check("hush-hush-hush" not in str(error), "the error shows the value")
        else:
            raise AssertionError("it was taken")
