"""Who writes a file of blocks that somebody applies, or a variable that somebody's container is given."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from entrepot import home
from entrepot.blocks import as_code
from entrepot.blocks._files import read_blocks
from entrepot.blocks.core import Block
from entrepot.blocks.system import JSON, Secret
from entrepot.crypto.seal import seal
from entrepot.errors import (
    BlockFileError,
    BlockSchemaError,
    EntrepotError,
    InvalidNameError,
    SecretReferenceError,
    UnknownBlockTypeError,
)
from entrepot.plugins import BLOCKS
from entrepot_test_attacks import TREASURES, Victim, path_of, refused

GOOD = {
    ".yaml": "blocks: {json: {z: {value: {word: [1, two, {three: 3}]}}}}\n",
    ".toml": "[blocks.json.z]\nvalue = {word = [1, 'two', {three = 3}]}\n",
}


def written(victim: Victim, text: str, suffix: str) -> Path:
    file = victim.home.parent / f"blocks{suffix}"
    file.write_text(text)
    return file


def applied(victim: Victim, text: str, suffix: str = ".yaml") -> None:
    list(as_code.apply(as_code.plan(read_blocks(written(victim, text, suffix)))))


def fails(victim: Victim, text: str, says: str, suffix: str = ".yaml") -> None:
    """The attack makes nothing; a file like it, without the attack, makes a block."""
    with victim.attacked({}), refused(BlockFileError, says):
        applied(victim, text, suffix)
    applied(victim, GOOD[suffix], suffix)
    assert JSON.load("z").value == {"word": [1, "two", {"three": 3}]}


def of(value: str, suffix: str = ".yaml") -> str:
    return GOOD[suffix].partition("{word")[0] + value + ("}}}\n" if suffix == ".yaml" else "\n")


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "!!python/object/new:subprocess.Popen [[touch, pwned]]",
        "!!python/name:os.system x",
        "!!python/module:antigravity x",
        "!!python/tuple [1]",
        "!Mine {x: 1}",
    ],
)
def test_attack_21_yaml_tags_ask_for_objects(
    home_victim: Victim, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fails(home_victim, of(value), "is no YAML: could not determine a constructor for the tag .* at line 1")
    assert not (tmp_path / "pwned").exists()


def bomb(how: str = "[{}]") -> str:
    lines = ["l0: &l0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"l{n}: &l{n} " + how.format(",".join([f"*l{n - 1}"] * 10)) for n in range(1, 9)]
    return "blocks:\n  json:\n    z:\n      value:\n" + "".join(f"        {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (bomb(), "unfolds to more than 1,000,000 values"),
        (bomb("!!omap [a: [{}]]"), "unfolds to more than 1,000,000 values"),
        (of("&a [*a]"), "nested deeper than 200 levels"),
        (of("&a {b: *a}"), "nested deeper than 200 levels"),
        (of("[" * 1000 + "]" * 1000), "nested too deep"),
        ("blocks: &b\n  <<: *b\n", "merge"),
        ("blocks: {json: {z: {<<: [" + ",".join(["{value: 1}"] * 9) + "]}}}\n", "merge"),
    ],
    ids=["aliases", "aliases in pairs", "a circle", "a circle of maps", "depth", "a circle of merges", "merges"],
)
def test_attack_22_yaml_unfolds_without_end(home_victim: Victim, text: str, says: str) -> None:
    fails(home_victim, text, says)


@pytest.mark.parametrize(
    "value",
    ["[" * 5000 + "]" * 5000, "{a=" * 3000 + "1" + "}" * 3000, "1\nother." + "a." * 5000 + "b = 1"],
    ids=["lists", "tables", "dotted"],
)
def test_attack_22_toml_is_nested_without_end(home_victim: Victim, value: str) -> None:
    says = "nested (too deep|deeper than 200 levels)|keys have too many parts"
    fails(home_victim, of(value, ".toml"), says, ".toml")


@pytest.mark.parametrize(
    "line",
    [
        "a." * 200_000 + "b = 1",
        '"=\\"]". \'.\' . ' * 100_000 + "b = 1",
        "  [x." + "a." * 20_000 + "b]\n" + "c.d = 1\n" * 1_000,
        "[[x." + "a." * 20_000 + "b ] ]\n" + "\t'c' . d = 1\n" * 1_000,
    ],
    ids=["a key", "a quoted key", "a header", "a header of many"],
)
def test_attack_22_keys_of_toml_have_parts_without_end(home_victim: Victim, line: str) -> None:
    """Python's parser keeps each key as often as it has parts: a file of 400 kB would fill 160 GB."""
    fails(home_victim, of(f"1\n{line}", ".toml"), "its keys have too many parts", ".toml")


def test_attack_22_keys_of_usual_files_are_taken(home_victim: Victim) -> None:
    text = "".join(f"[blocks.json.z{n}.value]\n{'a.' * 50}b = 'x.y.z'\n" for n in range(200))
    found = read_blocks(written(home_victim, text, ".toml"))
    assert len(found) == 200


def test_attack_22_lines_of_toml_are_blanks_without_end(home_victim: Victim) -> None:
    """To look for keys takes no more than to read: it took the square of the length, and hours for this file."""
    text = f'[blocks.string.a]\nvalue = "x"\n{" " * 1_000_000}\n'
    assert len(read_blocks(written(home_victim, text, ".toml"))) == 1


@pytest.mark.parametrize("suffix", GOOD)
def test_attack_23_a_file_is_larger_than_memory(home_victim: Victim, suffix: str) -> None:
    file = home_victim.home.parent / f"large{suffix}"
    file.touch()
    with file.open("r+b") as opened:
        opened.truncate(1 << 40)
    with home_victim.attacked({}), refused(BlockFileError, "larger than 16 MiB; cut it into several files"):
        read_blocks(file)


@pytest.mark.parametrize(
    ("suffix", "value"),
    [
        (".yaml", "2024-13-45"),
        (".yaml", "!!int hunter"),
        (".yaml", "!!float hunter"),
        (".yaml", "!!timestamp hunter"),
        (".yaml", "!!bool hunter"),
        (".yaml", "!!binary é"),
        (".yaml", "!!set hunter"),
        (".yaml", "{[a]: 1}"),
        (".yaml", "{a: 1, a: 2}"),
        (".yaml", "9" * 5000),
        (".yaml", "\x01"),
        (".toml", "9" * 5000),
        (".toml", "2024-13-45"),
        (".toml", "{a = 1, a = 2}"),
        (".toml", "'\x01'"),
    ],
)
def test_attack_24_values_that_parsers_stumble_over(home_victim: Victim, suffix: str, value: str) -> None:
    fails(home_victim, of(value, suffix), r"is no (YAML|TOML): (?!.*hunter)", suffix)


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (
            '{"$type" = "block", slug = "os:system", value = {}}',
            UnknownBlockTypeError,
            "no block type named 'os:system'",
        ),
        ('{"$type" = "block-ref", slug = "../secret", name = "a"}', InvalidNameError, "'..' .* cannot be a block type"),
        ('{"$type" = "block"}', BlockFileError, "json/z cannot be made"),
        ('{"$type" = "os.system", value = "x"}', BlockFileError, "nothing in this program has registered that name"),
        ('{"$type" = "uuid", value = "x"}', BlockFileError, "json/z cannot be made"),
    ],
)
def test_attack_25_tags_in_a_file_name_what_is_to_be_made(
    home_victim: Victim, value: str, kind: type[EntrepotError], says: str
) -> None:
    with home_victim.attacked({}), refused(kind, says):
        applied(home_victim, of(value, ".toml"), ".toml")
    class_of_data = '{"$type" = "typed", class = "subprocess:Popen", value = ["true"]}'
    applied(home_victim, of(class_of_data, ".toml"), ".toml")
    assert JSON.load("z").value == ["true"], "a class that the annotations do not name is none"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON: look at line 1"),
        ("[" * 100_000, "cannot be|could not be"),
        ('{"value": ' + "[" * 5_000 + "]" * 5_000 + "}", "cannot be|could not be"),
        ('{"value": ' + "9" * 5_000 + "}", "is no JSON"),
        ('["hunter"]', "no JSON object of fields"),
        ('{"valeu": "hunter"}', "no field named 'valeu'; known: value"),
        ('{"value": {"hunter": 1}}', "value"),
        ("\udcff", "is no JSON"),
    ],
)
def test_attack_26_a_variable_that_should_give_a_block_is_garbled(
    victim: Victim, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error that names the variable, and what is saved under that name is not given in its place."""
    with victim.attacked({}):
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__A", value)
        with refused(BlockFileError, f"^ENTREPOT_BLOCK__SECRET__A(?!.*hunter).*({says})"):
            Secret.load("a")
        assert Secret.load("b").get() == TREASURES[2]
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__A", '{"value": "of the variable"}')
        assert Secret.load("a").get() == "of the variable"
        monkeypatch.delenv("ENTREPOT_BLOCK__SECRET__A")


def test_attack_27_blocks_lead_to_each_other(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    class Chain(Block):
        value: Block | None = None

    try:
        monkeypatch.setenv("ENTREPOT_BLOCK__CHAIN__ONE", '{"value": "block://chain/two"}')
        monkeypatch.setenv("ENTREPOT_BLOCK__CHAIN__TWO", '{"value": "block://chain/one"}')
        with refused(BlockFileError, "CHAIN__ONE contains itself .*ONE in .*TWO in .*ONE.*: write one of them out"):
            Chain.load("one")
        monkeypatch.setenv("ENTREPOT_BLOCK__CHAIN__TWO", "{}")
        assert Chain.load("one").value == Chain.load("two")

        text = '[blocks.chain]\na = {value = "block://chain/b"}\nb = {value = "block://chain/a"}\n'
        with (
            victim.attacked({}),
            refused(BlockFileError, "refers to itself .chain/a in chain/b in chain/a"),
        ):
            applied(victim, text, ".toml")

        # A holder of the keys can seal such documents.
        for one, other in (("c", "d"), ("d", "c")):
            body = {"fields": {"value": {"$type": "block-ref", "slug": "chain", "name": other}}}
            place = {"type": "chain", "name": one, "version": 1}
            victim.put(path_of("chain", one, 1), seal(home.ring(), json.dumps(body).encode(), place=place))
        with refused(BlockSchemaError, r"contains itself \(chain/c in chain/d in chain/c\); save one of them again"):
            Chain.load("c")
    finally:
        BLOCKS.forget("chain")

    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__ONE", '{"value": "block://secret/two"}')
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__TWO", '{"value": "block://secret/one"}')
    with refused(SecretReferenceError, "leads back to itself; let one of them be the secret"):
        Secret.load("one").get()
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__TWO", '{"value": "block://secret/a"}')
    assert Secret.load("one").get() == TREASURES[1]
    victim.lives_well()


class AttackedNumbers(Block):
    whole: int = 0
    parts: Fraction | None = None
    listed: list[int] = Field(default_factory=list)
    paired: tuple[int, ...] = ()
    many: set[int] = Field(default_factory=set)
    anything: Any = None


VAST = {
    "whole": {"$type": "decimal", "value": "1e999999999"},
    "parts": {"$type": "decimal", "value": "1e-999999999"},
    "listed": {"$type": "range", "value": [0, 10**12, 1]},
    "paired": {"$type": "range", "value": [10**15, -(10**15), -3]},
    "many": {"$type": "range", "value": [0, 10**12, 1]},
    "anything": {"$type": "int", "value": "0x" + "f" * 300_000},
}


@pytest.mark.parametrize("field", VAST)
def test_attack_66_a_few_bytes_stand_for_more_than_memory_holds(
    home_victim: Victim, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = "has a (Decimal|range|int) that stands for more than 1,000,000 items or digits"
    with home_victim.attacked({}):
        with refused(BlockFileError, says):
            applied(home_victim, json.dumps({"blocks": {"attacked-numbers": {"x": {field: VAST[field]}}}}))
        monkeypatch.setenv("ENTREPOT_BLOCK__ATTACKED_NUMBERS__X", json.dumps({field: VAST[field]}))
        with refused(BlockFileError, says):
            AttackedNumbers.load("x")
        monkeypatch.delenv("ENTREPOT_BLOCK__ATTACKED_NUMBERS__X")
    body = json.dumps({"fields": {field: VAST[field]}}).encode()
    path = path_of("attacked-numbers", "x", 1)
    sealed = seal(home.ring(), body, place={"type": "attacked-numbers", "name": "x", "version": 1})
    with home_victim.attacked({path: sealed}), refused(BlockSchemaError, says):
        AttackedNumbers.load("x")
    AttackedNumbers(whole=10**300, parts=Fraction(1, 3), anything=[range(1000), Decimal("1e9999")]).save("y")
    assert AttackedNumbers.load("y").anything == [range(1000), Decimal("1e9999")]
