"""Who writes masks back, looks for secrets that were forgotten in containers, or puts a block before another."""

import json
import pickle
import re
from collections import ChainMap, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, Field, RootModel, SecretBytes, SecretStr
from pydantic import Secret as SecretOf

from entrepot.blocks.core import Block
from entrepot.blocks.fields import MASK
from entrepot.blocks.history import stored
from entrepot.blocks.system import JSON, Secret
from entrepot.blocks.teams import where
from entrepot.errors import BlockExistsError, BlockNotFoundError, IntegrityError, SecretMaskError
from entrepot.storage import open_storage
from entrepot_test_attacks import TREASURES, Victim, path_of, refused
from entrepot_test_secrets import SECRET, SECRET_BYTES, leaks


class Inner(BaseModel):
    token: SecretStr


class Tokens(RootModel[list[SecretStr]]):
    pass


@dataclass
class Pair:
    token: SecretStr
    label: str = ""


class Named(NamedTuple):
    token: SecretStr


class AttackedVault(Block):
    """Secrets in every kind of place."""

    plain: SecretStr = SecretStr("x")
    raw: SecretBytes = SecretBytes(b"x")
    number: SecretOf[Any] = SecretOf(1234567890)
    either: str | SecretStr = "open"
    listed: list[SecretStr] = Field(default_factory=list)
    mapped: dict[str, SecretStr] = Field(default_factory=dict)
    set_of: set[SecretStr] = Field(default_factory=set)
    frozen: frozenset[SecretStr] = frozenset()
    pairs: tuple[tuple[str, SecretStr], ...] = ()
    queue: deque[SecretStr] = Field(default_factory=deque)
    ordered: OrderedDict[str, SecretStr] = Field(default_factory=OrderedDict)
    by_default: defaultdict[str, list[SecretStr]] = Field(default_factory=lambda: defaultdict(list))
    sequence: Sequence[SecretStr] = ()
    mapping: Mapping[str, SecretStr] = Field(default_factory=dict)
    anything: Any = None
    anywhere: dict[str, Any] = Field(default_factory=dict)
    inner: Inner | None = None
    tokens: Tokens | None = None
    pair: Pair | None = None
    named: Named | None = None
    nested: Secret | None = None
    blocks: list[Block] = Field(default_factory=list)
    maybe: list[dict[str, SecretStr | None]] | None = None


MASKED: dict[str, Callable[[], Block]] = {
    "value": lambda: Secret(value=SecretStr(MASK)),
    "plain": lambda: AttackedVault(plain=str(SecretStr("x"))),  # type: ignore[arg-type]
    "raw": lambda: AttackedVault(raw=str(SecretBytes(b"x")).encode()),  # type: ignore[arg-type]
    "number": lambda: AttackedVault(number=SecretOf(MASK)),  # type: ignore[arg-type]
    "either": lambda: AttackedVault(either=MASK),
    "maybe[0].a": lambda: AttackedVault(maybe=[{"a": SecretStr(repr(SecretOf("x")))}]),
    "listed[1]": lambda: AttackedVault(listed=["x", MASK]),
    "mapped.b": lambda: AttackedVault(mapped={"a": "x", "b": MASK}),
    "anywhere['a b'][0]": lambda: AttackedVault(anywhere={"a b": [MASK]}),
    "inner.token": lambda: AttackedVault(inner={"token": MASK}),
    "pair.token": lambda: AttackedVault(pair=Pair(SecretStr(MASK))),
    "nested.value": lambda: AttackedVault(nested=Secret(value=MASK)),
}


@pytest.mark.parametrize("field", MASKED)
def test_attack_34_a_mask_is_written_back_as_the_secret(victim: Victim, field: str) -> None:
    block = MASKED[field]()
    with victim.attacked({}), refused(SecretMaskError, re.escape(field)):
        block.save("masked")
    AttackedVault().save("masked")


def test_attack_34_a_block_that_was_shown_is_saved_over_itself(victim: Victim) -> None:
    """A program shows a block, a person changes a field, and what comes back has the masks that were shown."""
    shown = Secret.load("a").model_dump(mode="json")
    assert MASK in json.dumps(shown)
    with victim.attacked({}):
        for again in (Secret.model_validate(shown), JSON(value=shown), Secret(value=str(Secret.load("a").value))):
            with refused(SecretMaskError, "value"):
                again.save("a", overwrite=True)


CONTAINERS: dict[str, Callable[[], dict[str, Any]]] = {
    "list": lambda: {"listed": [SECRET]},
    "dict": lambda: {"mapped": {"a": SECRET}},
    "set": lambda: {"set_of": {SecretStr(SECRET)}},
    "frozenset": lambda: {"frozen": frozenset({SecretStr(SECRET)})},
    "tuple of tuples": lambda: {"pairs": (("a", SECRET), ("b", SECRET))},
    "deque": lambda: {"queue": deque([SECRET])},
    "OrderedDict": lambda: {"ordered": OrderedDict(a=SECRET)},
    "defaultdict": lambda: {"by_default": {"a": [SECRET]}},
    "Sequence": lambda: {"sequence": [SecretStr(SECRET)]},
    "Mapping": lambda: {"mapping": {"a": SecretStr(SECRET)}},
    "anything": lambda: {"anything": [{"deep": (SecretStr(SECRET),)}]},
    "anything in sets": lambda: {"anything": {frozenset({SecretStr(SECRET)})}},
    "anywhere": lambda: {"anywhere": {"b": SecretBytes(SECRET_BYTES), "c": deque([SecretStr(SECRET)])}},
    "model": lambda: {"inner": {"token": SECRET}},
    "root model": lambda: {"tokens": [SECRET]},
    "dataclass": lambda: {"pair": Pair(SecretStr(SECRET))},
    "named tuple": lambda: {"named": Named(SecretStr(SECRET))},
    "block": lambda: {"nested": Secret(value=SECRET)},
    "list of blocks": lambda: {"blocks": [Secret(value=SECRET), JSON(value=[SecretStr(SECRET)])]},
    "optional in dicts in lists": lambda: {"maybe": [{"a": SECRET, "b": None}]},
    "bytes": lambda: {"raw": SECRET_BYTES},
    "union": lambda: {"either": SecretStr(SECRET)},
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_attack_35_a_secret_is_nested_in_a_container(home_victim: Victim, container: str) -> None:
    block = AttackedVault(**CONTAINERS[container]())
    block.save("vault")
    loaded = AttackedVault.load("vault")
    assert loaded == block
    assert leaks(repr(loaded.model_dump(mode="python")) + repr(loaded)) == [], "shown, it is masked"
    assert leaks(json.dumps(stored("attacked-vault/vault").fields, default=str)) == []
    assert leaks(pickle.dumps(block)) == [], "pickled, it is sealed"
    assert pickle.loads(pickle.dumps(block)) == block
    everything = b"".join(path.read_bytes() for path in home_victim.home.rglob("*") if path.is_file())
    assert leaks(everything) == [], "stored, it is sealed"
    found = "".join(repr(each.get_secret_value()) for each in secrets_in(loaded))
    assert leaks(found, SECRET, SECRET_BYTES), "asked for, it is there"


def secrets_in(value: object) -> list[Any]:
    if hasattr(type(value), "get_secret_value"):
        return [value]
    if isinstance(value, Mapping):
        return [one for each in value.values() for one in secrets_in(each)]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [one for each in value for one in secrets_in(each)]
    return [one for each in vars(value).values() for one in secrets_in(each)] if hasattr(value, "__dict__") else []


@pytest.mark.parametrize("make", [UserDict, UserList, ChainMap], ids=lambda make: make.__name__)
def test_attack_35_a_container_that_nobody_knows_is_refused_whole(victim: Victim, make: Any) -> None:
    content = make([SecretStr(SECRET)]) if make is UserList else make({"a": SecretStr(SECRET)})
    with victim.attacked({}), pytest.raises(Exception, match=r"plain data|cannot be saved") as caught:
        AttackedVault(anything=content).save("vault")
    assert leaks(str(caught.value)) == []


# --- the chain of places where a name is looked up --------------------------------------------------------------------


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A team's folder with `secret/a` in two versions, which the victim has loaded."""
    folder = str(tmp_path / "team")
    with monkeypatch.context() as patched:
        patched.setenv("ENTREPOT_BLOCKS_STORAGE", folder)
        for value in ("old of the team", "new of the team"):
            Secret(value=value).save("a", overwrite=True)
        Secret(value="b of the team").save("b")
    return open_storage(folder)


def test_attack_36_a_teams_store_hides_or_alters_its_block(
    home_victim: Victim, team: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in every case: the victim's own block of that name is not given in its place."""
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", team.location)
    assert Secret.load("a").get() == "new of the team"
    a1, a2 = path_of("secret", "a", 1), path_of("secret", "a", 2)
    held = {info.path: bytes(team.get(info.path)) for info in team.list()}
    own = home_victim.objects()
    attacks: list[tuple[dict[str, bytes | None], Any, str]] = [
        ({a2: b"garbage"}, IntegrityError, "does not verify"),
        ({a2: held[path_of("secret", "b", 1)]}, IntegrityError, "does not verify"),
        ({a2: own[path_of("secret", "b", 1)]}, IntegrityError, "does not verify"),
        ({a2: own[a1]}, IntegrityError, "does not verify"),
        ({a2: None}, IntegrityError, "version 2 .*was seen from here.*taken away"),
        ({a1: None, a2: None}, BlockNotFoundError, "version 2 of it was seen from here: it was taken away since"),
        ({"secret/a/00000003.deleted.json": b"{}"}, IntegrityError, "does not verify"),
        ({"secret/a/99999999.json": b"{}"}, IntegrityError, "does not verify"),
    ]
    for changes, kind, says in attacks:
        for path, content in changes.items():
            team.delete(path) if content is None else team.put(path, content)
        with refused(kind, says):
            Secret.load("a")
        for path in changes:
            team.put(path, held[path]) if path in held else team.delete(path)
        assert Secret.load("a").get() == "new of the team"
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", team.location)
    monkeypatch.delenv("ENTREPOT_BLOCKS_TEAM")
    Secret.delete("a")
    monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", team.location)
    assert Secret.load("a").get() == TREASURES[1], "what the team itself deleted is looked for elsewhere"


def test_attack_37_a_variable_puts_a_block_before_a_saved_one(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets variables of a process has it anyway; what they give is told, and nothing of it is saved."""
    with victim.attacked({}):
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__A", '{"value": "the attacker\'s"}')
        assert Secret.load("a").get() == "the attacker's"
        assert [place.blocks for place in where("secret/a")] == [("secret/a",), ("secret/a",)]
        assert where("secret/a")[0].location == "the environment"
        assert Secret.load("a", version=2).get() == TREASURES[1], "a version is one of what is saved"
        assert Secret.load("b").get() == TREASURES[2]
        with refused(BlockExistsError, "pass overwrite=True"):
            Secret.load("a").save("a")
        monkeypatch.delenv("ENTREPOT_BLOCK__SECRET__A")
