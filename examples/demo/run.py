"""The main job, end to end: a flow run twice in two processes, its results in a real S3 server that starts here.

    make demo

Everything lies in a temporary folder, and is gone afterwards; set KEEP=1 to look around in it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from servers import S3Server, start_seaweedfs  # noqa: E402  tools/ is no package: the line above finds it

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main() -> None:
    """Run the demonstration in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-demo-"))
    os.environ["ENTREPOT_HOME"] = str(folder / "home")
    os.environ["DEMO_REPORTS"] = str(folder / "reports")
    say("Starting a real S3 server on loopback (SeaweedFS)")
    server = start_seaweedfs(folder / "s3")
    try:
        demonstrate(server)
    finally:
        server.process.stop()
        if os.environ.get("KEEP"):
            console.print(f"\nKept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def demonstrate(server: S3Server) -> None:
    """Go through the main job, step by step."""
    from entrepot.filesystems import S3  # noqa: PLC0415  after ENTREPOT_HOME is set

    bucket = server.bucket("harbour")
    s3 = S3(
        bucket_path=f"{bucket}/results",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        endpoint_url=server.endpoint_url,
    )
    say("A block with its credentials, sealed under a new keyring, saved by name")
    s3.check()
    s3.save("harbour")
    entrepot("block", "show", "s3/harbour")

    say("First run: everything is computed, in parallel, and kept")
    first = run_flow()
    say("Second run, in a new process: nothing is computed")
    second = run_flow()
    if first["Completed"] != 28 or second != Counter({"Cached": 28}):  # noqa: PLR2004  2 + 24 + 1 + 1 tasks
        raise SystemExit(f"the second run should have found everything: {first}, {second}")

    key, path = find_comparison()
    say("One result, as a person reads it: the object in the bucket is plain JSON, and its signature")
    client = server.client()
    stored = client.get_object(Bucket=bucket, Key=f"results/{path}")["Body"].read()
    record, signature = stored.decode().splitlines()
    console.print_json(record)
    console.print(signature)

    say("Somebody with write access to the bucket changes one digit of it")
    if b"hours_measured" not in stored:
        raise SystemExit("the comparison is not where it should be")
    forged = json.loads(record)
    value = json.loads(forged["value"])
    value["hours_measured"] += 1
    forged["value"] = json.dumps(value)
    line = json.dumps(forged, ensure_ascii=False, separators=(",", ":"))
    client.put_object(Bucket=bucket, Key=f"results/{path}", Body=f"{line}\n{signature}\n".encode())
    if entrepot("result", "show", key, "--storage", "s3/harbour", check=False) == 0:
        raise SystemExit("a forged result was shown")

    say("Third run: the forged result is refused, kept aside as evidence, and computed again; the rest is found")
    third = run_flow()
    if third != Counter({"Cached": 27, "Completed": 1}):
        raise SystemExit(f"only the forged result should have been computed again: {third}")
    console.print("\n[bold green]Done.[/] The same in your own code: README.md")


def say(what: str) -> None:
    """Print a heading."""
    console.print(f"\n[bold cyan]── {what}[/]")


def entrepot(*arguments: str, check: bool = True) -> int:
    """Run the command line, as a person would, and return its exit code."""
    console.print(f"[dim]$ entrepot {' '.join(arguments)}[/]")
    return subprocess.run([sys.executable, "-m", "entrepot", *arguments], check=check).returncode


def run_flow() -> Counter[str]:
    """Run the flow in a new process, print what it did, and return how many tasks ended in which state."""
    from entrepot.runs import RunHistory, default_path  # noqa: PLC0415  after ENTREPOT_HOME is set

    environment = {**os.environ, "ENTREPOT_LOGGING_LEVEL": "WARNING"}
    subprocess.run([sys.executable, HERE / "weather.py"], check=True, env=environment)
    history = RunHistory(default_path())
    run = history.get(history.list(limit=1)[0].run_id)
    ended = Counter(str(child.state_name) for child in run.children)
    table = Table("task", "runs", "computed", "from the store", "kept in")
    for definition in dict.fromkeys(child.definition for child in run.children):
        children = [child for child in run.children if child.definition == definition]
        states = Counter(child.state_name for child in children)
        places = {child.transitions[-1].result_location or "" for child in children}
        place = " and ".join(sorted({re.sub("/(records|payloads)/.*", "", where) for where in places}))
        table.add_row(definition, str(len(children)), str(states["Completed"]), str(states["Cached"]), place)
    duration = run.duration.total_seconds() if run.duration else 0
    table.caption = f"flow run {run.name!r}: {run.state_name}, {duration:.2f} s"
    console.print(table)
    return ended


def find_comparison() -> tuple[str, str]:
    """Return the key and the path in the store of the comparison's result."""
    from entrepot.blocks.core import Block  # noqa: PLC0415  after ENTREPOT_HOME is set
    from entrepot.home import ring  # noqa: PLC0415  the same
    from entrepot.results.store import ResultStore  # noqa: PLC0415  the same

    store = ResultStore(Block.load("s3/harbour").as_storage(), ring=ring)
    for found in store.records():
        if found.record is not None and found.record.task["name"] == "compare":
            return found.record.key, found.path
    raise SystemExit("the comparison is not in the store")


if __name__ == "__main__":
    main()
