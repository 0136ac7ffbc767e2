"""Records: their bytes, their places, and what is refused."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.crypto.keyring import Keyring
from entrepot.crypto.sign import sign_line
from entrepot.errors import CacheKeyError, IntegrityError, SerializationError, UnknownKeyError, UnknownNameError
from entrepot.results.record import (
    MAX_RECORD_SIZE,
    Record,
    open_record,
    payload_path,
    record_path,
    seal_record,
    stored_key,
)
from entrepot_test_results import GOLDEN, RING, START, Kept

DIGEST = f"blake3:k{'0' * 16}:{'ab' * 32}"


def record(**changes: object) -> Record:
    plain = Record(
        key="the-key",
        parts={"inputs": "1" * 64, "code": "2" * 64},
        task={"name": "extract", "key": "flows.extract"},
        run={"id": "r1"},
        serializer="json",
        size=7,
        digest=DIGEST,
        created=START,
        value='{"a":1}',
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def opened(data: bytes, path: str, ring: Keyring = RING) -> Record:
    return open_record(data, ring, path=path, location=f"store/{path}")


def signed(fields: object, path: str) -> bytes:
    line = (
        fields if isinstance(fields, bytes) else json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    )
    return line + b"\n" + sign_line(RING, line, context=f"entrepot-result/1 {path}").encode() + b"\n"


# --- golden -------------------------------------------------------------------------------------------------------

GOLDEN_RECORDS = {
    "text.json": record(value='{"a":"한국어\\n"}', size=19, expires=datetime(2027, 1, 1, tzinfo=UTC)),
    "binary.json": record(value=b"\x80\x05N.", size=4, serializer="pickle", parts={}),
    "noted.json": record(about={"keep": "7d", "tag:nightly": ""}, details={"input:rows[3]": "ab12"}),
    "payload.json": record(
        value=None, payload=payload_path(DIGEST, "pkl.zst"), size=1 << 40, serializer="compressed/pickle"
    ),
}


@pytest.mark.parametrize("name", GOLDEN_RECORDS)
def test_the_bytes_of_a_record_are_those_of_the_golden_file(name: str) -> None:
    assert seal_record(GOLDEN_RECORDS[name], RING) == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", GOLDEN_RECORDS)
def test_a_golden_record_is_read(name: str) -> None:
    wanted = GOLDEN_RECORDS[name]
    assert opened((GOLDEN / name).read_bytes(), wanted.path) == wanted


def test_a_stored_result_is_the_golden_store() -> None:
    kept = Kept(inline_limit=16)
    kept.write("small", [1, "한"], expires=START + timedelta(days=1))
    kept.write("large", {"rows": list(range(20))})
    found = {path: kept.bytes_at(path).decode() for path in kept.paths()}
    assert found == json.loads((GOLDEN / "store.json").read_text("utf-8"))


def test_a_golden_store_is_read() -> None:
    kept = Kept()
    for path, text in json.loads((GOLDEN / "store.json").read_text("utf-8")).items():
        kept.storage.put(path, text.encode())
    assert kept.store.fetch("small").value == [1, "한"]
    assert kept.store.fetch("large").value == {"rows": list(range(20))}


def test_a_record_is_one_readable_line_and_one_line_of_signature() -> None:
    lines = seal_record(record(value="한국어", size=9), RING).decode().split("\n")
    assert len(lines) == 3
    assert lines[2] == ""
    assert "한국어" in lines[0]
    assert lines[1].startswith("entrepot-sig/1 k")


# --- there and back -----------------------------------------------------------------------------------------------

texts = st.text(max_size=300)
mappings = st.dictionaries(
    st.text(st.characters(codec="ascii"), max_size=20), st.text(st.characters(codec="ascii"), max_size=50)
)


@given(
    key=texts.filter(bool),
    parts=mappings,
    value=st.text(st.characters(codec="utf-8")) | st.binary(),
    created=st.datetimes(timezones=st.just(UTC)),
    expires=st.none() | st.just(START),
)
def test_a_record_comes_back_as_it_was(
    key: str, parts: dict[str, str], value: str | bytes, created: datetime, expires: datetime | None
) -> None:
    size = len(value.encode() if isinstance(value, str) else value)
    made = record(key=stored_key(key), parts=parts, value=value, size=size, created=created, expires=expires)
    assert opened(seal_record(made, RING), record_path(key)) == made


def test_times_are_written_in_utc() -> None:
    made = record(created=datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9))))
    assert b'"created":"2026-01-01T00:00:00.000000Z"' in seal_record(made, RING)


# --- keys and places ----------------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=3000))
def test_the_place_of_a_key_follows_from_the_key_as_it_is_kept(key: str) -> None:
    assert record(key=stored_key(key)).path == record_path(key)
    assert len(stored_key(key).encode()) <= 1024


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_keys_have_two_places(one: str, other: str) -> None:
    assert (record_path(one) == record_path(other)) == (one == other)


@pytest.mark.parametrize("key", ["../../etc/passwd", "a/b", "\x00", "x" * 100_000, "Ä", "CON", ".", "\ud800", "a\nb"])
def test_any_string_can_be_a_key_and_chooses_no_path(key: str) -> None:
    kept = Kept()
    kept.write(key, "value")
    assert kept.store.fetch(key).value == "value"
    assert all(path.startswith("records/") and ".." not in path for path in kept.paths())


def test_a_key_that_looks_like_a_hashed_one_is_not_taken_for_it() -> None:
    long = "x" * 5000
    assert stored_key(long).startswith("sha256:")
    assert record_path(stored_key(long)) != record_path(long)


@pytest.mark.parametrize("key", ["", None, 3, b"key"])
def test_what_is_no_key_is_refused(key: object) -> None:
    with pytest.raises(CacheKeyError, match="is no cache key"):
        record_path(key)  # type: ignore[arg-type]


@pytest.mark.parametrize("extension", ["", ".json", "../x", "JSON", "a/b", "a..b", "x" * 17, "json\n", "a.b.c.d.e"])
def test_an_extension_that_could_lead_elsewhere_is_refused(extension: str) -> None:
    with pytest.raises(SerializationError, match="no file extension"):
        payload_path(DIGEST, extension)


# --- bounds -------------------------------------------------------------------------------------------------------


def test_long_parts_are_kept_as_hashes_that_still_tell_them_apart() -> None:
    made = [
        opened(seal_record(record(parts={"a": text}), RING), record().path).parts["a"]
        for text in ("x" * 5000, "x" * 5001)
    ]
    assert made[0] != made[1]
    assert all(text.startswith("sha256:") for text in made)


def test_very_many_parts_are_bounded_and_still_tell_records_apart() -> None:
    many = {f"part {index:05}": "1" for index in range(5000)}
    first = opened(seal_record(record(parts=many), RING), record().path).parts
    second = opened(seal_record(record(parts={**many, "part 04999": "2"}), RING), record().path).parts
    assert len(first) == 1000
    assert first != second


def test_parts_that_are_no_unicode_text_can_be_written() -> None:
    parts = opened(seal_record(record(parts={"\ud800": "\udfff"}), RING), record().path).parts
    assert all(text.startswith("sha256:") for item in parts.items() for text in item)


def test_a_record_that_would_be_too_large_is_refused_before_anything_is_written() -> None:
    with pytest.raises(SerializationError, match="inline_limit"):
        seal_record(record(value="x" * (MAX_RECORD_SIZE + 1)), RING)


def test_more_bytes_than_a_record_may_have_are_not_even_parsed() -> None:
    data = seal_record(record(), RING)
    with pytest.raises(IntegrityError, match="too large"):
        opened(data[:-1] + b" " * MAX_RECORD_SIZE, record().path)


# --- refused ------------------------------------------------------------------------------------------------------


def test_a_record_in_another_place_is_refused() -> None:
    with pytest.raises(IntegrityError, match="altered, moved or swapped"):
        opened(seal_record(record(), RING), record_path("another-key"))


def test_a_record_signed_for_a_place_that_is_not_that_of_its_key_is_refused() -> None:
    line = seal_record(record(), RING).split(b"\n")[0]
    with pytest.raises(IntegrityError, match="another key"):
        opened(signed(line, record_path("another-key")), record_path("another-key"))


def test_a_record_under_a_key_that_the_ring_lacks_is_not_called_damaged() -> None:
    other = Keyring.generate()
    with pytest.raises(UnknownKeyError) as caught:
        opened(seal_record(record(), other), record().path)
    assert caught.value.key_id == other.primary("result").id


def test_a_newer_format_is_named() -> None:
    path = record().path
    with pytest.raises(UnknownNameError, match=r"entrepot-result/4.*newer Entrepot"):
        opened(signed({"format": "entrepot-result/4", "anything": 1}, path), path)


FIELDS = json.loads(seal_record(record(), RING).split(b"\n")[0])
NO = object()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", 1),
        ("key", NO),
        ("parts", []),
        ("parts", {"a": 1}),
        ("task", None),
        ("run", "x"),
        ("serializer", None),
        ("size", -1),
        ("size", 1.5),
        ("size", True),
        ("size", "7"),
        ("digest", "sha256:" + "0" * 64),
        ("digest", DIGEST.upper()),
        ("digest", DIGEST + "0"),
        ("created", "yesterday"),
        ("created", "2026-01-01T00:00:00"),
        ("created", None),
        ("expires", 0),
        ("expires", "2026-01-01"),
        ("value", None),
        ("value", 1),
        ("value", NO),
        ("more", 1),
    ],
)
def test_a_malformed_field_is_refused_even_if_signed(field: str, value: object) -> None:
    fields = {name: old for name, old in {**FIELDS, field: value}.items() if old is not NO}
    path = record().path
    with pytest.raises(IntegrityError, match="no result record of this place"):
        opened(signed(fields, path), path)


@pytest.mark.parametrize(
    "payload",
    [
        "payloads/ab/" + "ab" * 32,
        "payloads/ab/" + "cd" * 32 + ".json",
        "payloads/cd/" + "ab" * 32 + ".json",
        "payloads/ab/" + "ab" * 32 + "./../x",
        "../payloads/ab/" + "ab" * 32 + ".json",
        "/etc/passwd",
        "records/ab/" + "ab" * 32 + ".json",
        "",
        None,
    ],
)
def test_a_record_cannot_point_anywhere_but_at_the_payload_of_its_digest(payload: object) -> None:
    fields = {name: old for name, old in FIELDS.items() if name != "value"} | {"payload": payload}
    path = record().path
    with pytest.raises(IntegrityError):
        opened(signed(fields, path), path)


@pytest.mark.parametrize("line", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_a_signed_line_that_is_no_record_is_refused(line: bytes) -> None:
    path = record().path
    with pytest.raises((IntegrityError, UnknownNameError)):
        opened(signed(line, path), path)


def test_base64_of_another_length_than_stated_is_refused() -> None:
    fields = {name: old for name, old in FIELDS.items() if name != "value"} | {"value64": "AAAA"}
    path = record().path
    with pytest.raises(IntegrityError):
        opened(signed(fields, path), path)
