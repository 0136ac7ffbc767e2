"""Who can write the store of documents: takes versions away, puts old ones back, plants numbers and tombstones."""

from pathlib import Path

import pytest

from entrepot.blocks import as_code
from entrepot.blocks._files import read_blocks
from entrepot.blocks.core import Block
from entrepot.blocks.system import Secret, String
from entrepot.errors import BlockExistsError, BlockNotFoundError, IntegrityError
from entrepot_test_attacks import TREASURES, Victim, path_of, refused

A1, A2 = path_of("secret", "a", 1), path_of("secret", "a", 2)
GRAVE = "secret/a/00000003.deleted.json"


def test_attack_13_the_newest_version_is_taken_away(home_victim: Victim) -> None:
    with home_victim.attacked({A2: None}):
        for load in (lambda: Secret.load("a"), lambda: Block.load("secret/a")):
            with refused(IntegrityError, r"version 2 .* was seen from here.*`entrepot block rollback secret/a 1`"):
                load()
        assert Secret.load("b").get() == TREASURES[2]
    # The way out that it names: what is left becomes a version with a number of its own, and the old one stays old.
    taken = home_victim.objects()[A2]
    home_victim.put(A2, None)
    assert Secret.rollback("a", 1).version == 3
    home_victim.put(A2, taken)
    assert Secret.load("a").get() == TREASURES[0]


def test_attack_13_what_is_left_is_not_the_same_as_a_file_of_blocks_says(home_victim: Victim) -> None:
    """What a file says takes the place of what was taken away, also where an old version says the same."""
    file = home_victim.home.parent / "blocks.toml"
    file.write_text('[blocks.string]\na = {value = "text"}\n')
    String(value="newer").save("a", overwrite=True)
    home_victim.put(path_of("string", "a", 2), None)
    (planned,) = as_code.plan(read_blocks(file))
    assert planned.step == "change"
    assert [ref and ref.version for _, ref in as_code.apply([planned])] == [3]
    assert String.load("a").value == "text"


def test_attack_14_every_version_is_taken_away(home_victim: Victim) -> None:
    says = "version 2 of it was seen from here: it was taken away since; restore it"
    with home_victim.attacked({A1: None, A2: None}), refused(BlockNotFoundError, says):
        Secret.load("a")
    with pytest.raises(BlockNotFoundError, match="saved there: a, b"):
        Secret.load("never-saved")
    home_victim.write({A1: None, A2: None})
    assert Secret(value="again").save("a").version == 3, "no number is used twice"


def test_attack_15_a_deleted_block_is_put_back(victim: Victim) -> None:
    victim.lives_well()
    stolen = {path: content for path, content in victim.objects().items() if path in {A1, A2}}
    Secret.delete("a")
    grave = victim.objects()[GRAVE]
    victim.write(stolen)
    assert (Secret.exists("a"), "secret/a" in Block.names()) == (False, False)
    for call in (Secret.load, Secret.delete, lambda name: Secret.load(name, version=2)):
        with refused(BlockNotFoundError, "no secret block named 'a'"):
            call("a")
    assert Secret(value="new").save("a").version == 4
    victim.write({**stolen, GRAVE: grave})
    assert Secret.load("a").get() == "new"
    assert [each.version for each in Secret.history("a")] == [3, 4], "what came before the tombstone is not told"


def test_attack_16_a_tombstone_is_planted(victim: Victim) -> None:
    victim.lives_well()
    Secret(value="for a grave").save("c")
    Secret.delete("c")
    grave_of_c, saved = victim.objects()["secret/c/00000002.deleted.json"], victim.objects()[A2]
    for planted in (b"", b"{}", grave_of_c, saved):
        with victim.attacked({GRAVE: planted}):
            for call in (
                lambda: Secret.load("a"),
                lambda: Secret.load("a", version=1),
                lambda: Secret.exists("a"),
                lambda: Secret.delete("a"),
                lambda: Secret(value="thought to be new").save("a"),  # or it would hide what is there
            ):
                with refused(IntegrityError, r"version 3 of the block secret/a .*does not verify"):
                    call()
    with victim.attacked({"secret/c/00000003.json": grave_of_c}), refused(IntegrityError, "does not verify"):
        Secret.load("c")


def test_attack_17_a_tombstone_is_taken_away_and_the_old_version_put_back(home_victim: Victim) -> None:
    home_victim.lives_well()
    stolen = home_victim.objects()
    Secret.delete("a")
    grave = home_victim.objects()[GRAVE]
    home_victim.write({A2: stolen[A2], GRAVE: None})
    with refused(IntegrityError, "version 3 of the block secret/a was seen from here"):
        Secret.load("a")
    home_victim.write({A2: None, GRAVE: grave})
    assert not Secret.exists("a")
    assert Secret.load("b").get() == TREASURES[2]


@pytest.mark.parametrize("name", ["99999999.json", "99999999.deleted.json", "99999998.json", "10000000.deleted.json"])
def test_attack_18_a_number_is_planted_that_uses_all_numbers_up(victim: Victim, name: str) -> None:
    planted = f"secret/a/{name}"
    way_out = rf"{planted} in .*: remove it"
    with victim.attacked({planted: b"{}"}):
        with refused(IntegrityError, r"version (99999999|99999998|10000000) of the block secret/a .*does not verify"):
            Secret.load("a")
        with refused(IntegrityError, way_out):
            Secret(value="new").save("a", overwrite=True)
        if not name.endswith(".deleted.json"):
            assert Secret.load("a", version=2).get() == TREASURES[1], "what is there can be had"
            for call in (lambda: Secret.rollback("a", 1), lambda: Secret.delete("a")):
                with refused(IntegrityError, way_out):
                    call()


def test_attack_18_a_lower_number_only_makes_a_gap(victim: Victim) -> None:
    victim.put("secret/a/09999999.json", b"{}")
    for expected in (10_000_000, 10_000_001):
        assert Secret(value="new").save("a", overwrite=True).version == expected
    assert Secret.load("a").get() == "new"
    assert Secret.load("a", version=2).get() == TREASURES[1]


def test_attack_19_a_version_in_the_middle_is_taken_away(victim: Victim) -> None:
    Secret(value="third").save("a", overwrite=True)
    gone = victim.objects()[A2]
    victim.put(A2, None)
    assert Secret.load("a").get() == "third"
    with refused(BlockNotFoundError, "there is no version 2 of the block secret/a in .*there are: 1, 3"):
        Secret.load("a", version=2)
    with refused(BlockExistsError, "pass overwrite=True"):
        Secret(value="another").save("a")
    assert Secret(value="fourth").save("a", overwrite=True).version == 4, "the gap is not filled"
    victim.put(A2, gone)
    assert Secret.load("a", version=2).get() == TREASURES[1]


def test_attack_20_marks_of_what_was_seen_are_taken_away_or_garbled(home_victim: Victim) -> None:
    """They are no evidence: without them the newest that is there is believed, and nothing fails."""
    (marks,) = home_victim.home.glob("seen/*/secret/a")
    held = [path.name for path in marks.iterdir()]
    assert held == ["00000002"]
    for planted in ("99999999x", "nonsense", "-0000001"):
        (marks / planted).touch()
    home_victim.lives_well()
    taken = home_victim.objects()[A2]
    for path in marks.iterdir():
        path.unlink()
    home_victim.put(A2, None)
    assert Secret.load("a").get() == TREASURES[0]
    home_victim.put(A2, taken)
    home_victim.lives_well()
    assert Path(marks, "00000002").is_file(), "it is marked again"
    (marks / "00000002").unlink()
    marks.rmdir()
    marks.touch()  # no folder: nothing can be marked
    home_victim.lives_well()
