"""Results on an S3 server (SeaweedFS): small ones by the thousand, and a large one, beside raw clients.

The raw clients send and fetch the same bytes with the same concurrency, and check nothing. obstore is measured where it
is installed.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from _measure import give, peak_rss, reset_peak_rss, rounds
from s3fs import S3FileSystem

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from servers import S3Server, start_seaweedfs

from entrepot import home
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage import FileStorage

MEGABYTES, SMALL = (int(given) for given in (*sys.argv[1:], *("256", "1000")[len(sys.argv) - 1 :]))
AT_ONCE = 16
ROUNDS = 3
FACTS: dict[str, Any] = {"parts": {"inputs": "1" * 64}, "task": {"name": "t", "key": "m.t"}, "run": {"id": "r"}}


def all_of(call: Callable[[int], object], numbers: Iterable[int]) -> None:
    """Call with each number, so many at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(call, numbers):
            pass


def obstore_of(server: S3Server, bucket: str) -> Any:
    """Return obstore's client for a bucket, or None."""
    try:
        from obstore.store import S3Store  # noqa: PLC0415  it is no dependency
    except ImportError:
        return None
    options = server.storage_options()
    return S3Store(
        bucket,
        endpoint=options["endpoint_url"],
        access_key_id=options["key"],
        secret_access_key=options["secret"],
        region="us-east-1",
        client_options={"allow_http": True},
    )


def measure(server: S3Server) -> None:
    """Measure against a server."""
    bucket = server.bucket()
    options = server.storage_options()
    storage = FileStorage.from_url(f"s3://{bucket}/entrepot", **options)
    store = ResultStore(storage, ring=home.ring())
    raw = S3FileSystem(skip_instance_cache=True, use_listings_cache=False, **options)
    other = obstore_of(server, bucket)
    pickle, json = get_serializer("pickle"), get_serializer("json")
    array = np.random.default_rng(1).random(MEGABYTES * 10**6 // 8)
    view = memoryview(array).cast("B")
    turn = iter(range(10**9))
    value = {"city": "Seattle", "rows": list(range(500))}
    store.write("small", value, serializer=json, **FACTS)
    record = bytes(storage.get(next(info.path for info in storage.list("records"))))
    fresh = [0]

    def next_turn() -> None:
        fresh[0] = next(turn)

    puts: dict[str, Callable[[], object]] = {
        "entrepot": lambda: all_of(
            lambda n: store.write(f"{fresh[0]}-{n}", value, serializer=json, **FACTS), range(SMALL)
        ),
        "s3fs": lambda: all_of(lambda n: raw.pipe_file(f"{bucket}/raw/{fresh[0]}/{n}", record), range(SMALL)),
    }
    gets: dict[str, Callable[[], object]] = {
        "entrepot": lambda: all_of(lambda n: store.fetch(f"{fresh[0]}-{n}"), range(SMALL)),
        "s3fs": lambda: all_of(lambda n: raw.cat_file(f"{bucket}/raw/kept/{n}"), range(SMALL)),
    }
    large_puts: dict[str, Callable[[], object]] = {
        "entrepot": lambda: store.write("large", array, serializer=pickle, replace=True, **FACTS),
        "s3fs": lambda: raw.pipe_file(f"{bucket}/raw/large", bytes(view), chunksize=8 << 20, max_concurrency=4),
    }
    large_gets: dict[str, Callable[[], object]] = {
        "entrepot": lambda: store.fetch("large"),
        "s3fs": lambda: raw.cat_file(f"{bucket}/raw/large"),
    }
    if other is not None:
        puts["obstore"] = lambda: all_of(lambda n: other.put(f"ob/{fresh[0]}/{n}", record), range(SMALL))
        gets["obstore"] = lambda: all_of(lambda n: other.get(f"ob/kept/{n}").bytes(), range(SMALL))
        large_puts["obstore"] = lambda: other.put("ob/large", view, chunk_size=8 << 20, max_concurrency=4)
        large_gets["obstore"] = lambda: other.get("ob/large").bytes()

    def clean_large() -> None:
        for info in storage.list("payloads"):
            storage.delete(info.path)

    written = rounds(puts, count=ROUNDS, prepare=next_turn)
    fresh[0] = next(turn)
    puts["entrepot"]()
    all_of(lambda n: raw.pipe_file(f"{bucket}/raw/kept/{n}", record), range(SMALL))
    if other is not None:
        all_of(lambda n: other.put(f"ob/kept/{n}", record), range(SMALL))
    read = rounds(gets, count=ROUNDS)
    sent = rounds(large_puts, count=ROUNDS, prepare=clean_large)
    clean_large()
    before = reset_peak_rss()
    store.write("large", array, serializer=pickle, replace=True, **FACTS)
    put_peak = peak_rss() - before
    fetched = rounds(large_gets, count=ROUNDS)
    before = reset_peak_rss()
    back = store.fetch("large").value
    get_peak = peak_rss() - before - array.nbytes
    if not np.array_equal(back, array):  # type: ignore[arg-type]
        raise RuntimeError("the array came back changed")
    give(
        megabytes=MEGABYTES,
        small=SMALL,
        **{f"put_{name}": seconds for name, seconds in written.items()},
        **{f"get_{name}": seconds for name, seconds in read.items()},
        **{f"large_put_{name}": seconds for name, seconds in sent.items()},
        **{f"large_get_{name}": seconds for name, seconds in fetched.items()},
        put_peak_mb=put_peak / 1e6,
        get_peak_mb=get_peak / 1e6,
    )


def main() -> None:
    """Start a server, measure, and give the figures."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    folder = Path(tempfile.mkdtemp(prefix="entrepot-bench-"))
    try:
        server = start_seaweedfs(folder)
        try:
            measure(server)
        finally:
            server.process.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
