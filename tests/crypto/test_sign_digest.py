import re
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.crypto.digest import Digester
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.sign import sign_line, verify_line
from entrepot.errors import IntegrityError, UnknownKeyError

MESSAGE = b'{"format":"entrepot-result/1","key":"abc"}'


def verifies(ring: Keyring, message: bytes, line: str, context: str = "record:abc") -> str:
    return verify_line(ring, message, line, context=context, location="records/ab/cd.json")


class TestSignatures:
    def test_a_signed_message_verifies_and_names_its_key(self, ring: Keyring) -> None:
        line = sign_line(ring, MESSAGE, context="record:abc")
        assert re.fullmatch(r"entrepot-sig/1 k[0-9a-f]{16} [0-9a-f]{64}", line)
        assert verifies(ring, MESSAGE, line) == ring.primary("result").id

    def test_every_flip_of_one_bit_in_message_or_line_is_refused(self, ring: Keyring) -> None:
        line = sign_line(ring, MESSAGE, context="record:abc")
        for position in range(8 * len(MESSAGE)):
            changed = bytearray(MESSAGE)
            changed[position // 8] ^= 1 << position % 8
            with pytest.raises(IntegrityError):
                verifies(ring, bytes(changed), line)
        for position in range(8 * len(line)):
            altered = bytearray(line.encode())
            altered[position // 8] ^= 1 << position % 8
            with pytest.raises((IntegrityError, UnknownKeyError)):
                verifies(ring, MESSAGE, altered.decode("latin-1"))

    def test_every_truncation_and_addition_is_refused(self, ring: Keyring) -> None:
        line = sign_line(ring, MESSAGE, context="record:abc")
        for end in range(len(MESSAGE)):
            with pytest.raises(IntegrityError):
                verifies(ring, MESSAGE[:end], line)
        for end in range(len(line)):
            with pytest.raises(IntegrityError):
                verifies(ring, MESSAGE, line[:end])
        for more in (line + "\n", line + " ", " " + line, line + "0", line.upper(), line.replace(" ", "  ")):
            with pytest.raises(IntegrityError):
                verifies(ring, MESSAGE, more)

    def test_a_message_moved_to_another_context_is_refused(self, ring: Keyring) -> None:
        line = sign_line(ring, MESSAGE, context="record:abc")
        with pytest.raises(IntegrityError, match=r"records/ab/cd\.json.*moved") as caught:
            verifies(ring, MESSAGE, line, context="record:abd")
        assert caught.value.location == "records/ab/cd.json"

    def test_no_byte_can_wander_from_context_to_message(self, ring: Keyring) -> None:
        line = sign_line(ring, b"cd", context="ab")
        with pytest.raises(IntegrityError):
            verify_line(ring, b"d", line, context="abc", location="x")
        with pytest.raises(IntegrityError):
            verify_line(ring, b"bcd", line, context="a", location="x")

    def test_a_signature_of_another_ring_is_an_unknown_key(self, ring: Keyring, other_ring: Keyring) -> None:
        with pytest.raises(UnknownKeyError, match=ring.primary("result").id):
            verifies(other_ring, MESSAGE, sign_line(ring, MESSAGE, context="record:abc"))

    def test_an_older_key_still_verifies_and_a_disabled_one_does_not(self, ring: Keyring) -> None:
        line = sign_line(ring, MESSAGE, context="record:abc")
        old = ring.primary("result").id
        rotated = ring.with_new_primary("result")
        assert verifies(rotated, MESSAGE, line) == old
        with pytest.raises(UnknownKeyError):
            verifies(rotated.with_state(old, "disabled"), MESSAGE, line)

    def test_a_block_key_signs_no_result(self, ring: Keyring) -> None:
        line = sign_line(ring, MESSAGE, context="record:abc")
        with pytest.raises(UnknownKeyError):
            verifies(ring, MESSAGE, line.replace(ring.primary("result").id, ring.primary("block").id))

    def test_a_refusal_does_not_show_the_signature_that_would_have_passed(self, ring: Keyring) -> None:
        forged = MESSAGE.replace(b"abc", b"xyz")
        right = sign_line(ring, forged, context="record:abc").split()[-1]
        with pytest.raises(IntegrityError) as caught:
            verifies(ring, forged, sign_line(ring, MESSAGE, context="record:abc"))
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        shown.stack.pop(0)  # this test's own frame
        assert right not in "".join(shown.format())

    @given(st.binary(max_size=100), st.text(max_size=50), st.text(max_size=120))
    def test_no_made_up_line_verifies(self, ring: Keyring, message: bytes, context: str, line: str) -> None:
        assert verifies(ring, message, sign_line(ring, message, context=context), context)
        with pytest.raises(IntegrityError):
            verifies(ring, message, line, context)


class TestDigests:
    def test_it_is_the_digest_of_the_parts_joined(self, ring: Keyring) -> None:
        digester = Digester(ring)
        joined = digester.digest([b"abcdef"])
        assert re.fullmatch(rf"blake3:{ring.primary('result').id}:[0-9a-f]{{64}}", joined)
        assert digester.digest([b"abc", bytearray(b"d"), memoryview(b"xefx")[1:3]]) == joined
        hasher = digester.new()
        hasher.update(b"abc")
        hasher.update(b"def")
        assert hasher.digest() == joined
        assert joined.endswith(hasher.hexdigest())
        assert digester.digest([b"abcdeg"]) != joined

    def test_threads_change_nothing(self, ring: Keyring) -> None:
        data = bytes(3 << 20)
        one = Digester(ring).new(size=1)
        one.update(data)
        assert one.digest() == Digester(ring).digest([data])

    def test_who_has_no_key_can_make_none(self, ring: Keyring, other_ring: Keyring) -> None:
        assert Digester(ring).digest([b"x"])[-64:] != Digester(other_ring).digest([b"x"])[-64:]

    def test_a_digest_is_checked_under_its_own_key(self, ring: Keyring) -> None:
        digest = Digester(ring).digest([b"x"])
        checker = Digester(ring.with_new_primary("result")).hasher_for(digest)
        checker.update(b"x")
        assert checker.digest() == digest

    def test_an_unknown_key_and_another_form_are_refused(self, ring: Keyring, other_ring: Keyring) -> None:
        digest = Digester(ring).digest([b"x"])
        with pytest.raises(UnknownKeyError):
            Digester(other_ring).hasher_for(digest)
        for bad in (
            "",
            digest.upper(),
            digest + "\n",
            digest[:-1],
            "sha256:" + "0" * 64,
            digest.replace("blake3", "md5"),
        ):
            with pytest.raises(IntegrityError):
                Digester(ring).hasher_for(bad)
