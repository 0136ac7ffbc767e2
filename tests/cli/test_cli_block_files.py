"""`entrepot block apply|export|diff FILE|where`."""

from pathlib import Path

import pytest

from entrepot.blocks import Block, Secret, String, Webhook

from .conftest import Invoke

HUNTER = "hunter2-correct-horse"
FILE = '[blocks.secret.api-key]\nvalue = "env://API_KEY"\n[blocks.string.greeting]\nvalue = "hello"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "blocks.toml"
    path.write_text(FILE)
    return path


def test_a_file_is_tried_applied_and_compared(invoke: Invoke, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", HUNTER)
    assert "2 of 2 blocks would be saved" in invoke("block", "apply", str(file), "--dry-run").stderr
    assert Block.list() == []
    found = invoke("block", "diff", str(file), exit_code=1)
    assert "+ secret/api-key" in found.stdout
    assert "2 of 2 blocks saved" in invoke("block", "apply", str(file)).stderr
    assert (Secret.load("api-key").get(), String.load("greeting").value) == (HUNTER, "hello")
    assert "0 of 2 blocks saved" in invoke("block", "apply", str(file)).stderr
    assert "all 2 blocks are saved as the file has them" in invoke("block", "diff", str(file)).stderr
    file.write_text(FILE.replace("hello", "good bye"))
    monkeypatch.setenv("API_KEY", "another secret")
    found = invoke("block", "diff", str(file), exit_code=1)
    for word in ("~ secret/api-key", "**********", "~ string/greeting", "hello", "good bye"):
        assert word in found.stdout
    assert HUNTER not in found.stdout + found.stderr
    assert "another secret" not in found.stdout + found.stderr
    rows = invoke("block", "diff", str(file), "--json", exit_code=1).data
    assert [(row["type"], row["name"], row["step"]) for row in rows] == [
        ("secret", "api-key", "change"),
        ("string", "greeting", "change"),
    ]
    rows = invoke("block", "apply", str(file), "--json").data
    assert [(row["name"], row["version"]) for row in rows] == [("api-key", 2), ("greeting", 2)]
    assert "no versions" in invoke("block", "diff", str(file), "1", exit_code=2).stderr


def test_a_file_is_written_and_says_which_variables_it_needs(invoke: Invoke, tmp_path: Path) -> None:
    Secret(value=HUNTER).save("api-key")
    String(value="hello").save("greeting")
    out = tmp_path / "out.toml"
    found = invoke("block", "export", str(out))
    assert "wrote 2 blocks" in found.stderr
    assert "SECRET_API_KEY_VALUE" in found.stderr
    assert "secret/api-key: value" in found.stderr
    assert 'value = "env://SECRET_API_KEY_VALUE"' in out.read_text()
    assert HUNTER not in out.read_text() + found.stderr + found.stdout
    assert "--overwrite replaces it" in invoke("block", "export", str(out), exit_code=1).stderr
    invoke("block", "export", str(out), "greeting", "--overwrite")
    assert "api-key" not in out.read_text()
    assert "ends with .toml" in invoke("block", "export", str(tmp_path / "out.json"), exit_code=1).stderr
    assert "cannot be written" in invoke("block", "export", str(tmp_path / "no" / "out.toml"), exit_code=1).stderr


def test_a_secret_in_clear_is_one_clear_error(invoke: Invoke, file: Path) -> None:
    file.write_text(f'[blocks.secret.a]\nvalue = "{HUNTER}"\n')
    for command, code in (("apply", 1), ("diff", 2)):
        found = invoke("block", command, str(file), exit_code=code)
        assert "the secret of the field value is in clear" in found.stderr
        assert HUNTER not in found.stdout + found.stderr


def test_where_a_name_leads(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, entrepot_home: Path) -> None:
    found = invoke("block", "where", "secret/x", exit_code=1)
    assert "set ENTREPOT_BLOCK__SECRET__X" in found.stderr
    Secret(value="saved").save("x")
    assert "used" in invoke("block", "where", "x").stdout
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", f'{{"value": "{HUNTER}"}}')
    found = invoke("block", "where", "x")
    lines = found.stdout.splitlines()
    assert any("the environment" in line and "used" in line for line in lines)
    assert any("blocks" in line and "hidden" in line for line in lines)
    assert invoke("block", "where", "secret/x", "--json").data == [
        {"location": "the environment", "blocks": ["secret/x"]},
        {"location": str(entrepot_home / "blocks"), "blocks": ["secret/x"]},
    ]
    said = invoke("block", "create", "secret", "x", "--overwrite", "--secret-from-stdin", "value", stdin="y").stderr
    assert "warning: secret/x is hidden: the variable ENTREPOT_BLOCK__SECRET__X is set here and comes first" in said
    shown = invoke("block", "show", "x")
    assert HUNTER not in found.stdout + found.stderr + shown.stdout + shown.stderr


def test_lists_and_shown_blocks_say_what_the_environment_gives(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", f'{{"value": "{HUNTER}"}}')
    assert "of the environment: ENTREPOT_BLOCK__SECRET__X\n" in invoke("block", "ls").stderr
    Secret(value="other").save("x")
    rows = invoke("block", "ls", "--type", "secret", "--json").data
    assert [(row["name"], row["store"], row["version"], row["hidden"]) for row in rows] == [
        ("x", "environment", None, False),
        ("x", "local", 1, True),
    ]
    assert [row["store"] for row in invoke("block", "ls", "--store", "local", "--json").data] == ["local"]
    assert "local, hidden" in invoke("block", "ls").stdout
    assert invoke("block", "ls", "--type", "string").stderr.count("environment") == 0
    assert "from ENTREPOT_BLOCK__SECRET__X" in invoke("block", "show", "x").stderr
    assert invoke("block", "show", "x", "--version", "1").stderr == ""


def test_variables_that_are_not_set_are_named_all_at_once(
    invoke: Invoke, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        FILE + '[blocks.webhook.hook]\nurl = "env://HOOK_URL"\nheaders = {Key = "env://HOOK_KEY", Plain = "x"}\n'
        '[blocks.string.plain]\nvalue = "env://IN_NO_SECRET"\n'
    )
    monkeypatch.setenv("HOOK_URL", "https://example.com")
    for command, code in (("apply", 1), ("diff", 2)):
        said = invoke("block", command, str(file), exit_code=code).stderr
        assert "secret/api-key: value: the variable API_KEY is not set" in said
        assert "webhook/hook: headers.Key: the variable HOOK_KEY is not set" in said
        assert "HOOK_URL" not in said
        assert "IN_NO_SECRET" not in said


def test_a_comparison_without_a_variable_compares_all_else(
    invoke: Invoke, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK_KEY", raising=False)
    Webhook(url="https://example.com", headers={"Key": HUNTER, "Plain": "x"}, timeout=10).save("hook")
    Secret(value=HUNTER).save("api-key")
    text = (
        '[blocks.webhook.hook]\nurl = "env://HOOK_URL"\nheaders = {Key = "env://HOOK_KEY"}\ntimeout = 20\n'
        '[blocks.secret.api-key]\nvalue = "env://HOOK_KEY"\n'
        '[blocks.secret.new]\nvalue = "file:///no/such/secret"\n'
    )
    file.write_text(text)
    monkeypatch.setenv("HOOK_URL", "https://example.com")
    found = invoke("block", "diff", str(file), exit_code=2)
    assert "? secret/api-key" in found.stdout
    assert found.stdout.count("cannot be compared: HOOK_KEY is not set") == 2
    assert "timeout" in found.stdout
    assert "+ secret/new" in found.stdout
    assert "/no/such/secret" in found.stderr
    assert "--live" in found.stderr
    kinds = {
        (each["name"], change["path"]): change["kind"]
        for each in invoke("block", "diff", str(file), "--json", exit_code=2).data
        for change in each["changes"]
    }
    assert kinds["api-key", "value"] == "unknown"
    assert kinds["hook", "headers.Key"] == "unknown"
    assert kinds["hook", "timeout"] == "changed"
    assert HUNTER not in found.stdout + found.stderr
    monkeypatch.setenv("HOOK_KEY", HUNTER)
    file.write_text(text.partition("[blocks.secret.new]")[0])
    found = invoke("block", "diff", str(file), exit_code=1).stdout
    assert "api-key" not in found
    assert "cannot" not in found


def test_an_export_names_the_variables_of_references_that_stay_so(invoke: Invoke, tmp_path: Path) -> None:
    invoke("block", "create", "secret", "live", "-f", "value=env://STAYS_OUTSIDE")
    out = tmp_path / "live.toml"
    found = invoke("block", "export", str(out))
    assert "STAYS_OUTSIDE" in found.stderr
    assert "secret/live: value (looked up at each use)" in found.stderr
    assert "0 of 1 block saved" in invoke("block", "apply", str(out)).stderr
    assert "env://STAYS_OUTSIDE" in invoke("block", "show", "live").stdout
