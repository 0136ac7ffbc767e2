"""The first half of the list: what shows a block, or an error about it, in the process that uses it."""

import asyncio
import copy
import gc
import inspect
import io
import json
import logging
import os
import pickle
import pprint
import pydoc
import socket
import subprocess
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from multiprocessing.spawn import get_preparation_data
from typing import Any
from unittest import mock

import cloudpickle
import fsspec
import yaml
from pydantic import BaseModel, Field, SecretStr, TypeAdapter, ValidationError, field_validator
from pydantic_core import PydanticSerializationError
from rich import inspect as inspect_by_rich
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from entrepot import home
from entrepot.blocks import EmailServer, SecretReference, SqlAlchemyConnector, Webhook
from entrepot.blocks.core import Block
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.passphrase import PassphraseKeyProvider
from entrepot.crypto.providers import FileKeyProvider
from entrepot.errors import EntrepotError
from entrepot.filesystems import S3
from entrepot.hashing.values import hash_value
from entrepot.logging import mask_record
from entrepot_test_sinks import Scene, Shown, Treasury, sink

__all__: list[str] = []

# --- prints -----------------------------------------------------------------------------------------------------------


@sink("repr, str, format, f-strings")
def _text(scene: Scene) -> Iterator[Shown]:
    block = scene.block
    yield f"{block!r} {block!s} {block} {block=} {block.plain=} {block.listed}"
    yield "%r %s" % (block, block)  # noqa: UP031  another way through the same door
    yield "{0.plain} {0!r}".format(block)  # noqa: UP032  the same


@sink("vars, dict, list, pprint, __getstate__")
def _vars(scene: Scene) -> Iterator[Shown]:
    block = scene.block
    yield repr([vars(block), dict(block), list(block), block.__getstate__(), block.__repr_args__()])
    yield pprint.pformat(vars(block))
    yield repr(block.__pydantic_private__)


@sink("rich: print, pretty, inspect")
def _rich(scene: Scene) -> Iterator[Shown]:
    console = Console(record=True, width=300, file=io.StringIO())
    console.print(scene.block, vars(scene.block))
    with warnings.catch_warnings():  # it reads what pydantic would rather have read from the class
        warnings.simplefilter("ignore", DeprecationWarning)
        inspect_by_rich(scene.block, console=console, private=True)
    yield pretty_repr(scene.block)
    yield console.export_html(clear=False)
    yield console.export_text()


@sink("copies: copy, deepcopy, model_copy, model_construct")
def _copies(scene: Scene) -> Iterator[Shown]:
    block = scene.block
    yield repr([copy.copy(block), copy.deepcopy(block), block.model_copy(deep=True)])
    secret, label = scene.text("plain"), scene.label
    made = Treasury.model_construct(label=label, plain=secret, listed=[secret], mapped={"a": secret}, extra=secret)
    yield repr(made) + made.model_dump_json()
    yield repr(block.model_copy(update={"listed": [secret], "optional": secret, "couple": (secret, b"")}))


@sink("plain texts put into lists and dicts of secrets afterwards")
def _appended(scene: Scene) -> Iterator[Shown]:
    block = copy.deepcopy(scene.block)
    block.listed.append(scene.text("plain"))  # type: ignore[arg-type]
    block.mapped["b"] = scene.text("awkward")  # type: ignore[assignment]
    yield repr(block) + pretty_repr(block)
    yield _told(block.model_dump_json, of=(PydanticSerializationError,))
    yield pickle.dumps(block) + scene.label.encode()


# --- other forms ------------------------------------------------------------------------------------------------------


@sink("model_dump, model_dump_json, TypeAdapter.dump_json")
def _dumps(scene: Scene) -> Iterator[Shown]:
    block = scene.block
    for options in ({}, {"round_trip": True}, {"serialize_as_any": True}, {"exclude_unset": True}, {"indent": 1}):
        yield block.model_dump_json(**options)  # type: ignore[arg-type]
    yield repr(block.model_dump()) + json.dumps(block.model_dump(mode="json"))
    yield TypeAdapter(list[Treasury]).dump_json([block])


@sink("JSON by default=str, default=repr; YAML of a dump")
def _by_hand(scene: Scene) -> Iterator[Shown]:
    yield json.dumps({"block": scene.block}, default=str)
    yield json.dumps(scene.block.model_dump(), default=repr)
    yield yaml.safe_dump(scene.block.model_dump(mode="json"))


@sink("pickles of every protocol, cloudpickle, YAML of objects", shows="_open_pickle")
def _pickles(scene: Scene) -> Iterator[Shown]:
    block = scene.block
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.dumps([{"a": block}], protocol)
    yield cloudpickle.dumps(block)
    yield cloudpickle.dumps(lambda: block)
    yield yaml.dump(block)


@sink("what multiprocessing sends to a new process", shows="sys_path")
def _spawn(scene: Scene) -> Iterator[Shown]:
    yield repr(get_preparation_data("sinks"))
    yield bytes(ForkingPickler.dumps((print, (scene.block,))))


@sink("JSON schema: defaults, examples, both modes", shows="sinks-with-defaults")
def _schema(scene: Scene) -> Iterator[Shown]:
    cls = _with_defaults(scene)
    yield json.dumps([cls.model_json_schema(), cls.model_json_schema(mode="serialization"), "sinks-with-defaults"])
    yield json.dumps(TypeAdapter(list[cls]).json_schema())  # type: ignore[valid-type]
    yield json.dumps(scene.block.model_json_schema())


@sink("signature, help and fields of a class with default secrets", shows="class WithDefaults")
def _help(scene: Scene) -> Iterator[Shown]:
    cls = _with_defaults(scene)
    yield str(inspect.signature(cls)) + repr(cls.model_fields)
    yield pydoc.plain(pydoc.render_doc(cls))
    yield repr(cls())


def _with_defaults(scene: Scene) -> type[Block]:
    secret = scene.text("awkward")

    class WithDefaults(Block):
        _block_type_slug = "sinks-with-defaults"

        token: SecretStr = secret  # type: ignore[assignment]
        tokens: dict[str, SecretStr] = {"a": secret}  # type: ignore[dict-item]  # noqa: RUF012  pydantic copies it
        listed: list[SecretStr] = Field(default=[secret], examples=[[secret]])  # type: ignore[arg-type]
        optional: SecretStr | None = Field(default=SecretStr(secret), examples=[secret])

    return WithDefaults


@sink("cache keys and value hashes", shows="sinks-treasury")
def _keys(scene: Scene) -> Iterator[Shown]:
    yield repr(scene.block.__entrepot_key__())
    yield repr(hash_value(scene.block))


@sink("storages, database engines and open files that blocks give: prints, URLs, block:// pickles", shows="s3/sinks")
def _objects(scene: Scene) -> Iterator[Shown]:
    database = SqlAlchemyConnector(
        driver="postgresql+psycopg",
        host="localhost",
        username="me",
        password=SecretStr(scene.text("plain")),
        query={"sslpassword": SecretStr(scene.text("awkward")), "sslmode": "require"},
    )
    engine = database.engine()
    yield f"{engine!r} {engine.url} {engine.url!r} {vars(engine)}"
    storage = S3.load("sinks").as_storage()
    yield f"{storage!r} {vars(storage)} {storage.location}"
    opened = fsspec.open("block://s3/sinks/x")
    yield f"{opened!r} {opened.fs!r} {vars(opened.fs)} {opened.fs.to_json()} {opened.full_name}"
    yield pickle.dumps(opened) + cloudpickle.dumps(opened.fs)


# --- errors -----------------------------------------------------------------------------------------------------------


def _told(
    call: Callable[[], object],
    *,
    of: tuple[type[BaseException], ...] = (EntrepotError, ValidationError),
    with_locals: bool = True,
) -> str:
    """Return an error in all the ways in which somebody could look at it; its frames with their locals, too."""
    try:
        call()
    except of as error:
        parts = ["".join(traceback.format_exception(error))]
        parts += traceback.TracebackException.from_exception(error, capture_locals=with_locals).format()
        # What rich would draw, without the lines of source around: to colour those takes longer than all else here.
        for stack in Traceback.extract(type(error), error, error.__traceback__, show_locals=with_locals).stacks:
            parts.append(repr((stack.exc_type, stack.exc_value, stack.notes)))
            shown = [node for frame in stack.frames for node in (frame.locals or {}).values()]
            parts += [node.render(max_width=300) for node in shown]
        chain: list[BaseException | None] = [error]
        while chain and (each := chain.pop()) is not None:
            parts += [repr(each), repr(each.args), repr(vars(each)), *getattr(each, "__notes__", [])]
            frames = [frame for frame, _ in traceback.walk_tb(each.__traceback__)] if with_locals else []
            parts += [pprint.pformat(frame.f_locals) for frame in frames]
            chain += [each.__context__, each.__cause__]
        if isinstance(error, ValidationError):
            parts += [repr(error.errors()), error.json(), str(error.errors(include_input=True, include_context=True))]
        with suppress(Exception):
            parts.append(pickle.dumps(error).decode("latin-1"))
        return "\n".join(parts)
    raise AssertionError("nothing was raised")


@sink("a traceback of the program's own error, its locals, a debugger's view of them")
def _own_error(scene: Scene) -> Iterator[Shown]:
    def work(vault: Treasury) -> None:
        fields, listed = dict(vault), [vault]
        raise LookupError(f"no account for {vault!r} in {fields} and {listed}")

    yield _told(lambda: work(scene.block), of=(LookupError,))


@sink("pydantic's errors about a field beside it: text, errors(), json()", shows="label")
def _wrong_field(scene: Scene) -> Iterator[Shown]:
    of = scene.text
    yield _told(lambda: Treasury(label=5, plain=of("plain"), awkward=[of("awkward")], raw=of("short")))  # type: ignore[call-arg, arg-type]
    yield _told(lambda: Treasury(label=scene.label, misspelt=of("plain"), inner={"tokn": of("awkward")}))  # type: ignore[call-arg, arg-type]
    yield _told(lambda: Treasury.model_validate([of("plain")])) + scene.label
    yield _told(lambda: setattr(copy.deepcopy(scene.block), "plain", [of("plain")]))


@sink("errors about JSON that is broken or wrong", shows="Treasury")
def _wrong_json(scene: Scene) -> Iterator[Shown]:
    fields = {"label": scene.label, "plain": scene.text("plain"), "mapped": {"a": [scene.text("awkward")]}}
    scene.kept = json.dumps(fields)
    yield _told(lambda: Treasury.model_validate_json(scene.kept))
    yield _told(lambda: Treasury.model_validate_json(scene.kept[:-3]))
    yield _told(lambda: TypeAdapter(list[Treasury]).validate_json(f"[{scene.kept}]"), with_locals=False)


@sink("errors of a model of the program that has a block in it", shows="Payroll")
def _outer_model(scene: Scene) -> Iterator[Shown]:
    class Payroll(BaseModel):
        number: int
        vault: Treasury
        more: list[int] = []

    yield _told(lambda: Payroll(number="x", vault=scene.block, more=[scene.block]))  # type: ignore[arg-type, list-item]
    yield _told(lambda: Payroll(number="x", vault={"label": 1, "plain": scene.text("plain")}), with_locals=False)  # type: ignore[arg-type]


@sink("validators that quote what they were given", shows="Quoting")
def _validator(scene: Scene) -> Iterator[Shown]:
    class Quoting(Block):
        _block_type_slug = "sinks-quoting"

        token: SecretStr

        @field_validator("token")
        @classmethod
        def _check(cls, value: SecretStr) -> SecretStr:
            raise ValueError(f"no token: {value.get_secret_value()!r}, {value.get_secret_value().encode().hex()}")

    yield _told(lambda: Quoting(token=scene.text("awkward")))
    yield _told(lambda: Quoting.model_validate({"token": scene.text("plain")}))


@sink("errors of saving and loading, with the locals of every frame", shows="sinks-vault")
def _saving(scene: Scene) -> Iterator[Shown]:
    block = scene.block
    broken = block.model_copy(update={"anything": [SecretStr(scene.text("plain")), object()]})
    yield _told(lambda: broken.save("broken")) + "sinks-vault"
    yield _told(lambda: block.model_copy(update={"listed": ["**********", scene.text("plain")]}).save("masked"))
    yield _told(lambda: block.save("../prod"))
    yield _told(lambda: Block.load("sinks-vault/prod"))


@sink("errors of a reference whose secret is not there", shows="SINKS_NOWHERE")
def _reference(scene: Scene) -> Iterator[Shown]:
    block = scene.block.model_copy(update={"referenced": "env://SINKS_NOWHERE"})
    yield _told(block.referenced.get_secret_value)  # type: ignore[union-attr]


@sink("errors of key providers and secret sources that refuse, and quote tokens as they do", shows="which refuses it")
def _services(scene: Scene) -> Iterator[Shown]:
    of = scene.text
    given = {
        "VAULT_ADDR": scene.http_url,
        "VAULT_TOKEN": of("plain"),
        "AWS_ENDPOINT_URL": scene.http_url,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "key-id",
        "AWS_SECRET_ACCESS_KEY": of("awkward"),
        "AWS_SESSION_TOKEN": of("extra"),
        "ENTREPOT_KEYRING_PASSPHRASE": f"{of('plain')} {of('extra')}",
        "ENTREPOT_HOME": str(scene.folder / "another-home"),
    }
    sealed = scene.folder / "sinks.sealed"
    with mock.patch.dict(os.environ, {"ENTREPOT_KEYRING_PASSPHRASE": "another one, of this test"}):
        PassphraseKeyProvider(FileKeyProvider(sealed)).create(Keyring.generate().to_document())
    with mock.patch.dict(os.environ, given):
        for reference in ("vault://secret/x#y", "aws-sm://x"):
            yield _told(SecretReference(reference).get_secret_value)
        clear = scene.home / "keyring.json"  # of another provider
        for provider in ("vault:x", "aws-kms:alias/x", f"passphrase:{sealed}", f"vault:x?file={clear}"):
            os.environ["ENTREPOT_KEY_PROVIDER"] = provider
            yield _told(home.ring)
            yield repr(home.key_provider()) + pprint.pformat(vars(home.key_provider()))


@sink("errors of the S3 client: keys that a real server refuses, no server", shows="s3://")
def _s3(scene: Scene) -> Iterator[Shown]:
    of = scene.text
    for url in (scene.s3_url, _closed("http")):
        keys = {"aws_access_key_id": of("plain"), "aws_secret_access_key": of("awkward")}
        block = S3(bucket_path=f"{scene.bucket}/x", endpoint_url=url, aws_session_token=of("extra"), **keys)
        block = block.model_copy(update={"addressing_style": "path", "config_kwargs": {"retries": {"max_attempts": 0}}})
        yield _told(block.check)


@sink("errors of a database: SQLAlchemy's, with the password in its URL", shows="DatabaseError")
def _database(scene: Scene) -> Iterator[Shown]:
    host = _closed("postgresql").partition("://")[2]
    block = SqlAlchemyConnector(url=f"postgresql+psycopg://me:{scene.text('plain')}@{host}/x", timeout=5)  # type: ignore[call-arg]
    yield _told(block.check)
    yield _told(lambda: block.execute("INSERT INTO x VALUES (:token)", {"token": scene.block.plain}))
    yield repr(block) + block.model_dump_json() + "DatabaseError"


@sink("errors of HTTP calls, whose URL has the credential", shows="WebhookError")
def _http(scene: Scene) -> Iterator[Shown]:
    of = scene.text
    for base in (_closed("http"), _closed("https"), "http://not a host"):
        yield (
            _told(
                lambda base=base: Webhook(  # type: ignore[misc]
                    url=f"{base}/{of('short')}?key={of('plain')}",
                    headers={"X": of("extra")},
                    signing_secret=of("anything"),
                    allow_private_urls=True,
                ).call({"a": 1})
            )
            + "WebhookError"
        )


@sink("errors of a mail server that refuses the password", shows="NotificationError")
def _mail(scene: Scene) -> Iterator[Shown]:
    block = EmailServer(
        host="localhost",
        port=scene.smtp_port,
        security="none",
        username="me",
        password=SecretStr(scene.text("password")),
        sender="a@b.test",
    )
    yield _told(block.check) + "NotificationError"


def _closed(scheme: str) -> str:
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        return f"{scheme}://127.0.0.1:{here.getsockname()[1]}"


# --- other ears -------------------------------------------------------------------------------------------------------


@sink("warnings, pydantic's about values that do not fit among them", shows="UserWarning")
def _warnings(scene: Scene) -> Iterator[Shown]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(f"{scene.block} is old", stacklevel=1)
        made = Treasury.model_construct(label=5, listed=[scene.text("plain")], either=scene.text("awkward"), nested=5)
        made.model_dump_json()
        made.model_dump()
    yield "".join(warnings.formatwarning(each.message, each.category, "", 1) for each in caught)


@sink("logging outside of runs: arguments, extra, a formatter of JSON")
def _logging(scene: Scene) -> Iterator[Shown]:
    block = scene.block
    yield from _logged(lambda logger: logger.warning("%r %s", block, [block], extra={"vault": block}))


@sink("logging with `mask_record`: the secret itself, exc_info, stack")
def _masked(scene: Scene) -> Iterator[Shown]:
    def log(logger: logging.Logger) -> None:
        logger.warning("%s %s", scene.label, scene.text("awkward"))
        try:
            raise LookupError(f"{scene.label} {scene.text('plain')}")  # noqa: TRY301  as code does
        except LookupError:
            logger.exception("%s with %r", scene.label, scene.text("awkward"), stack_info=True)

    yield from _logged(log, mask_record)


def _logged(log: Callable[[logging.Logger], None], *filters: Any) -> Iterator[str]:
    class AsJSON(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            super().format(record)
            return json.dumps(vars(record), default=str)

    for formatter in (logging.Formatter(), AsJSON()):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        for each in filters:
            handler.addFilter(each)
        logger = logging.getLogger("sinks.outside")
        logger.addHandler(handler)
        try:
            log(logger)
        finally:
            logger.removeHandler(handler)
        yield stream.getvalue()


@sink("asyncio in debug mode: handles, slow callbacks, lost errors", shows="never retrieved")
def _asyncio(scene: Scene) -> Iterator[Shown]:
    async def fail(vault: Treasury) -> None:
        raise LookupError(repr(vault))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0
        handle = loop.call_soon(repr, scene.block)
        seen.append(repr(handle))
        task = asyncio.create_task(fail(scene.block))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append(repr(task))
        del task
        gc.collect()

    seen: list[str] = []
    for text in _logged_by("asyncio", lambda: asyncio.run(main(), debug=True)):
        yield text + "".join(seen)


def _logged_by(name: str, call: Callable[[], object]) -> Iterator[str]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger(name).addHandler(handler)
    try:
        call()
    finally:
        logging.getLogger(name).removeHandler(handler)
    yield stream.getvalue()


@sink("the hooks for errors of threads and finalizers", shows="StorageUnreachable")
def _hooks(scene: Scene) -> Iterator[Shown]:
    block = S3(
        bucket_path="bucket/x",
        endpoint_url=_closed("http"),
        aws_access_key_id=SecretStr(scene.text("plain")),
        aws_secret_access_key=SecretStr(scene.text("awkward")),
        config_kwargs={"retries": {"max_attempts": 0}},
    )
    told = io.StringIO()
    with mock.patch.object(sys, "stderr", told), mock.patch.object(threading, "excepthook", threading.__excepthook__):
        thread = threading.Thread(target=block.check)
        thread.start()
        thread.join()
    yield told.getvalue()


@sink("the messages of unittest.mock", shows="sinks-mock")
def _mock(scene: Scene) -> Iterator[Shown]:
    called = mock.Mock(name="sinks-mock")
    called(scene.block, token=scene.block.plain)
    yield _told(lambda: called.assert_called_with(1), of=(AssertionError,)) + repr(called.mock_calls)


@sink("pytest: a failed comparison of blocks, with --showlocals", shows="1 failed")
def _pytest(scene: Scene) -> Iterator[Shown]:
    (scene.folder / "check_sinks.py").write_text(
        textwrap.dedent("""
        from entrepot_test_sinks import Treasury

        def test_blocks():
            block = Treasury.load("prod")
            other = Treasury.load("prod", version=1)
            fields = dict(block)
            assert block == other
        """)
    )
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-vv",
            "--showlocals",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-p",
            "no:hypothesispytest",
            "check_sinks.py",
        ],
        cwd=scene.folder,
        env=scene.variables,
        capture_output=True,
        timeout=120,
        check=False,
    )
    yield found.stdout + found.stderr
