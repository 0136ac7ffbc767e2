"""Who can write what keeps the keyring: changes it, puts another or an older one there, or stops answering."""

import base64
import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from entrepot import home
from entrepot.blocks.documents import default_documents
from entrepot.blocks.system import Secret
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.providers import FileKeyProvider
from entrepot.crypto.wrapping import WrappedKeyProvider
from entrepot.errors import KeyProviderError, KeyringError, KeyringMissingError, UnknownKeyError
from entrepot.keys import rotating
from entrepot.plugins import KEY_PROVIDERS
from entrepot_test_attacks import Victim, refused
from entrepot_test_crypto import forms_of, materials_of


def rotate(*purposes: str) -> None:
    rotating.stage(home.key_provider(), purposes)  # type: ignore[arg-type]
    rotating.promote(home.key_provider(), purposes)  # type: ignore[arg-type]


def edit(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], bytes]:
    def edited(document: dict[str, Any]) -> bytes:
        change(document)
        return json.dumps(document).encode()

    return edited


def swap(field: str) -> Callable[[dict[str, Any]], None]:
    def swapped(document: dict[str, Any]) -> None:
        one, two = document["keys"]
        one[field], two[field] = two[field], one[field]

    return swapped


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], bytes], str]] = {
    "not JSON": (lambda _: b"garbage!", "not JSON"),
    "empty": (lambda _: b"", "not JSON"),
    "not UTF-8": (lambda _: b'{"format": "\xff"}', "not JSON"),
    "too deep": (lambda _: b"[" * 100_000, "not JSON"),
    "a list": (lambda _: b"[]", "no keyring document"),
    "no format": (edit(lambda d: d.pop("format")), "no keyring document"),
    "unknown version": (edit(lambda d: d.update(format="entrepot-keyring/2")), "entrepot-keyring/2"),
    "an extra field": (edit(lambda d: d.update(more=1)), "fields"),
    "a missing field": (edit(lambda d: d.pop("epoch")), "fields"),
    "a name that occurs twice": (lambda d: json.dumps(d).replace('"epoch"', '"epoch": 7, "epoch"').encode(), "twice"),
    "a wrong ring id": (edit(lambda d: d.update(ring_id="r1")), "ring id"),
    "a true epoch": (edit(lambda d: d.update(epoch=True)), "epoch"),
    "epoch 0": (edit(lambda d: d.update(epoch=0)), "epoch"),
    "keys that are no list": (edit(lambda d: d.update(keys={})), "list"),
    "a key that is no object": (edit(lambda d: d["keys"].append(3)), "key number 3"),
    "a key with another field": (edit(lambda d: d["keys"][1].update(x=1)), "key number 2"),
    "a key id of another form": (edit(lambda d: d["keys"][0].update(id="../x")), "id of key number 1"),
    "an unknown purpose": (edit(lambda d: d["keys"][0].update(purpose="all")), "purpose or state"),
    "an unknown state": (edit(lambda d: d["keys"][0].update(state=["enabled"])), "purpose or state"),
    "a time without a zone": (edit(lambda d: d["keys"][0].update(created="2025-01-01T00:00:00")), "time"),
    "no time": (edit(lambda d: d["keys"][0].update(created=None)), "time"),
    "duplicate ids": (edit(lambda d: d["keys"].append(dict(d["keys"][0]))), "occurs twice"),
    "wrong material for an id": (edit(swap("material")), "does not match its material"),
    "the ids of two keys swapped": (edit(swap("id")), "does not match its material"),
    "the purposes of two keys swapped": (edit(swap("purpose")), "primary block key .* is enabled, for result data"),
    "one id with other material": (
        edit(lambda d: d["keys"].append(dict(d["keys"][1], id=d["keys"][0]["id"]))),
        "does not match its material|occurs twice",
    ),
    "an epoch of 5,000 digits": (lambda d: json.dumps(d).replace('h": 1', 'h": ' + "9" * 5000).encode(), "not JSON"),
    "two primaries": (edit(lambda d: d["primary"].update(block=list(d["primary"].values()))), "block key is missing"),
    "a primary for a third purpose": (edit(lambda d: d["primary"].update(other="x")), "a primary key for each"),
    "a destroyed primary": (
        edit(lambda d: d["keys"][0].update(state="destroyed", material=None)),
        "primary block key .* is destroyed",
    ),
    "another id for the material": (edit(lambda d: d["keys"][0].update(id="k" + "0" * 16)), "does not match"),
    "short material": (edit(lambda d: d["keys"][0].update(material={"raw": "AAAA"})), "form"),
    "material that is not base64": (edit(lambda d: d["keys"][0].update(material={"raw": "!"})), "form"),
    "wrapped material": (edit(lambda d: d["keys"][0].update(material={"kms": "AAAA"})), "form"),
    "an enabled key without material": (edit(lambda d: d["keys"][0].update(material=None)), "does not fit"),
    "a destroyed key with material": (edit(lambda d: d["keys"][0].update(state="destroyed")), "does not fit"),
    "a missing primary": (edit(lambda d: d["primary"].update(block="k" + "0" * 16)), "primary block key is missing"),
    "no primary": (edit(lambda d: d["primary"].pop("result")), "primary key for each"),
    "a disabled primary": (edit(lambda d: d["keys"][0].update(state="disabled")), "is disabled"),
    "a staged primary": (edit(lambda d: d["keys"][1].update(state="staged")), "is staged"),
    "a primary of another purpose": (edit(lambda d: d["primary"].update(block=d["primary"]["result"])), "for result"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_attack_46_the_ring_is_unsound(victim: Victim, what: str) -> None:
    damage, reason = DAMAGE[what]
    document = victim.ring()
    changed = damage(json.loads(document))
    kind: type[KeyringError] = KeyringError
    if victim.ring_file is None and not changed:
        kind, reason = KeyringMissingError, "no new keyring was made"  # an empty variable is none
    elif victim.ring_file is None and not changed.startswith(b"{"):
        reason = "holds no keyring: set it to the content of a keyring.json|it is not JSON"
    caught: list[BaseException] = []
    with victim.other_ring(changed):
        for use in (lambda: Secret.load("a"), lambda: Secret(value="x").save("new"), home.ring):
            with refused(kind, reason):
                try:
                    use()
                except KeyringError as error:
                    caught.append(error)
                    raise
    for error in caught:
        ours = traceback.TracebackException.from_exception(error, capture_locals=True)
        del ours.stack[:2]  # those of this test hold the document
        text = "".join(ours.format()) + repr(error.__context__)
        assert not [form for material in materials_of(document) for form in forms_of(material) if form in text]


def test_attack_47_the_ring_is_cut_short_at_every_length(victim: Victim) -> None:
    document = victim.ring().rstrip()
    with victim.other_ring(document[:1]):
        for end in range(1, len(document), victim.stride):
            victim.keep_ring(document[:end])
            with pytest.raises(KeyringError):
                Secret.load("a")
        victim.keep_ring(document[:1])


def test_attack_48_another_sound_ring_takes_its_place(victim: Victim) -> None:
    """While a process runs, and before a new one starts: nothing opens, and nothing that is saved is written over."""
    key = home.ring().primary("block").id
    for anew in (False, True):
        with victim.other_ring(bytes(Keyring.generate().to_document()), anew=anew):
            with refused(UnknownKeyError, f"key {key} of another keyring .*see: entrepot keys doctor"):
                Secret.load("a")
            with refused(UnknownKeyError, f"{key}.*nothing was saved over it.*use their keyring"):
                Secret(value="x").save("a", overwrite=True)


def test_attack_49_an_older_ring_is_put_back_after_a_rotation(
    home_victim: Victim, caplog: pytest.LogCaptureFixture
) -> None:
    older = home_victim.ring()
    rotate("result")
    Secret(value="saved since").save("c")
    with home_victim.other_ring(older, anew=False), refused(KeyringError, "an older copy: its epoch is 1.*newer one"):
        Secret.load("a")
    with caplog.at_level("WARNING", "entrepot.keys"), home_victim.other_ring(older):
        assert Secret.load("c").get() == "saved since"
        assert Secret.load("c").get() == "saved since"
    (record,) = [record for record in caplog.records if record.name == "entrepot.keys"]
    assert "is of epoch 1" in record.getMessage()
    assert "under epoch 3" in record.getMessage()
    assert "entrepot keys doctor" in record.getMessage()
    rotate("block")
    rotating.rewrap(default_documents())
    with home_victim.other_ring(older), refused(UnknownKeyError, "of epoch 1: an older copy lacks the keys that came"):
        Secret.load("a")


@pytest.mark.parametrize("value", ["", "  ", "s3cr3t-not-base64!", "{not json", "AAAA", "\udcff", "{\udcff}", "[]"])
def test_attack_50_the_variable_of_the_ring_is_garbled(
    home_victim: Victim, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home_victim.lives_well()
    document = home_victim.ring().decode()
    monkeypatch.setenv("ENTREPOT_KEYRING", document)
    (home_victim.home / "keyring.json").unlink()
    home_victim.lives_well()
    monkeypatch.setenv("ENTREPOT_KEYRING", value)
    home_victim.starts_anew()
    kind = KeyringError if value.strip() else KeyringMissingError  # an empty one is none: then the file is looked for
    for use in (lambda: Secret.load("a"), lambda: Secret(value="x").save("new")):
        with refused(kind, "^(?!.*(s3cr3t|not json)).*(ENTREPOT_KEYRING|no new keyring was made)"):
            use()
    assert not (home_victim.home / "keyring.json").exists()
    monkeypatch.setenv("ENTREPOT_KEYRING", document)
    home_victim.lives_well()


# --- key providers ----------------------------------------------------------------------------------------------------

KEY = "SHOWN-KEY-MATERIAL"


class Plugin:
    """A key provider of a plugin that keeps the ring, until it is told to fail."""

    location = "the vault of acme"
    document: bytes | None = None
    fails: Callable[[], Any] | None = None

    @classmethod
    def open(cls, target: str, options: Mapping[str, str], *, folder: Path) -> "Plugin":
        del target, options, folder
        return cls()

    def read(self) -> Any:
        return type(self).document if type(self).fails is None else type(self).fails()

    def create(self, document: bytes) -> None:
        self.read()
        type(self).document = bytes(document)

    def replace(self, document: bytes, *, old: bytes) -> None:
        self.read()
        assert old == type(self).document
        type(self).document = bytes(document)


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (lambda: _raise(ValueError(KEY)), r"failed .*\(ValueError, .*not repeated.*see that its options name"),
        (lambda: _raise(ConnectionResetError(KEY)), r"failed .*\(ConnectionResetError"),
        (lambda: _raise(RecursionError(KEY)), r"failed .*\(RecursionError"),
        (lambda: KEY, "gave a str for the keyring at the vault of acme, where bytes are due"),
        (lambda: 5, "gave a int"),
        (lambda: b"{" + KEY.encode(), "it is not JSON"),
    ],
)
def test_attack_51_a_key_provider_of_a_plugin_fails_in_words_of_its_own(
    monkeypatch: pytest.MonkeyPatch, fails: Callable[[], Any], says: str
) -> None:
    kept = type("Kept", (Plugin,), {})
    monkeypatch.setattr(KEY_PROVIDERS, "_builtins", {"acme": "of this:test"})
    monkeypatch.setattr(KEY_PROVIDERS, "_resolved", {"acme": kept})
    monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "acme")
    Secret(value="kept").save("x")
    kept.fails = staticmethod(fails)
    kind = KeyringError if "JSON" in says else KeyProviderError
    home._rings.clear()
    uses = [lambda: Secret.load("x"), home.ring, lambda: rotating.stage(home.key_provider(), ["block"])]
    for use in uses:
        with refused(kind, f"^(?!.*{KEY}).*{says}"):
            use()
    kept.fails = None
    assert Secret.load("x").get() == "kept"
    rotating.stage(home.key_provider(), ["block"])
    assert Secret.load("x").get() == "kept"


def test_attack_51_a_key_provider_of_a_plugin_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(Plugin):
        @classmethod
        def open(cls, *args: Any, **options: Any) -> Any:
            raise OSError(KEY)

    monkeypatch.setattr(KEY_PROVIDERS, "_resolved", {"acme": Closed})
    monkeypatch.setattr(KEY_PROVIDERS, "_builtins", {"acme": "of this:test"})
    monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "acme:vault")
    with refused(KeyProviderError, r"^(?!.*SHOWN).*key provider acme failed for the keyring at acme:vault \(OSError"):
        home.ring()
    monkeypatch.setattr(KEY_PROVIDERS, "_resolved", {"acme": Plugin})
    assert home.ring().epoch == 1


class Service:
    """A key service that gives a key, another one, or none."""

    name = "service"

    def __init__(self) -> None:
        self.key = os.urandom(32)

    def new_key(self, ring_id: str) -> tuple[bytes, dict[str, str | int]]:
        del ring_id
        return self.key, {"id": "alias/x"}

    def same_key(self, ring_id: str, facts: Mapping[str, str | int]) -> bytes:
        del ring_id, facts
        return self.key


def test_attack_52_a_key_service_gives_another_key(tmp_path: Path) -> None:
    service = Service()
    provider = WrappedKeyProvider(FileKeyProvider(tmp_path / "home" / "keyring.json"), service)
    ring = Keyring.generate()
    provider.create(ring.to_document())
    file = tmp_path / "home" / "keyring.json"
    kept, key = file.read_bytes(), service.key
    for other in (os.urandom(32), bytes(32), key[:16], b"", key + b"x"):
        service.key = other
        with refused(KeyringError, "does not open: the key that service gives is another one.*check the provider's"):
            provider.read()
        with refused(KeyringError, "does not open"):
            provider.replace(ring.with_staged("block").to_document(), old=ring.to_document())
    assert file.read_bytes() == kept
    service.key = key
    file.write_bytes(Keyring.generate().to_document())  # in clear, where a sealed one is due
    with refused(KeyringError, "is not sealed, and the key provider service keeps sealed ones"):
        provider.read()
    file.write_bytes(kept)
    assert provider.read() == ring.to_document()


class Impostor:
    """A server on loopback that gives one answer to whatever it is asked."""

    def __init__(self) -> None:
        self.answer = b""
        impostor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(200)
                self.send_header("content-length", str(len(impostor.answer)))
                self.end_headers()
                self.wfile.write(impostor.answer)

            do_PUT = do_POST  # noqa: N815  as the server calls it

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    made = Impostor()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize("service", ["vault", "aws-kms"])
def test_attack_52_an_impostor_answers_for_a_key_service(
    service: str, impostor: Impostor, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"VAULT_TOKEN": "t", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    where = f"x?url={impostor.url}" if service == "vault" else f"x?endpoint_url={impostor.url}&region=us-east-1"
    monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", f"{service}:{where}")
    for size in (0, 1, 16, 24, 33):  # 16 and 24 bytes are keys of AES, too
        key = base64.b64encode(KEY.encode().ljust(size)[:size]).decode()
        of_vault = {"data": {"plaintext": key, "ciphertext": "x"}}
        impostor.answer = json.dumps({"Plaintext": key, "CiphertextBlob": key, "KeyId": "x", **of_vault}).encode()
        with refused(KeyProviderError, f"gave a key of {size} bytes, where 32 are due: nothing was sealed"):
            home.ring()
    for answer in (
        b"",
        b"{}",
        b"[]",
        b"null",
        b"<html>",
        b'{"data": null}',
        b'{"Plaintext": 5, "data": {"plaintext": 5}}',
    ):
        impostor.answer = answer
        with refused(KeyProviderError, f"^(?!.*{KEY}).*key provider {service}.*(not repeated|does not answer)"):
            home.ring()
    assert not (entrepot_home / "keyring.json").exists(), "no keyring is kept that nobody could open"
