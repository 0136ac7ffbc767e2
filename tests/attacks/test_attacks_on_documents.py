"""Who can write the store of documents: alters, moves, swaps and plants sealed bytes."""

import json
import shutil
from typing import Any

import pytest

from entrepot import home
from entrepot.blocks import StorageDocumentStore, _rings
from entrepot.blocks.core import Block
from entrepot.blocks.system import Secret, String
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import MAX_SEALED_SIZE, read_key, seal
from entrepot.errors import DestroyedKeyError, IntegrityError, UnknownKeyError
from entrepot.keys import rotating
from entrepot.protocols.documents import DocumentRef
from entrepot_test_attacks import Victim, path_of, refused

A1, A2, B1 = path_of("secret", "a", 1), path_of("secret", "a", 2), path_of("secret", "b", 1)
TEXT = path_of("string", "a", 1)
ALTERED = r"version 2 of the block secret/a in .* does not verify.*(restore it from a backup|not written by Entrepot)"
PLACE = {"type": "secret", "name": "a", "version": 2}


def spelled(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_attack_01_a_bit_is_flipped_in_every_byte(victim: Victim) -> None:
    sealed = victim.objects()[A2]
    with victim.attacked({A2: b""}):
        for position in range(0, len(sealed), victim.stride):
            flipped = sealed[:position] + bytes([sealed[position] ^ 1 << position % 8]) + sealed[position + 1 :]
            victim.put(A2, flipped)
            with pytest.raises((IntegrityError, UnknownKeyError)):  # the latter where it names another key now
                Secret.load("a")
        victim.put(A2, b"")
        with refused(IntegrityError, ALTERED):
            Secret.load("a")


def test_attack_02_a_document_is_cut_short_at_every_length_extended_or_doubled(victim: Victim) -> None:
    sealed = victim.objects()[A2]
    changed = [
        *(sealed[:end] for end in range(0, len(sealed), victim.stride)),
        *(sealed[start:] for start in range(1, 300, 7)),
    ]
    changed += [sealed + tail for tail in (b"\n", b" ", b"\0", b"{}\n", sealed)]
    with victim.attacked({A2: b""}):
        for content in changed:
            victim.put(A2, content)
            with refused(IntegrityError, ALTERED):
                Secret.load("a")
        victim.put(A2, b"")


def test_attack_03_documents_are_swapped_between_names_types_and_versions(victim: Victim) -> None:
    String(value="text").save("b")
    held = victim.objects()
    for target in (A2, B1, TEXT):
        slug, name, _ = target.split("/")
        for source in held.keys() - {target}:
            with victim.attacked({target: held[source]}), refused(IntegrityError, f"{slug}/{name}.*does not verify"):
                Block.load(f"{slug}/{name}")


def test_attack_04_an_old_version_is_given_a_new_number(victim: Victim) -> None:
    old = victim.objects()[A1]
    for path in (A2, path_of("secret", "a", 3), path_of("secret", "a", 12)):
        with victim.attacked({path: old}), refused(IntegrityError, "of the block secret/a .*does not verify"):
            Secret.load("a")


def test_attack_05_parts_of_two_documents_are_put_together(victim: Victim) -> None:
    own = json.loads(victim.objects()[A2])
    other = json.loads(seal(home.ring(), b'{"fields":{}}', place=PLACE, header={"schema": "0"}))  # of the same place
    mixed = [{name: other[name]} for name in own if own[name] != other[name]]
    assert {name for each in mixed for name in each} == {"body", "commit", "header", "nonce", "wrapped"}
    mixed += [{name: other[name] for name in names} for names in (("wrapped", "body", "nonce"), ("body", "commit"))]
    mixed += [{name: other[name] for name in ("wrapped", "body", "nonce", "commit")}]
    for parts in mixed:
        with victim.attacked({A2: spelled(own | parts)}), refused(IntegrityError, ALTERED):
            Secret.load("a")


def test_attack_06_what_a_document_says_of_itself_is_changed(victim: Victim) -> None:
    sealed = victim.objects()[A2]
    own = json.loads(sealed)
    header = own["header"]
    changed = [spelled(own | {"format": each}) for each in ("entrepot-seal/0", "entrepot-seal/2", "plain", None)]
    changed += [
        spelled(own | {"header": each})
        for each in (
            header | {"schema": "0" * 16},
            header | {"schema_version": 0},
            header | {"schema_version": 2},
            header | {"schema_version": True},
            header | {"epoch": 99},
            header | {"more": 1},
            {},
        )
    ]
    changed += [
        json.dumps(own).encode() + b"\n",
        json.dumps(dict(reversed(own.items())), separators=(",", ":")).encode() + b"\n",
        sealed.replace(b'"schema_version":1', b'"schema_version":1.0'),
        sealed.replace(b'"entrepot-seal/1"', b'"entrepot-seal\\/1"'),
        sealed.replace(b"}\n", b',"more":1}\n'),
        sealed.rstrip(),
        sealed.replace(b'"format":', b'"format":"entrepot-seal/1","format":'),
        "\ufeff".encode() + sealed,
        sealed.decode().encode("utf-16"),
    ]
    for content in changed:
        assert content != sealed
        with victim.attacked({A2: content}), refused(IntegrityError, ALTERED):
            Secret.load("a")


def test_attack_07_a_document_of_another_keyring_is_planted(victim: Victim) -> None:
    body = b'{"fields":{"value":{"$type":"secret-str","value":"the attacker\'s"}},"extra":{}}'
    stranger = Keyring.generate()
    planted = seal(stranger, body, place=PLACE)
    key = stranger.primary("block").id
    with victim.attacked({A2: planted}):
        with refused(UnknownKeyError, f"key {key} of another keyring .*see: entrepot keys doctor"):
            Secret.load("a")
        with refused(UnknownKeyError, f"sealed under key {key}.*nothing was saved over it"):
            Secret(value="mine").save("a", overwrite=True)
    own = json.loads(planted) | {"ring": home.ring().ring_id, "key": home.ring().primary("block").id}
    with victim.attacked({A2: spelled(own)}), refused(IntegrityError, ALTERED):
        Secret.load("a")
    # Who has our key, but not our ring: the id of the ring is sealed in, too.
    copy = victim.ring().replace(home.ring().ring_id.encode(), b"r" + b"0" * 16)
    of_copy = seal(Keyring.from_document(copy, location="a copy"), body, place=PLACE)
    with victim.attacked({A2: of_copy}), refused(IntegrityError, ALTERED):
        Secret.load("a")


def test_attack_08_a_document_names_a_key_that_may_not_open_it(victim: Victim) -> None:
    ring = Keyring.from_document(victim.ring(), location="here")
    old, sealed = ring.primary("block").id, victim.objects()[A2]
    of_results = spelled(json.loads(sealed) | {"key": ring.primary("result").id})
    with victim.attacked({A2: of_results}), refused(UnknownKeyError, "a key for result data, not for block data"):
        Secret.load("a")
    rotated = ring.with_new_primary("block").with_state(old, "disabled")
    with victim.other_ring(bytes(rotated.to_document())), refused(UnknownKeyError, f"entrepot keys enable {old}"):
        Secret.load("a")
    destroyed = bytes(rotated.with_state(old, "destroyed").to_document())
    with victim.other_ring(destroyed), refused(DestroyedKeyError, f"key {old} .*was destroyed"):
        Secret.load("a")


@pytest.mark.parametrize(
    "content",
    [b"", b"null\n", b"[]\n", b"{}\n", b"\xff\n", b"NaN\n", b"1" * 5000, b"[" * 100_000, b'{"a":' * 50_000],
    ids=["nothing", "null", "a list", "an object", "no text", "no number", "a long number", "deep", "deep objects"],
)
def test_attack_09_something_else_stands_in_the_place_of_a_document(victim: Victim, content: bytes) -> None:
    with victim.attacked({A2: content}), refused(IntegrityError, ALTERED):
        Secret.load("a")


def test_attack_10_a_document_is_a_gigabyte(home_victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    parse = "entrepot.crypto.seal.parse"
    file = home_victim.home / "blocks" / A2
    sealed = file.read_bytes()
    with file.open("r+b") as opened:
        opened.truncate(1 << 30)  # it takes no room on the disk
    get = type(home_victim.storage).get

    def watched(self: Any, path: str, **where: Any) -> Any:
        content = get(self, path, **where)
        fetched.append(len(content))
        return content

    with monkeypatch.context() as patched:
        patched.setattr(type(home_victim.storage), "get", watched)
        patched.setattr(parse, lambda _: pytest.fail("it was parsed"))
        with refused(IntegrityError, ALTERED):
            Secret.load("a")
    assert fetched == [MAX_SEALED_SIZE + 1]
    assert file.stat().st_size == 1 << 30
    file.write_bytes(sealed)
    home_victim.lives_well()


@pytest.mark.parametrize("swarm", [b"[],", b"{},", b"0,"])
def test_attack_11_a_document_unfolds_to_many_times_its_size(
    home_victim: Victim, swarm: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MiB of `[],` would be 1.5 GB of lists: what no document of ours looks like is not parsed."""
    planted = b'{"body":"","more":[' + swarm * 10_001 + b"0]}\n"
    with home_victim.attacked({A2: planted}), monkeypatch.context() as patched:
        patched.setattr("entrepot.crypto.seal.parse", lambda _: pytest.fail("it was parsed"))
        with refused(IntegrityError, ALTERED):
            Secret.load("a")


def test_attack_12_the_store_is_littered(victim: Victim) -> None:
    litter = ["notes.txt", "secret/a/notes.txt", "secret/a/3.json", "secret/A/00000009.json", "x/y/z/00000001.json"]
    litter += ["secret/a/00000003.json.bak", "secret/a/-0000003.json", "secret/a/00000003.deleted.json.json"]
    litter += ["secret/-a/00000001.json", "secret/a/٠٠٠٠٠٠٠٣.json"]
    with victim.attacked(dict.fromkeys(litter, b"litter")):
        victim.lives_well()
        assert Block.names() == ["secret/a", "secret/b", "string/a"]


def test_attack_68_a_document_of_another_keyring_is_planted_as_a_first_block_is_saved(
    shared_victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = shared_victim.objects()
    shared_victim.write(dict.fromkeys(saved))
    shutil.rmtree(shared_victim.home / "seen")
    _rings._looks.clear()  # as in a new process
    path, planted = path_of("secret", "planted", 1), seal(Keyring.generate(), b"{}", place={})
    append = StorageDocumentStore.append

    def plant_and_append(self: StorageDocumentStore, ref: DocumentRef, sealed: bytes) -> None:
        shared_victim.put(path, planted)
        append(self, ref, sealed)

    with monkeypatch.context() as patch:
        patch.setattr(StorageDocumentStore, "append", plant_and_append)
        with refused(
            UnknownKeyError, "nothing was saved in .*: what is there is sealed under keyring r.*keys join FILE"
        ):
            Secret(value="x").save("first")
    assert shared_victim.objects() == {path: planted}, "what was saved is withdrawn, and nothing else"
    shared_victim.put(path, None)
    assert Secret(value="x").save("first").version == 1
    shared_victim.write(saved)
    with shared_victim.attacked({path: planted}):
        pass  # where blocks of the victim are, one that is planted among them changes nothing
    shared_victim.put(path, planted)
    _rings._looks.clear()
    assert Secret(value="x").save("second").version == 1


def test_attack_69_a_document_is_planted_that_names_a_key_for_what_is_saved_next(shared_victim: Victim) -> None:
    """A newer key than the victim's primary one, which is what a rotation elsewhere looks like; or a key of nobody."""
    (staged,) = [key.id for key in rotating.stage(home.key_provider(), ["block"]).all_keys() if key.state == "staged"]
    ring, path = home.ring(), path_of("secret", "planted", 1)
    assert ring.primary("block").id in shared_victim.objects()[B1].decode()

    def naming(key_id: str) -> bytes:
        return spelled(json.loads(shared_victim.objects()[B1]) | {"key": key_id})

    with shared_victim.attacked({path: naming("k" + "0" * 16)}):
        _rings._looks.clear()
        with refused(UnknownKeyError, r"nothing was saved .*k0{16}.*keys import FILE.*delete secret/planted --force"):
            Secret(value="x").save("new")
    for named, used in ((staged, staged), (ring.primary("result").id, ring.primary("block").id)):
        with shared_victim.attacked({path: naming(named)}):
            _rings._looks.clear()
            assert Secret(value="x").save("new").version
            saved = {each: found for each, found in shared_victim.objects().items() if each.startswith("secret/new/")}
            assert read_key(saved.popitem()[1]) == (ring.ring_id, used)
            assert Secret.load("new").get() == "x"
            Secret.delete("new")
            for each in [each for each in shared_victim.objects() if each.startswith("secret/new/")]:
                shared_victim.put(each, None)
    shared_victim.put(path, naming("k" + "0" * 16))
    _rings._looks.clear()
    Secret.delete("planted", force=True)  # as the error says
    assert Secret(value="x").save("new").version
