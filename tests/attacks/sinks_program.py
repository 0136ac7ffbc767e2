"""A program that uses a block full of secrets as programs do, with everything on that talks; run by the list of sinks.

What it is told comes on stdin, as JSON: a secret is neither an argument nor a variable. It works in the current folder.
"""

import contextlib
import faulthandler
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import sqlalchemy  # noqa: F401  its loggers are there before they are attached
from pydantic import SecretStr

from entrepot import flow, get_run_logger, tags, task
from entrepot.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from entrepot.blocks import EmailServer, Secret, SqlAlchemyConnector, StorageDocumentStore, Webhook, use_documents
from entrepot.blocks.documents import BlockDocuments
from entrepot.cache_policies import INPUTS, TASK_SOURCE
from entrepot.concurrency import concurrency, set_limit
from entrepot.errors import EntrepotError
from entrepot.filesystems import S3
from entrepot.home import ring
from entrepot.logging import get_logger
from entrepot.transactions import transaction
from entrepot.variables import Variable
from entrepot_test_sinks import LATE, Inner, Treasury, treasury


def reveal(vault: Treasury) -> list[str]:
    """Return the secrets in clear, for code that is careless with them."""
    token: Any = vault.anything[0]["deep"][0]
    return [
        vault.plain.get_secret_value(),
        vault.awkward.get_secret_value(),
        vault.short.get_secret_value(),
        vault.listed[0].get_secret_value(),
        vault.mapped["a"].get_secret_value(),
        token.get_secret_value(),
        vault.nested.get(),  # type: ignore[union-attr]
        vault.referenced.get_secret_value(),  # type: ignore[union-attr]
        vault.raw.get_secret_value().decode("latin-1"),
        vault._session.get_secret_value(),
    ]


@task(cache_policy=INPUTS + TASK_SOURCE, log_prints=True)
def use(vault: Treasury, plain: str) -> str:
    """Use it and keep a result that has no secret in it; say more than is wise."""
    secrets = reveal(vault)
    logger = get_run_logger()
    logger.info("%s: using %r", vault.label, vault, extra={"vault": vault})
    for secret in secrets:
        logger.info("the secret is %s, or %r", secret, [secret])
        get_logger("sinks.child").warning("child: %s", json.dumps({"secret": secret}))
        print(vault.label, "prints", secret, secret.encode().hex())  # noqa: T201  a print is a sink
    try:
        raise LookupError(f"no such key: {secrets[0]}")  # noqa: TRY301  as code does
    except LookupError:
        logger.exception("while looking for %s", secrets[1])
    return f"{vault.label} was used with {plain}"


@task(cache_policy=INPUTS)
def give_back(vault: Treasury) -> Treasury:
    """Return the block itself: what is kept of that is sealed."""
    return vault


@task(cache_policy=INPUTS, tags=["sinks"])
def give_large(vault: Treasury) -> dict[str, Any]:
    """Return much, with the block and a print of it inside: a payload, compressed."""
    return {
        "rows": [f"{vault.label} {n}" for n in range(70_000)],
        "vault": vault,
        "text": repr(vault),
        "dump": str(vault.model_dump()),
    }


@task(cache_policy=INPUTS)
def take_bare(token: SecretStr) -> None:
    """Take a secret as it is, of which no key may be made."""


@task(cache_policy=INPUTS)
def give_model(vault: Treasury) -> Inner:
    """Return a model with a secret, which nothing may write down."""
    return Inner(token=vault.plain)


@task(cache_policy=INPUTS)
def give_dump(vault: Treasury) -> dict[str, Any]:
    """Return pydantic's dump, which has secrets as objects."""
    return vault.model_dump()


@task
def far_away(vault: Treasury, number: int) -> str:
    """In another process."""
    get_run_logger().info("%s far away: %s", vault.label, reveal(vault)[number])
    return f"{vault.label} {number}"


@task
def fail_far_away(vault: Treasury) -> None:
    """Fail in another process with a secret that only that one has looked up."""
    secret = Secret(value=f"env://{LATE}").get()
    get_run_logger().info("%s is late: %s", vault.label, secret)
    raise LookupError(f"{vault.label}: no account for {secret}")


@task(retries=1, retry_delay_seconds=0)
def break_down(vault: Treasury, token: SecretStr) -> None:
    """Fail with an error that quotes what it must not."""
    secrets = reveal(vault)
    try:
        json.loads('{"token": "' + secrets[1])
    except ValueError as error:
        raise ConnectionError(f"{vault.label}: cannot log in with {secrets!r}") from error


def tell(flow: Any, run: Any, state: Any) -> None:
    """Tell people of a failure, by mail and by a webhook."""
    EmailServer.load("sinks").notify(f"{flow.name}: {state.message}", "sinks failed")
    Webhook.load("sinks").notify(f"{flow.name}: {state.message}", "sinks failed")


@flow(log_prints=True, on_failure=[tell], task_runner="processes", flow_run_name="sinks-{label}", persist_result=True)
def main(vault: Treasury, token: SecretStr, label: str) -> None:
    """Do all of it."""
    secrets = reveal(vault)
    Variable.set("sinks", {"label": label})
    set_limit("sinks", 1)
    with concurrency("sinks"):
        use(vault, "nothing")
    use(vault, "nothing")
    use(vault.model_copy(update={"listed": [vault.awkward]}), "something else")
    for give in (give_back, give_large, give_model, give_dump):
        print(label, give.name, give(vault, return_state=True).message)  # noqa: T201  a print is a sink
    print(label, take_bare(token, return_state=True).message)  # noqa: T201  a print is a sink
    give_large.with_options(result_storage="s3/sinks")(vault)
    use.with_options(result_storage="s3/sinks")(vault, "in a bucket")
    print([each.result() for each in far_away.map([vault] * 2, [0, 1])])  # noqa: T201  a print is a sink
    failed = fail_far_away.submit(vault)
    failed.wait()
    print(label, failed.state.message)  # noqa: T201  a print is a sink
    with transaction(f"{label} {secrets[0]}") as kept, tags(f"{label} {secrets[1]}"):
        use.with_options(tags=[secrets[2]])(vault, "in a transaction")
        kept.stage(label)
    create_markdown_artifact(f"# {label}\n\n{secrets[0]} {secrets[1]}", key="sinks-note", description=secrets[2])
    create_table_artifact([{"label": label, "secret": secret} for secret in secrets], key="sinks-table")
    create_link_artifact(f"https://me:{secrets[0]}@example.org/{label}", "link", key="sinks-link")
    warnings.warn(f"{label}: {vault!r} is old", stacklevel=1)
    database = SqlAlchemyConnector.load("sinks")
    database.execute("CREATE TABLE people (name TEXT, token TEXT)")
    with contextlib.suppress(EntrepotError):
        database.execute("INSERT INTO people VALUES (:name, :token, 3)", {"name": label, "token": secrets[0]})
    get_run_logger().info("mail: %s", EmailServer.load("sinks").check())
    shutil.copytree(os.environ["ENTREPOT_HOME"], "home-at-work")  # databases with what is not yet in their pages
    subprocess.run([sys.executable, "-c", f"print('{label} in a child')"], check=True)
    break_down(vault, token)


def prepare(told: Any) -> Treasury:
    """Save the blocks, here and in a bucket."""
    planted = {**told["texts"], **{name: bytes.fromhex(data) for name, data in told["bytes"].items()}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vault = treasury(planted, told["label"])
        vault.save("prod")
        vault.extra = SecretStr(told["texts"]["plain"])
        vault.save("prod", overwrite=True)
    S3(
        bucket_path=f"{told['bucket']}/results",
        endpoint_url=told["s3"],
        aws_access_key_id=told["key"],
        aws_secret_access_key=told["secret"],
        addressing_style="path",
    ).save("sinks")
    Webhook(
        url=f"{told['hook']}/{told['texts']['short']}?key={told['texts']['plain']}",
        headers={"X-Token": told["texts"]["extra"]},
        signing_secret=told["texts"]["anything"],
        allow_private_urls=True,
    ).save("sinks")
    EmailServer(
        host="localhost",
        port=told["smtp"],
        security="none",
        username="me",
        password=told["texts"]["plain"],
        sender="sinks@example.test",
        recipients=["you@example.test"],
    ).save("sinks")
    SqlAlchemyConnector(driver="sqlite", database="data.db").save("sinks")
    with use_documents(BlockDocuments(StorageDocumentStore(S3.load("sinks").as_storage()), ring)):
        treasury(planted, told["label"]).save("team")
        Secret(value=told["texts"]["awkward"]).save("team")
    loaded = Treasury.load("prod")
    loaded._session = SecretStr(told["texts"]["session"])
    return loaded


if __name__ == "__main__":
    told = json.load(sys.stdin)
    logging.basicConfig(filename="app.log", level=logging.DEBUG)
    logging.captureWarnings(capture=True)
    vault = prepare(told)
    with contextlib.suppress(ConnectionError):
        main(vault, vault.plain, told["label"])
    with Path("crash.log").open("w") as file:
        file.write(f"{told['label']}\n")
        file.flush()
        faulthandler.dump_traceback(file)
    with tempfile.NamedTemporaryFile("w", prefix="sinks-") as file:
        file.write(f"{vault.label} {vault!r} {vault.model_dump_json()}")
        file.flush()
    logging.root.handlers.clear()  # from here on, lines are for the terminal
    with contextlib.suppress(ConnectionError):
        break_down(vault, vault.plain)
    # The end that nobody catches: of a dependency, which is given the secret.
    S3(
        bucket_path="no-such-bucket/x",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id=told["texts"]["plain"],
        aws_secret_access_key=told["texts"]["awkward"],
    ).check()
