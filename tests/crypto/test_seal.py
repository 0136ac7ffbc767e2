import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import Place, read_header, seal, unseal
from entrepot.errors import IntegrityError, UnknownKeyError

PLACE: Place = {"slug": "secret", "name": "my-api-key", "version": 1}
HEADER = {"schema": "0" * 16, "schema_version": 1}
SECRET = b"hunter2-hunter2"


@pytest.fixture(scope="module")
def sealed(ring: Keyring) -> bytes:
    return seal(ring, SECRET, place=PLACE, header=HEADER)


def opens(ring: Keyring, sealed: bytes, place: Any = PLACE) -> bytes:
    return unseal(ring, sealed, place=place, location="block secret/my-api-key")


class TestSealing:
    def test_what_was_sealed_comes_back(self, ring: Keyring, sealed: bytes) -> None:
        assert opens(ring, sealed) == SECRET
        assert opens(ring, memoryview(sealed)) == SECRET  # type: ignore[arg-type]

    def test_it_is_one_line_of_readable_json_without_the_secret(self, sealed: bytes) -> None:
        assert sealed.endswith(b"}\n")
        assert sealed.count(b"\n") == 1
        document = json.loads(sealed)
        assert document["format"] == "entrepot-seal/1"
        assert document["header"] == HEADER
        assert SECRET not in sealed
        assert base64.b64encode(SECRET).rstrip(b"=") not in sealed

    def test_the_header_can_be_read_without_a_key(self, sealed: bytes) -> None:
        assert read_header(sealed) == HEADER
        assert read_header(b"{}\n") is None

    def test_the_place_can_be_made_from_the_header(self, ring: Keyring, sealed: bytes) -> None:
        seen: list[dict[str, Any]] = []

        def place(header: Any) -> Place:
            seen.append(dict(header))
            return PLACE

        assert opens(ring, sealed, place) == SECRET
        assert seen == [HEADER]

    def test_the_same_document_twice_gives_different_bytes(self, ring: Keyring) -> None:
        assert seal(ring, SECRET, place=PLACE) != seal(ring, SECRET, place=PLACE)

    def test_an_older_key_of_the_ring_still_opens(self, ring: Keyring, sealed: bytes) -> None:
        rotated = ring.with_new_primary("block")
        assert opens(rotated, sealed) == SECRET
        assert json.loads(seal(rotated, b"", place=PLACE))["key"] == rotated.primary("block").id

    @given(st.binary(max_size=2000), st.dictionaries(st.text(max_size=20), st.text(max_size=20) | st.integers()))
    def test_any_bytes_and_any_place_round_trip(self, ring: Keyring, plaintext: bytes, place: dict[str, Any]) -> None:
        sealed = seal(ring, memoryview(plaintext), place=place, header=place)
        assert opens(ring, sealed, place) == plaintext
        assert read_header(sealed) == place


class TestTampering:
    def test_every_flip_of_one_bit_is_refused(self, ring: Keyring, sealed: bytes) -> None:
        for position in range(len(sealed)):
            for bit in range(8):
                changed = bytearray(sealed)
                changed[position] ^= 1 << bit
                with pytest.raises((IntegrityError, UnknownKeyError)):
                    opens(ring, bytes(changed))

    def test_every_truncation_is_refused(self, ring: Keyring, sealed: bytes) -> None:
        for end in range(len(sealed)):
            with pytest.raises(IntegrityError):
                opens(ring, sealed[:end])
            with pytest.raises(IntegrityError):
                opens(ring, sealed[end + 1 :])

    @pytest.mark.parametrize("tail", [b"\n", b" ", b"\0", b"{}\n"])
    def test_trailing_and_leading_bytes_are_refused(self, ring: Keyring, sealed: bytes, tail: bytes) -> None:
        for changed in (sealed + tail, tail + sealed, sealed[:-1] + tail + b"\n", sealed + sealed):
            with pytest.raises(IntegrityError):
                opens(ring, changed)

    @pytest.mark.parametrize(
        "place",
        [
            PLACE | {"name": "other"},
            PLACE | {"slug": "json"},
            PLACE | {"version": 2},
            PLACE | {"version": "1"},
            PLACE | {"more": 1},
            {},
        ],
    )
    def test_a_document_moved_to_another_place_is_refused(self, ring: Keyring, sealed: bytes, place: Place) -> None:
        with pytest.raises(IntegrityError, match="block secret/my-api-key") as caught:
            opens(ring, sealed, place)
        assert caught.value.location == "block secret/my-api-key"

    def test_a_document_of_another_ring_names_the_key_it_needs(self, other_ring: Keyring, sealed: bytes) -> None:
        with pytest.raises(UnknownKeyError, match=json.loads(sealed)["key"]):
            opens(other_ring, sealed)

    def test_a_document_under_a_disabled_key_is_refused(self, ring: Keyring, sealed: bytes) -> None:
        disabled = ring.with_new_primary("block").with_state(ring.primary("block").id, "disabled")
        with pytest.raises(UnknownKeyError, match="disabled"):
            opens(disabled, sealed)

    def test_a_document_that_claims_a_result_key_is_refused(self, ring: Keyring, sealed: bytes) -> None:
        document = json.loads(sealed) | {"key": ring.primary("result").id}
        with pytest.raises(UnknownKeyError):
            opens(ring, spelled(document))

    def test_the_same_key_in_a_ring_of_another_id_does_not_open(self, ring: Keyring, sealed: bytes) -> None:
        copied = Keyring.from_document(
            bytes(ring.to_document()).replace(ring.ring_id.encode(), b"r" + b"0" * 16), location="elsewhere"
        )
        with pytest.raises(IntegrityError):
            opens(copied, sealed)

    def test_base64_has_one_spelling(self, ring: Keyring) -> None:
        sealed = seal(ring, b"1234", place=PLACE)
        document = json.loads(sealed)
        assert document["body"].endswith("=")
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        position = document["body"].index("=") - 1
        sloppy = letters[letters.index(document["body"][position]) | 1]
        body = document["body"][:position] + sloppy + document["body"][position + 1 :]
        assert base64.b64decode(body) == base64.b64decode(document["body"])
        with pytest.raises(IntegrityError):
            opens(ring, spelled(document | {"body": body}))

    @pytest.mark.parametrize("name", ["body", "commit", "format", "key", "nonce", "ring", "wrapped", "header"])
    @pytest.mark.parametrize("value", [None, 1, [], "", "é", "A===", {"x": None}, {"x": 1.5}])
    def test_a_field_of_another_type_is_refused(self, ring: Keyring, sealed: bytes, name: str, value: object) -> None:
        with pytest.raises(IntegrityError):
            opens(ring, spelled(json.loads(sealed) | {name: value}))

    def test_nothing_is_decrypted_before_the_commitment_is_checked(
        self, ring: Keyring, sealed: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("entrepot.crypto.seal.AESGCM", lambda _: pytest.fail("a cipher was made"))
        with pytest.raises(IntegrityError):
            opens(ring, spelled(json.loads(sealed) | {"commit": "0" * 64}))


def spelled(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
