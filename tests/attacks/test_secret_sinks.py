"""Secrets in every container of a block, hunted through all the places where they could come to light.

The list itself is in `entrepot_test_sinks_here` (a process that uses the block) and `entrepot_test_sinks_left` (what a
program leaves, and what the command line says of it); docs/secrets.md has it as a table.
"""

import base64
import gzip
import html
import io
import json
import os
import pickle
import re
import secrets
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import zstandard
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from servers import S3Server, free_ports

import entrepot_test_sinks_here  # noqa: F401  its sinks are on the list then
import entrepot_test_sinks_left  # noqa: F401  as above
from entrepot.blocks.fields import secret_texts
from entrepot_test_sinks import LATE, REFERENCE, SINKS, Hunt, Scene, Sink, Treasury, plants, treasury

pytestmark = pytest.mark.one_python

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "secrets.md"


# --- what is looked at ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A program that used the block, and all that it left; see `sinks_program.py`."""
    scene = Scene()
    scene.planted = plants()
    scene.label = f"visible-{secrets.token_hex(8)}"
    scene.folder = tmp_path_factory.mktemp("sinks")
    scene.home = scene.folder / "home"
    scene.s3_url, scene.bucket = s3_server.endpoint_url, s3_server.bucket()
    scene.mails, scene.calls = [], []
    with _mail_server(scene) as scene.smtp_port, _http_server(scene) as scene.http_url:
        _run_program(scene, s3_server)
        ring = json.loads((scene.home / "keyring.json").read_bytes())
        scene.keys = {f"the key {key['id']}": base64.b64decode(key["material"]["raw"]) for key in ring["keys"]}
        scene.keys["the key of the S3 server"] = s3_server.secret_key
        assert len(scene.keys) == 3
        client = s3_server.client()
        listed = client.list_objects_v2(Bucket=scene.bucket).get("Contents", [])
        scene.objects = {
            each["Key"]: client.get_object(Bucket=scene.bucket, Key=each["Key"])["Body"].read() for each in listed
        }
        yield scene


def _run_program(scene: Scene, server: S3Server) -> None:
    of = scene.planted
    for name in ("evidence", "tmp"):
        (scene.folder / name).mkdir()
    path = [HERE / "sinks_probe", HERE.parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    scene.variables = {name: value for name, value in os.environ.items() if not name.startswith("ENTREPOT_")} | {
        "ENTREPOT_HOME": str(scene.home),
        "ENTREPOT_LOGGING_LEVEL": "DEBUG",
        "ENTREPOT_LOGGING_EXTRA_LOGGERS": (
            "aiobotocore,apprise,asyncio,boto3,botocore,fsspec,mail,py.warnings,s3fs,sqlalchemy,urllib3"
        ),
        "ENTREPOT_RESULTS_COMPRESS": "always",
        "HOME": str(scene.folder),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "SINKS_EVIDENCE": str(scene.folder / "evidence"),
        "TMPDIR": str(scene.folder / "tmp"),
        REFERENCE: scene.text("reference"),
        LATE: scene.text("late"),
    }
    told = {
        "texts": {name: secret for name, secret in of.items() if isinstance(secret, str)},
        "bytes": {name: secret.hex() for name, secret in of.items() if isinstance(secret, bytes)},
        "label": scene.label,
        "hook": scene.http_url,
        "smtp": scene.smtp_port,
        "s3": server.endpoint_url,
        "key": server.access_key,
        "secret": server.secret_key,
        "bucket": scene.bucket,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "sinks_program.py")],
        input=json.dumps(told).encode(),
        cwd=scene.folder,
        env=scene.variables,
        capture_output=True,
        timeout=240,
        check=False,
    )
    scene.out, scene.err = done.stdout, done.stderr
    # It ends with the error of a server that is not there; any other end would mean that it did not come so far.
    assert done.stderr.rstrip().splitlines()[-1].startswith(b"entrepot.errors.StorageUnreachableError"), done.stderr


class _Mailbox:
    def __init__(self, mails: list[bytes]) -> None:
        self._mails = mails

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        self._mails.append(envelope.content)
        return "250 kept"


@contextmanager
def _mail_server(scene: Scene) -> Iterator[int]:
    """A mail server that knows one password; its port."""

    def authenticator(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and data.password.decode() == scene.text("plain")
        return AuthResult(success=right, handled=False)

    mailbox = _Mailbox(scene.mails)
    for attempt in range(5):  # another process may take a port before the server does
        (port,) = free_ports(1)
        server = Controller(mailbox, "localhost", port, authenticator=authenticator, auth_require_tls=False)
        try:
            server.start()
            break
        except OSError:
            if attempt == 4:
                raise
    try:
        yield port
    finally:
        server.stop()


@contextmanager
def _http_server(scene: Scene) -> Iterator[str]:
    """A server that takes calls of webhooks, and refuses those of Vault and AWS with the credentials in the answer."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.startswith("/v1/") or "X-Amz-Target" in self.headers:
                said = f"no access with {self.headers}"
                body = json.dumps({"__type": "AccessDeniedException", "message": said, "errors": [said]}).encode()
                self.send_response(403)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            scene.calls.append((self.path, dict(self.headers), body))
            self.send_response(200)
            self.end_headers()

        do_GET = do_POST = do_PUT = answer  # noqa: N815  http.server's names

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


# --- the list ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", SINKS, ids=lambda each: each.name)
def test_no_secret_comes_to_light_in(each: Sink, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in scene.variables.items():
        if name.startswith("ENTREPOT_HOME") or name in {REFERENCE, LATE}:
            monkeypatch.setenv(name, value)
    scene.block = treasury(scene.planted, scene.label)
    shown = list(each.look(scene))
    hunt = Hunt({**scene.planted, **scene.keys})
    found = [one for some in shown for one in hunt(some)]
    assert found == []
    marked = Hunt({"what is meant to be seen": scene.label if each.shows == "label" else each.shows})
    assert any(marked(some) for some in shown), "the hunt looked in the wrong place"


def test_there_are_at_least_forty_and_the_page_lists_them_all() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert [(int(number), name) for number, name, _ in rows] == [
        (number, each.name) for number, each in enumerate(SINKS, 1)
    ]
    assert len(SINKS) >= 40
    assert len({each.name for each in SINKS}) == len(SINKS)
    assert all(how.strip() for _, _, how in rows)


# --- the hunt finds what is there -------------------------------------------------------------------------------------


def _as_text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", data)
    return file.getvalue()


_TEXT_FORMS: dict[str, Callable[[str], str | bytes]] = {
    "as it is": str,
    "repr": repr,
    "ascii": ascii,
    "JSON": json.dumps,
    "JSON with letters": lambda text: json.dumps(text, ensure_ascii=False),
    "HTML": html.escape,
    "quoted": lambda text: quote(text, safe=""),
    "quoted for a query": quote_plus,
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, the other way": lambda text: text.encode("utf-16-be"),
    "backwards": lambda text: text[::-1],
}
_BYTE_FORMS: dict[str, Callable[[bytes], str | bytes]] = {
    "bytes": bytes,
    "repr of bytes": repr,
    "hex": bytes.hex,
    "HEX": lambda data: data.hex().upper(),
    **{f"base64 after {n}": lambda data, n=n: base64.b64encode(b"user:"[:n] + data + b"!") for n in range(4)},
    **{f"base64 for URLs after {n}": lambda data, n=n: base64.urlsafe_b64encode(b"u:"[:n] + data) for n in range(3)},
    "zlib": zlib.compress,
    "zlib, hard": lambda data: zlib.compress(data, 9),
    "gzip": gzip.compress,
    "gzip in gzip": lambda data: gzip.compress(b"x" + gzip.compress(data) + b"y"),
    "zstandard": lambda data: zstandard.ZstdCompressor().compress(data),
    "zip": _zipped,
    **{f"pickle {n}": lambda data, n=n: pickle.dumps({"a": data}, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    **{f"pickle {n} of text": lambda data, n=n: pickle.dumps(_as_text(data), n) for n in range(6)},
}


@pytest.mark.parametrize("shape", ["plain", "short", "awkward", "raw"])
def test_the_hunt_finds_a_secret_of_every_shape_in_every_form(shape: str) -> None:
    secret = plants()[shape]
    hunt = Hunt({shape: secret})
    data = secret if isinstance(secret, bytes) else secret.encode()
    forms = {name: form(data) for name, form in _BYTE_FORMS.items()}
    if isinstance(secret, str):
        forms |= {name: form(secret) for name, form in _TEXT_FORMS.items()}
    for name, form in forms.items():
        around = (b"\0" * 1000, b"\x78\x9c") if isinstance(form, bytes) else ("<", ">")
        assert hunt(around[0] + form + around[1]), name  # type: ignore[operator]


def test_the_hunt_looks_into_files_and_at_their_names(tmp_path: Path) -> None:
    hunt = Hunt({"it": "hushhush"})
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert hunt(tmp_path) == []
    (tmp_path / "a" / "b" / "c.gz").write_bytes(gzip.compress(b"x hushhush"))
    (tmp_path / "hushhush.txt").touch()
    assert len(hunt(tmp_path)) == 2


def test_the_hunt_finds_nothing_where_there_is_nothing() -> None:
    planted = plants()
    other = json.dumps({name: str(secret) for name, secret in plants().items()})
    assert Hunt(planted)(other + base64.b64encode(os.urandom(100_000)).decode()) == []


def test_every_secret_that_is_hunted_in_the_block_is_in_it() -> None:
    planted = plants()
    block = treasury(planted, "x")
    held = "\n".join([*secret_texts(Treasury, block), block._session.get_secret_value()])
    missing = [name for name, secret in planted.items() if not Hunt({name: secret})(held)]
    assert missing == ["reference", "late", "password"], "references are not looked up, the last is for a mail server"


def test_the_probe_keeps_what_is_written_and_removed(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    source = (
        "import os, subprocess, sys, tempfile\n"
        "open('a', 'w').write('first hushhush'); open('a', 'w').write('second'); os.remove('a')\n"
        "folder = tempfile.TemporaryDirectory(dir='.')\n"
        "open(folder.name + '/b', 'w').write('third'); folder.cleanup()\n"
        "subprocess.run([sys.executable, '-c', '', 'argument'], env={**os.environ, 'SINK': 'fourth'})\n"
    )
    path = os.pathsep.join([str(HERE / "sinks_probe"), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "PYTHONPATH": path, "SINKS_EVIDENCE": str(tmp_path / "evidence")}
    subprocess.run([sys.executable, "-c", source], cwd=tmp_path, env=variables, check=True, timeout=120)
    for seen in ("hushhush", "second", "third", "fourth", "argument"):
        assert Hunt({"it": seen})(tmp_path / "evidence"), seen
