"""The second half of the list: what a program that uses a block leaves, and what the command line says of it."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from email import message_from_bytes, policy
from pathlib import Path

from typer.testing import CliRunner

from entrepot._secrets import forget_secrets
from entrepot.cli.app import app
from entrepot.plugins import BLOCKS
from entrepot_test_sinks import Scene, Shown, Treasury, sink
from entrepot_test_terminals import terminals

__all__: list[str] = []

# --- what the program said --------------------------------------------------------------------------------------------


@sink("standard output of a program, with log_prints")
def _out(scene: Scene) -> Iterator[Shown]:
    yield scene.out


@sink("standard error: the log in the terminal, and the traceback that ends a program")
def _err(scene: Scene) -> Iterator[Shown]:
    yield scene.err


@sink("handlers of the root logger: lines of runs, child loggers and attached libraries at level DEBUG")
def _root(scene: Scene) -> Iterator[Shown]:
    yield scene.folder / "app.log"


@sink("lines of boto, s3fs, SQLAlchemy and warnings in the logs of runs", shows="botocore")
def _libraries(scene: Scene) -> Iterator[Shown]:
    lines = _rows(scene.home / "runs.db", "logs")
    for library in ("botocore", "s3fs", "sqlalchemy", "py.warnings", "sinks.child"):
        assert library in lines, f"{library} said nothing"
    yield lines


@sink("what `faulthandler` writes of a crash")
def _crash(scene: Scene) -> Iterator[Shown]:
    yield scene.folder / "crash.log"


# --- what it left -----------------------------------------------------------------------------------------------------


@sink("rows of the run history: states, messages, names, parameters, artifacts")
def _history(scene: Scene) -> Iterator[Shown]:
    yield _rows(scene.home / "runs.db")


@sink("pages of the databases, free ones and logs of changes too, at work and afterwards")
def _pages(scene: Scene) -> Iterator[Shown]:
    found = [path for home in (scene.home, scene.folder / "home-at-work") for path in home.rglob("*.db*")]
    assert any(path.name.endswith("-wal") for path in found)
    assert {path.name for path in found} >= {"runs.db", "state.db"}
    yield from found


def _rows(path: Path, table: str = "") -> str:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        return "\n".join(line for line in database.iterdump() if table in line[:40])


@sink("results in a folder: records, parts of keys, blocks that were returned, their prints and dumps, compressed")
def _results(scene: Scene) -> Iterator[Shown]:
    yield from _files(scene.home / "results")


@sink("objects in a bucket: results and block documents")
def _bucket(scene: Scene) -> Iterator[Shown]:
    assert any("sinks-treasury" in name for name in scene.objects), "no block is there"
    for name, data in scene.objects.items():
        yield name
        yield data


@sink("block documents in a folder, all versions", shows="sinks-treasury")
def _documents(scene: Scene) -> Iterator[Shown]:
    yield from _files(scene.home / "blocks")


@sink("an export of the keyring: neither the keys nor anything else", shows="entrepot-keyring")
def _keyring(scene: Scene) -> Iterator[Shown]:
    (scene.folder / "passphrase").write_text("a passphrase of this test\n")
    yield _said("keys", "export", "keys.sealed", "--passphrase-file", "passphrase", folder=scene.folder)
    yield scene.folder / "keys.sealed"


@sink("what resuming a flow run needs: its parameters, which have the block and a bare secret", shows="snapshots")
def _snapshots(scene: Scene) -> Iterator[Shown]:
    for home in (scene.home, scene.folder / "home-at-work"):
        yield "snapshots"
        yield from _files(home / "snapshots")


@sink("sources of functions, marks, locks and all else in the home")
def _home(scene: Scene) -> Iterator[Shown]:
    assert _files(scene.home / "sources")
    assert _files(scene.home / "seen")
    for home in (scene.home, scene.folder / "home-at-work"):
        yield from (path for path in _files(home) if path.name != "keyring.json")  # that has the keys; it is 0600


@sink("temporary files, and every file that was written and removed or written over")
def _temporary(scene: Scene) -> Iterator[Shown]:
    removed = [path for path in _files(scene.folder / "evidence") if path.name.startswith("file-")]
    removed = [
        path for path in removed if ".keyring.json" not in path.name
    ]  # that has the keys; it is 0600 from the start
    assert any("sinks-" in path.name for path in removed), "the program's own temporary file was not seen"
    yield from removed
    yield scene.folder / "tmp"


@sink("command lines of the processes that it started, as the process list has them", shows="sinks_program.py")
def _command_lines(scene: Scene) -> Iterator[Shown]:
    found = [path for path in _files(scene.folder / "evidence") if path.name.startswith(("cmdline-", "started-"))]
    assert len(found) >= 4, "workers and a child of its own"
    yield from (_without_reference(path, scene) for path in found)


@sink("environments of these processes", shows="SINKS_EVIDENCE")
def _environments(scene: Scene) -> Iterator[Shown]:
    found = [path for path in _files(scene.folder / "evidence") if path.name.startswith("environ-")]
    assert len(found) >= 3
    yield from (_without_reference(path, scene) for path in found)


def _without_reference(path: Path, scene: Scene) -> bytes:
    """Return a file but for the variables that are referred to: that is where their owner keeps the secrets."""
    return path.read_bytes().replace(scene.text("reference").encode(), b"").replace(scene.text("late").encode(), b"")


def _files(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return found


# --- where it went ----------------------------------------------------------------------------------------------------


@sink("mail about a failed run")
def _mail(scene: Scene) -> Iterator[Shown]:
    for mail in scene.mails:
        message = message_from_bytes(mail, policy=policy.default)
        yield mail
        yield f"{message.items()} {message.get_body().get_content()}"  # type: ignore[union-attr]


@sink("bodies of webhooks about a failed run")
def _webhook(scene: Scene) -> Iterator[Shown]:
    for _, _, body in scene.calls:
        yield body


@sink("headers of HTTP calls but for those that carry the credential", shows="User-Agent")
def _headers(scene: Scene) -> Iterator[Shown]:
    for _, headers, _ in scene.calls:
        yield repr({name: value for name, value in headers.items() if name != "X-Token"})


# --- what the command line says ---------------------------------------------------------------------------------------


def _said(*args: str, stdin: str = "", exit_code: int | None = 0, folder: Path | None = None) -> str:
    """Return what a command prints in a process that knows no secret yet."""
    forget_secrets()
    with chdir(folder or Path.cwd()):
        found = CliRunner().invoke(app, list(args), input=stdin, prog_name="entrepot")
    assert exit_code is None or found.exit_code == exit_code, (args, found.stdout, found.stderr)
    return found.stdout + found.stderr


def _run(scene: Scene) -> str:
    return f"sinks-{scene.label}"


@sink("`entrepot runs`: list, states, parameters, JSON")
def _runs(scene: Scene) -> Iterator[Shown]:
    yield _said("runs", "--kind", "all", "--limit", "100") + _said("runs", "--kind", "all", "--json")
    yield _said("runs", "show", _run(scene)) + _said("runs", "show", _run(scene), "--json")


@sink("`entrepot runs logs`")
def _logs(scene: Scene) -> Iterator[Shown]:
    yield _said("runs", "logs", _run(scene)) + _said("runs", "logs", _run(scene), "--json")


@sink("`entrepot runs graph`: the picture", shows="<svg")
def _graph(scene: Scene) -> Iterator[Shown]:
    yield _said("runs", "graph", _run(scene), "-o", "-")


@sink("`entrepot artifact`: notes, tables, links")
def _artifacts(scene: Scene) -> Iterator[Shown]:
    yield _said("artifact", "ls") + _said("artifact", "ls", "--json")
    for key in ("sinks-note", "sinks-table", "sinks-link"):
        yield _said("artifact", "show", key) + _said("artifact", "show", key, "--json")


@sink("`entrepot cache explain` and `why`: which part of which input differs, sources as diffs", shows="vault")
def _explanations(scene: Scene) -> Iterator[Shown]:
    Treasury.load("prod", version=1)
    for task in ("use", "give_model", "take_bare"):
        yield _said("cache", "explain", task, exit_code=None) + _said(
            "cache", "explain", task, "--json", exit_code=None
        )
        yield _said("cache", "why", task, exit_code=None)
    yield _said("cache", "explain", _run(scene), "--scan")


@sink("`entrepot cache show` and `result show`: records, values, payloads")
def _values(scene: Scene) -> Iterator[Shown]:
    for task in ("use", "give_back", "give_large"):
        for options in ((), ("--json",), ("--value",), ("--payload", "-o", "payload")):
            yield _said("cache", "show", task, *options, exit_code=None, folder=scene.folder)
        yield scene.folder / "payload"
        (scene.folder / "payload").unlink()
    yield _said("cache", "ls") + _said("cache", "ls", "--json") + _said("result", "ls", "--json")


@sink("`entrepot block ls`, `show`, `types`, `where`: also without the class")
def _blocks(scene: Scene) -> Iterator[Shown]:
    yield _said("block", "ls") + _said("block", "ls", "--json") + _said("block", "types", "--json")
    for name in ("sinks-treasury/prod", "s3/sinks", "webhook/sinks", "email-server/sinks"):
        yield _said("block", "show", name) + _said("block", "show", name, "--json") + _said("block", "where", name)
    BLOCKS.forget("sinks-treasury")
    try:
        yield _said("block", "show", "sinks-treasury/prod") + _said("block", "show", "sinks-treasury/prod", "--json")
    finally:
        BLOCKS.register("sinks-treasury", Treasury)


@sink("`entrepot block history` and `diff`", shows="extra")
def _differences(scene: Scene) -> Iterator[Shown]:
    name = "sinks-treasury/prod"
    yield _said("block", "history", name) + _said("block", "history", name, "--json")
    yield _said("block", "diff", name, exit_code=None) + _said("block", "diff", name, "--json", exit_code=None)


@sink("`entrepot block export`: files for review")
def _exports(scene: Scene) -> Iterator[Shown]:
    for file in ("blocks.toml", "blocks.yaml"):
        yield _said("block", "export", file, exit_code=None, folder=scene.folder)
        yield scene.folder / file


@sink("`entrepot block doctor` and `migrate`", shows="sinks-treasury/prod")
def _doctor(scene: Scene) -> Iterator[Shown]:
    for args in (("doctor",), ("doctor", "--json"), ("migrate", "--all", "--dry-run")):
        yield _said("block", *args, exit_code=None)


@sink(
    "`entrepot block check` and `entrepot check`: a connection that is tried, references that are looked up",
    shows="s3/sinks",
)
def _checks(scene: Scene) -> Iterator[Shown]:
    for name in ("s3/sinks", "webhook/sinks", "email-server/sinks"):
        yield _said("block", "check", name, exit_code=None) + _said("block", "check", name, "--json", exit_code=None)
    (scene.folder / "named.py").write_text("from entrepot_test_sinks import Treasury\nvault = Treasury.load('prod')\n")
    yield _said("check", "named.py", exit_code=None, folder=scene.folder)
    yield _said("check", "named.py", "--json", exit_code=None, folder=scene.folder)


@sink("secrets given on a command line or on stdin: refused there, taken here", shows="--secret-from-stdin")
def _given(scene: Scene) -> Iterator[Shown]:
    of = scene.text
    for text in ("plain", "awkward"):
        yield _said("block", "create", "secret", "refused", "--field", f"value={of(text)}", exit_code=1)
    yield _said("block", "create", "secret", "stdin", "--secret-from-stdin", "value", stdin=of("awkward"))
    yield _said("block", "create", "secret", "stdin", "--secret-from-stdin", "value", stdin=of("plain"), exit_code=None)


@sink("`--debug`: tracebacks of failed commands, with locals", shows="Traceback")
def _debug(scene: Scene) -> Iterator[Shown]:
    for name in ("secret/nobody", "sinks-vault/prod"):
        yield _said("--debug", "block", "show", name, exit_code=None)
    yield _said(
        "--debug",
        "block",
        "create",
        "s3",
        "x",
        "--secret-from-stdin",
        "aws_secret_access_key",
        stdin=scene.text("plain"),
        exit_code=None,
    )


@sink("`entrepot config`, `plugins`, `keys`, `limit`, `variable`, `store`")
def _others(scene: Scene) -> Iterator[Shown]:
    for args in (("config", "view"), ("plugins", "ls"), ("keys", "status"), ("store", "stats")):
        yield _said(*args) + _said(*args, "--json")
    yield _said("keys", "doctor", exit_code=None)
    yield _said("variable", "get", "sinks") + _said("limit", "ls")


@sink("shell completion", shows="sinks-treasury/prod")
def _completion(scene: Scene) -> Iterator[Shown]:
    found = subprocess.run(
        [sys.executable, "-m", "entrepot"],
        env=scene.variables
        | {"_ENTREPOT_COMPLETE": "complete_bash", "COMP_WORDS": "entrepot block show sinks", "COMP_CWORD": "3"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    yield found.stdout + found.stderr


@sink("a terminal: prompts without echo, and Ctrl-C in the middle", shows="value")
def _terminal(scene: Scene) -> Iterator[Shown]:
    with terminals(**{**scene.variables, "COLUMNS": "200"}) as start:
        for interrupted in (False, True):
            terminal = start(
                [sys.executable, "-m", "entrepot", "block", "create", "secret", f"typed-{int(interrupted)}"]
            )
            terminal.wait_for("value")
            terminal.type(scene.text("plain") + ("\x03" if interrupted else "\n"))
            if not interrupted:
                terminal.type("\n\n\n")
            terminal.end()
            yield terminal.seen


@sink("`entrepot compat` about code that has secrets in it", shows="SecretDict")
def _compat(scene: Scene) -> Iterator[Shown]:
    source = f"from prefect.blocks.fields import SecretDict\nkey = {scene.text('plain')!r}\nSecretDict({{'a': key}})\n"
    (scene.folder / "ported.py").write_text(source)
    yield _said("compat", "ported.py", exit_code=None, folder=scene.folder)
    yield _said("compat", "--json", "ported.py", exit_code=None, folder=scene.folder)
    (scene.folder / "ported.py").unlink()
