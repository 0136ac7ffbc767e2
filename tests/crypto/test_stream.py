import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.crypto import stream
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.stream import (
    CHUNK_SIZE,
    HEADER_SIZE,
    decrypt_into,
    decrypt_range,
    encrypt_parts,
    encrypted_size,
    plain_size,
)
from entrepot.errors import IntegrityError, UnknownKeyError

SIZES = [0, 1, 15, 16, 17, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, 5 * CHUNK_SIZE + 77]


def encrypt(ring: Keyring, data: bytes, path: str = "a/b") -> bytes:
    return b"".join(encrypt_parts(ring, path, [data], size=len(data)))


def decrypt(
    ring: Keyring, sealed: bytes, start: int = 0, length: int | None = None, path: str = "a/b", size: int | None = None
) -> bytes:
    def fetch(offset: int, count: int) -> bytes:
        return sealed[offset : offset + count]

    known = len(sealed) if size is None else size
    return bytes(decrypt_range(ring, path, fetch, size=known, location="store/a/b", start=start, length=length))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Chunks of 32 bytes, two a batch: laws about chunks hold for any size, and are quicker to check on these."""
    monkeypatch.setattr(stream, "CHUNK_SIZE", 32)
    monkeypatch.setattr(stream, "_SEALED_CHUNK", 48)
    monkeypatch.setattr(stream, "_BATCH", 2)
    return 32


class TestRoundTrip:
    @pytest.mark.parametrize("size", SIZES)
    def test_at_every_edge_of_a_chunk(self, ring: Keyring, size: int) -> None:
        data = random.Random(size).randbytes(size)
        sealed = encrypt(ring, data)
        assert len(sealed) == encrypted_size(size)
        assert plain_size(len(sealed)) == size
        assert decrypt(ring, sealed) == data
        assert data[:32] not in sealed or size < 16

    def test_sizes_that_no_object_has(self) -> None:
        assert plain_size(0) is None
        assert plain_size(HEADER_SIZE) is None
        assert plain_size(HEADER_SIZE + 15) is None
        assert plain_size(HEADER_SIZE + 16) == 0
        assert plain_size(HEADER_SIZE + CHUNK_SIZE + 16 + 15) is None
        assert plain_size(HEADER_SIZE + CHUNK_SIZE + 16 + 16) is None, "only an empty object has an empty chunk"
        assert plain_size(HEADER_SIZE + CHUNK_SIZE + 16 + 17) == CHUNK_SIZE + 1

    @settings(max_examples=200)
    @given(st.lists(st.binary(max_size=100), max_size=6), st.integers(0, 400), st.none() | st.integers(0, 400))
    def test_any_parts_and_any_range(self, parts: list[bytes], start: int, length: int | None) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stream, "CHUNK_SIZE", 32)
            patch.setattr(stream, "_SEALED_CHUNK", 48)
            patch.setattr(stream, "_BATCH", 2)
            ring = RING
            data = b"".join(parts)
            sealed = b"".join(encrypt_parts(ring, "a/b", map(bytearray, parts), size=sum(map(len, parts))))
            stop = None if length is None else start + length
            assert decrypt(ring, sealed, start, length) == data[start:stop]
            assert len(sealed) == encrypted_size(len(data))

    def test_into_memory_of_the_caller(self, ring: Keyring) -> None:
        data = os.urandom(CHUNK_SIZE + 10)
        sealed = encrypt(ring, data)
        buffer = bytearray(CHUNK_SIZE + 20)
        count = decrypt_into(
            ring, "a/b", lambda s, n: sealed[s : s + n], memoryview(buffer), size=len(sealed), location="x", start=5
        )
        assert count == CHUNK_SIZE + 5
        assert buffer == data[5:] + bytes(15)

    def test_a_range_reads_only_the_chunks_that_it_needs(self, ring: Keyring) -> None:
        data = os.urandom(40 * CHUNK_SIZE)
        sealed = encrypt(ring, data)
        fetched: list[tuple[int, int]] = []

        def fetch(start: int, length: int) -> bytes:
            fetched.append((start, length))
            return sealed[start : start + length]

        def read(start: int, length: int) -> int:
            fetched.clear()
            got = decrypt_range(ring, "a/b", fetch, size=len(sealed), location="x", start=start, length=length)
            assert got == data[start : start + length]
            return sum(length for _, length in fetched)

        assert read(0, 10) == HEADER_SIZE + CHUNK_SIZE + 16
        assert len(fetched) == 1
        assert read(30 * CHUNK_SIZE + 5, CHUNK_SIZE) == HEADER_SIZE + 2 * (CHUNK_SIZE + 16)
        assert read(0, len(data)) == len(sealed)
        assert max(length for _, length in fetched) < 5 << 20, "ciphertext is never held whole"

    def test_large_parts_are_not_joined(self, ring: Keyring) -> None:
        part = memoryview(bytes(2 * CHUNK_SIZE))
        pieces = list(stream._chunks([part]))
        assert all(isinstance(piece, memoryview) for piece in pieces)

    def test_an_object_over_the_limit_is_refused(self, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream, "_MAX_CHUNKS", 1)
        with pytest.raises(ValueError, match="more than one encrypted object"):
            encrypt(ring, bytes(CHUNK_SIZE + 1))

    def test_an_older_key_still_opens(self, ring: Keyring) -> None:
        assert decrypt(ring.with_new_primary("result"), encrypt(ring, b"abc")) == b"abc"


class TestTampering:
    def test_every_flip_of_one_bit_is_refused(self, ring: Keyring, small_chunks: int) -> None:
        sealed = encrypt(ring, b"q" * 50)
        for position in range(8 * len(sealed)):
            changed = bytearray(sealed)
            changed[position // 8] ^= 1 << position % 8
            with pytest.raises((IntegrityError, UnknownKeyError)):
                decrypt(ring, bytes(changed))

    def test_every_truncation_is_refused_by_a_reader_of_the_end(self, ring: Keyring, small_chunks: int) -> None:
        sealed = encrypt(ring, b"q" * 100)
        for end in range(len(sealed)):
            for start, length in ((0, None), (0, 100), (90, 10), (99, None), (1000, None)):
                with pytest.raises(IntegrityError):
                    decrypt(ring, sealed[:end], start, length)

    def test_a_size_that_lies_is_refused(self, ring: Keyring, small_chunks: int) -> None:
        sealed = encrypt(ring, b"q" * 100)
        for size in range(len(sealed) + 100):
            if size != len(sealed):
                with pytest.raises(IntegrityError):
                    decrypt(ring, sealed, size=size)

    def test_extended_objects_are_refused(self, ring: Keyring, small_chunks: int) -> None:
        sealed = encrypt(ring, b"q" * 64)
        for tail in (b"x", bytes(16), sealed[-48:], sealed[HEADER_SIZE:]):
            with pytest.raises(IntegrityError):
                decrypt(ring, sealed + tail)

    def test_chunks_out_of_order_repeated_or_dropped_are_refused(self, ring: Keyring, small_chunks: int) -> None:
        sealed = encrypt(ring, bytes(96))
        head, one, two, three = sealed[:128], sealed[128:176], sealed[176:224], sealed[224:]
        for body in (two + one + three, one + one + three, one + three, one + two, three, one + two + three + three):
            with pytest.raises(IntegrityError):
                decrypt(ring, head + body)
        assert decrypt(ring, head + one + two + three) == bytes(96)

    def test_chunks_and_headers_of_another_object_are_refused(self, ring: Keyring) -> None:
        one, two = encrypt(ring, b"one"), encrypt(ring, b"two")
        with pytest.raises(IntegrityError):
            decrypt(ring, one[:HEADER_SIZE] + two[HEADER_SIZE:])

    def test_an_object_moved_to_another_path_is_refused(self, ring: Keyring) -> None:
        with pytest.raises(IntegrityError, match=r"store/a/b.*moved"):
            decrypt(ring, encrypt(ring, b"x", "a/b"), path="a/c")

    def test_an_object_of_another_ring_names_the_key(self, ring: Keyring, other_ring: Keyring) -> None:
        with pytest.raises(UnknownKeyError, match=ring.primary("result").id):
            decrypt(other_ring, encrypt(ring, b"x"))

    def test_a_plain_object_is_refused(self, ring: Keyring) -> None:
        for plain in (b"", b"plain", bytes(1000)):
            with pytest.raises(IntegrityError, match="not an encrypted object"):
                decrypt(ring, plain)

    def test_what_does_not_verify_is_not_left_in_the_callers_memory(self, ring: Keyring) -> None:
        sealed = bytearray(encrypt(ring, b"secret" * 10))
        sealed[-1] ^= 1
        buffer = bytearray(60)
        with pytest.raises(IntegrityError):
            decrypt_into(
                ring, "a/b", lambda s, n: sealed[s : s + n], memoryview(buffer), size=len(sealed), location="x"
            )
        assert buffer == bytes(60)


RING = Keyring.generate()
