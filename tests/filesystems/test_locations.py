"""What a bucket path, a folder and the address of a server may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.filesystems._locations import check_endpoint, check_folder, split_bucket_path


def path_of(value: str) -> str:
    return split_bucket_path(value, schemes=("s3", "s3a"), example="my-bucket/results")


@pytest.mark.parametrize(
    ("given_as", "is_path"),
    [
        ("my-bucket", "my-bucket"),
        ("my-bucket/", "my-bucket"),
        ("/my-bucket/results/", "my-bucket/results"),
        ("s3://my-bucket/results", "my-bucket/results"),
        ("S3A://My.Bucket_1/a b/\u00e4", "My.Bucket_1/a b/\u00e4"),
        (" my-bucket/results\n", "my-bucket/results"),
        ("$root/x", "$root/x"),
        ("arn:aws:s3:us-west-2:123456789012:accesspoint/name", "arn:aws:s3:us-west-2:123456789012:accesspoint/name"),
    ],
)
def test_a_bucket_path_loses_scheme_and_outer_slashes(given_as: str, is_path: str) -> None:
    assert path_of(given_as) == is_path
    assert path_of(is_path) == is_path


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "name of a bucket"),
        ("/", "name of a bucket"),
        ("s3://", "name of a bucket"),
        ("..", "name of a bucket"),
        ("../other", "name of a bucket"),
        ("b\0ucket", "name of a bucket"),
        ("my bucket/x", "name of a bucket"),
        ("b\u0430cket", "name of a bucket"),
        ("x" * 300, "name of a bucket"),
        ("my-bucket/../other", "'..' component"),
        ("my-bucket/a/./b", "'..' component"),
        ("my-bucket/a//b", "empty component"),
        ("my-bucket/a\\b", "backslash"),
        ("my-bucket/a\nb", "control character"),
        ("my-bucket/a?versionId=1", "'?' or '#'"),
        ("my-bucket/a#b", "'?' or '#'"),
        ("gs://my-bucket", "its scheme is not s3://"),
        ("https://my-bucket.s3.amazonaws.com/x", "its scheme is not s3://"),
        ("s3://AKIAKEY:HUSHHUSH@my-bucket/x", "credentials in it"),
        ("AKIAKEY:HUSHHUSH@my-bucket", "credentials in it"),
    ],
)
def test_what_is_no_bucket_path_is_refused_without_being_repeated(value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        path_of(value)
    assert "HUSH" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


@given(st.text(max_size=40) | st.from_regex(r"(s3://)?[a-z./\\]{1,20}", fullmatch=True))
def test_any_text_is_a_bucket_path_that_stays_inside_or_a_value_error(value: str) -> None:
    try:
        found = path_of(value)
    except ValueError:
        return
    parts = found.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert "\\" not in found
    assert path_of(found) == found


def test_a_folder_may_be_empty() -> None:
    assert check_folder("") == ""
    assert check_folder("a/b c/\u00e4") == "a/b c/\u00e4"


@pytest.mark.parametrize(
    "value", ["https://s3.example.test", "http://127.0.0.1:9000", "http://[::1]:9000/", "https://h/base"]
)
def test_the_address_of_a_server_loses_a_slash_at_the_end(value: str) -> None:
    assert check_endpoint(value) == value.rstrip("/")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "no address of a server"),
        ("s3.example.test", "no address of a server"),
        ("s3.example.test:9000", "no address of a server"),
        ("ftp://s3.example.test", "no address of a server"),
        ("http://", "no address of a server"),
        ("http://host:99999", "no address of a server"),
        ("http://host\n/x", "no address of a server"),
        ("http://key:HUSHHUSH@host", "credentials"),
        ("http://host?token=HUSHHUSH", "query"),
        ("http://host#HUSHHUSH", "fragment"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused_without_being_repeated(value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        check_endpoint(value)
    assert "HUSH" not in str(caught.value)


def test_no_address_means_the_usual_one() -> None:
    assert check_endpoint(None) is None
