import copy
import gc
import inspect
import pickle
from typing import Any

import pytest

from entrepot.crypto._keys import hide, hkdf_sha256
from entrepot.crypto.keyring import Key, Keyring
from entrepot.errors import KeyringError, UnknownKeyError
from entrepot_test_crypto import FixedClock, forms_of, materials_of


def reread(ring: Keyring) -> Keyring:
    return Keyring.from_document(ring.to_document(), location="here")


class TestKeyring:
    def test_a_new_ring_has_one_enabled_primary_a_purpose(self) -> None:
        ring = Keyring.generate(clock=FixedClock())
        assert ring.epoch == 1
        assert [key.purpose for key in ring.all_keys()] == ["block", "result"]
        assert all(key.state == "enabled" and key.created == FixedClock().now() for key in ring.all_keys())
        assert ring.primary("block") in ring.all_keys()
        assert ring.primary("block").id != ring.primary("result").id

    def test_two_rings_share_nothing(self) -> None:
        one, two = Keyring.generate(), Keyring.generate()
        assert one.ring_id != two.ring_id
        assert not {key.id for key in one.all_keys()} & {key.id for key in two.all_keys()}

    def test_a_document_read_back_is_the_same_ring(self, ring: Keyring) -> None:
        again = reread(ring)
        assert bytes(again.to_document()) == bytes(ring.to_document())
        assert again.derive(again.primary("block"), "a/1") == ring.derive(ring.primary("block"), "a/1")

    def test_keys_derived_for_different_uses_and_keys_differ_and_stay_the_same(self, ring: Keyring) -> None:
        block, result = ring.primary("block"), ring.primary("result")
        derived = [ring.derive(block, "a/1"), ring.derive(block, "a/2"), ring.derive(result, "a/1")]
        assert len(set(derived)) == len(derived)
        assert all(len(key) == 32 for key in derived)
        assert ring.derive(block, "a/1") is derived[0], "derived keys are kept: signing is on a hot path"

    def test_rotation_makes_a_new_primary_and_the_old_key_still_opens(self, ring: Keyring) -> None:
        old = ring.primary("block")
        rotated = reread(ring.with_new_primary("block"))
        assert rotated.epoch == ring.epoch + 1
        assert rotated.ring_id == ring.ring_id
        assert rotated.primary("block").id != old.id
        assert rotated.key(old.id, "block") == old
        assert rotated.primary("result").id == ring.primary("result").id
        assert ring.primary("block") is old, "a ring does not change"

    @pytest.mark.parametrize("state", ["disabled", "destroyed"])
    def test_a_disabled_or_destroyed_key_opens_nothing(self, ring: Keyring, state: Any) -> None:
        old = ring.primary("block")
        changed = reread(ring.with_new_primary("block").with_state(old.id, state))
        with pytest.raises(UnknownKeyError, match=state) as caught:
            changed.key(old.id, "block")
        assert caught.value.key_id == old.id
        if state == "destroyed":
            assert len(materials_of(changed.to_document())) == 2
            with pytest.raises(UnknownKeyError):
                changed.derive(old, "a/1")
            with pytest.raises(KeyringError, match="destroyed"):
                changed.with_state(old.id, "enabled")

    def test_a_staged_key_opens(self, ring: Keyring) -> None:
        old = ring.primary("block")
        assert reread(ring.with_new_primary("block").with_state(old.id, "staged")).key(old.id, "block").opens

    def test_a_primary_cannot_be_disabled(self, ring: Keyring) -> None:
        with pytest.raises(KeyringError, match="primary"):
            ring.with_state(ring.primary("block").id, "disabled")

    def test_an_unknown_key_is_named_with_the_ring_and_where_it_was_looked_for(self, ring: Keyring) -> None:
        with pytest.raises(UnknownKeyError, match=f"k{'0' * 16}.*{ring.ring_id}.*memory"):
            ring.key("k" + "0" * 16, "block")
        with pytest.raises(UnknownKeyError):
            ring.with_state("k" + "0" * 16, "staged")

    def test_a_key_for_one_purpose_is_unknown_for_the_other(self, ring: Keyring) -> None:
        with pytest.raises(UnknownKeyError, match="for result data"):
            ring.key(ring.primary("result").id, "block")


class TestKeyMaterialStaysHidden:
    def show(self, *things: object) -> str:
        shown = [f"{thing!r} {thing!s} {thing}" for thing in things]
        for thing in things:
            shown.append(repr(getattr(thing, "__dict__", "")))
            shown += [repr(value) for _, value in inspect.getmembers(thing)]
        return " ".join(shown)

    def test_in_repr_str_format_vars_and_members(self, ring: Keyring) -> None:
        derived = ring.derive(ring.primary("block"), "a/1")
        document = ring.to_document()
        holders = [key.material for key in ring.all_keys()]
        text = self.show(ring, *ring.all_keys(), *holders) + repr([derived, document]) + f"{derived!s} {document!s}"
        text += f"{derived}{document}"  # type: ignore[str-bytes-safe]
        for material in [*materials_of(document), bytes(derived)]:
            assert not [form for form in forms_of(material) if form in text]
        assert ring.primary("block").id in repr(ring)

    def test_rings_materials_and_derived_keys_are_not_pickled(self, ring: Keyring) -> None:
        for thing in (ring, *ring.all_keys(), ring.derive(ring.primary("block"), "a/1"), ring.to_document()):
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                with pytest.raises((TypeError, pickle.PicklingError)):
                    pickle.dumps(thing, protocol)

    def test_copies_are_the_same_object(self, ring: Keyring) -> None:
        assert copy.copy(ring) is ring
        assert copy.deepcopy(ring) is ring
        assert copy.deepcopy(ring.primary("block")).material is ring.primary("block").material

    def test_a_fields_dictionary_of_a_key_shows_nothing(self, ring: Keyring) -> None:
        key = ring.primary("block")
        assert isinstance(key, Key)
        text = repr({name: getattr(key, name) for name in key.__slots__})
        assert not [
            form for material in materials_of(ring.to_document()) for form in forms_of(material) if form in text
        ]

    def test_bytes_made_opaque_still_are_those_bytes(self) -> None:
        assert hide(b"abc") == b"abc"
        assert "abc" not in repr(hide(b"abc"))
        gc.collect()


class TestHkdf:
    """The test vectors of RFC 5869, appendix A, for SHA-256."""

    def test_case_1(self) -> None:
        okm = hkdf_sha256(b"\x0b" * 22, salt=bytes(range(13)), info=bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"), length=42)
        assert okm.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")

    def test_case_2_with_long_inputs(self) -> None:
        okm = hkdf_sha256(bytes(range(0x50)), salt=bytes(range(0x60, 0xB0)), info=bytes(range(0xB0, 0x100)), length=82)
        assert okm.hex() == (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        )

    def test_case_3_without_salt_and_info(self) -> None:
        okm = hkdf_sha256(b"\x0b" * 22, salt=b"", info=b"", length=42)
        assert okm.hex() == ("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")

    def test_it_agrees_with_another_implementation(self) -> None:
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415  only this test needs it
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415  only this test needs it

        for length in (1, 31, 32, 33, 64, 255 * 32):
            expected = HKDF(SHA256(), length, b"salt", b"info").derive(b"material")
            assert hkdf_sha256(b"material", salt=b"salt", info=b"info", length=length) == expected


def test_a_key_is_ahead_until_it_is_the_primary_one_whatever_the_clock_says() -> None:
    ring = Keyring.generate()
    first = ring.primary("block").id
    assert not ring.is_ahead(first, "block")
    staged = ring.with_staged("block", clock=FixedClock())
    second = staged.all_keys()[-1].id
    assert staged.is_ahead(second, "block")
    both = staged.with_staged("block")
    third = both.all_keys()[-1].id
    promoted = both.with_primary(third).with_primary(second)
    assert not any(promoted.is_ahead(key.id, "block") for key in promoted.all_keys())
    assert not staged.is_ahead("k" + "0" * 16, "block")


def test_a_key_of_a_newer_ring_is_ahead() -> None:
    ring = Keyring.generate()
    newer = ring.with_new_primary("block")
    ring.newest = lambda: newer
    assert ring.is_ahead(newer.primary("block").id, "block")
    assert not ring.is_ahead(newer.primary("block").id, "result")
