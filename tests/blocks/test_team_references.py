"""Patterns of references: they let what they say, in each way in which a source could understand it."""

import os
import shlex
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import settings as how
from hypothesis import strategies as st

from entrepot import settings
from entrepot.blocks._references import SecretReference, refusal
from entrepot.blocks._team_references import is_listed, line_for
from entrepot.blocks.secret_sources.local import path_of
from entrepot.errors import ConfigurationError
from entrepot_test_secrets import leaks

LIST = "ENTREPOT_BLOCKS_TEAM_REFERENCES"


@pytest.mark.parametrize(
    ("patterns", "reference"),
    [
        ("*", "env://ANYTHING"),
        ("*", "file:///a/../b"),
        ("env://DB_PASSWORD", "env://DB_PASSWORD"),
        ("env://WAREHOUSE_*", "env://WAREHOUSE_PASSWORD"),
        ("ENV://WAREHOUSE_*", "env://WAREHOUSE_PASSWORD"),
        ("env://A, aws-sm://prod/*", "aws-sm://prod/db#password"),
        ("aws-sm://prod/*", "aws-sm://prod/team/db"),
        ("aws-sm://arn:aws:secretsmanager:*", "aws-sm://arn:aws:secretsmanager:eu-central-1:1:secret:prod/db-AbC#k"),
        ("vault://*", "vault://secret/prod/db#password"),
        ("vault://secret/*/db#password", "vault://secret/prod/db#password"),
        ("vault://secret/prod/db#*", "vault://secret/prod/db#password"),
        ("keyring://git%2Fhub/*", "keyring://git%2Fhub/ci"),
        ("keyring://my%20service/*", "keyring://my service/ci"),
        ("block://secret/*", "block://secret/x/value"),
        ("block://secret/x", "block://secret/x/other"),
        ("env://A%2AB", "env://A*B"),
    ],
)
def test_what_is_listed(patterns: str, reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIST, patterns)
    assert is_listed(reference)


@pytest.mark.parametrize(
    ("patterns", "reference"),
    [
        ("", "env://X"),
        ("env://WAREHOUSE_*", "env://AWS_SECRET_ACCESS_KEY"),
        ("env://warehouse_*", "env://WAREHOUSE_PASSWORD"),
        ("env://X", "env://XY"),
        ("env://X", "env://X\n"),
        ("env://X", "file://X"),
        ("env://*", "file:///etc/passwd"),
        ("env://A%2AB", "env://AxB"),
        ("env://A.B", "env://AxB"),
        ("vault://secret/prod/*", "vault://secret/prod/../admin/root#token"),
        ("vault://secret/prod/*", "vault://secret/prod/%2e%2e/admin/root#token"),
        ("vault://secret/prod/*", "vault://secret/prod/%252e%252e/admin/root#token"),
        ("vault://secret/prod/*", "vault://secret/prod/./x"),
        ("vault://secret/prod/*", "vault://secret/prod//x"),
        ("vault://secret/prod/*", "vault://secret/prod/%2F/x"),
        ("vault://secret/prod/*", "vault://secret/prod/..\\admin"),
        ("vault://secret/*/db#password", "vault://secret/prod/other/db#password"),
        ("vault://secret/*/db#password", "vault://secret/prod/db#other"),
        ("vault://secret/*b", "vault://secret/x#b"),
        ("keyring://my service/*", "keyring://my%20service/ci"),
        ("keyring://github/ci*t", "keyring://github/ci%2Fx/t"),
        ("keyring://github/*", "keyring://git%68ub%2Fx"),
        ("aws-sm://prod/*", "aws-sm://production/db"),
        ("aws-sm://prod/*", "aws-sm://x?aws-sm://prod/y"),
        ("block://secret/x", "block://secret/xy/other"),
        ("block://secret/x", "block://secret/x/../y"),
        ("block://secret/x/value", "block://secret/x"),
        ("some://x/*a*b*c*d", "some://x/" + "abc" * 100_000),
        ("some://x/*", "some://x/%" + "25" * 9 + "41"),
    ],
)
def test_what_is_not_listed(patterns: str, reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIST, patterns)
    assert not is_listed(reference)


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """`run/secrets` with a secret, and a key outside of it."""
        folder = tmp_path / "run" / "secrets"
        (folder / "deep").mkdir(parents=True)
        (folder / "db").write_text("x")
        (folder / "my key").write_text("x")
        (folder / "deep" / "db").write_text("x")
        (tmp_path / "id_rsa").write_text("prey")
        monkeypatch.setenv(LIST, f"file://{folder}/*")
        return folder

    def test_what_is_in_the_folder(self, folder: Path) -> None:
        for rest in ("db", "deep/db", "my key", "my%20key", "d%62", "not-there"):
            assert is_listed(f"file://{folder}/{rest}"), rest

    def test_what_leads_out_of_it(self, folder: Path) -> None:
        for rest in (
            "../../id_rsa",
            "deep/../../../id_rsa",
            "%2e%2e/%2e%2e/id_rsa",
            "%2e%2e%2f%2e%2e%2fid_rsa",
            ".%2e/..%2f../id_rsa",
            "%252e%252e/%252e%252e/id_rsa",
            ".\t./.\t./id_rsa",
            "/../../id_rsa",
            "./db",
            "db#x",
            "db?x",
            "",
            "\x00/db",
            "..;/..;/../id_rsa",
        ):
            assert not is_listed(f"file://{folder}/{rest}"), rest
        for whole in (f"/{folder}/db", f"{folder}/../secrets/db", f"{folder.parent}/../id_rsa", f"{folder}s/db"):
            assert not is_listed(f"file://{whole}"), whole

    def test_links(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "out").symlink_to(tmp_path / "id_rsa")
        (folder / "up").symlink_to(tmp_path)
        (folder / "data").symlink_to("deep")
        (folder / "token").symlink_to("data/db")
        assert not is_listed(f"file://{folder}/out")
        assert not is_listed(f"file://{folder}/up/id_rsa")
        assert is_listed(f"file://{folder}/token"), "as in the volumes of Kubernetes"
        (tmp_path / "var").symlink_to(tmp_path / "run")
        assert not is_listed(f"file://{tmp_path}/var/secrets/db"), "not as it is written"
        monkeypatch.setenv(LIST, f"file://{tmp_path}/var/secrets/*")
        assert is_listed(f"file://{tmp_path}/var/secrets/db"), "the folder that was listed may be behind a link"
        assert not is_listed(f"file://{tmp_path}/var/secrets/out")
        monkeypatch.setenv(LIST, f"file://{folder}/out")
        assert is_listed(f"file://{folder}/out"), "this very link was listed"
        monkeypatch.setenv(LIST, f"file://{folder}/*/db,file://{folder}/d*")
        assert is_listed(f"file://{folder}/deep/db")
        assert not is_listed(f"file://{folder}/up/run/secrets/db")

    @how(deadline=None, max_examples=100)
    @given(steps=st.lists(st.sampled_from(["..", ".", "", "db", "%2e%2e", "..%2f", "up", "%2f"]), max_size=6))
    def test_no_way_of_writing_it_leads_out(self, steps: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.getbasetemp() / "hypothesis" / "secrets"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "up").is_symlink():
            (folder / "up").symlink_to("../..")
        reference = f"file://{folder}/{'/'.join(steps)}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(LIST, f"file://{folder}/*")
            if is_listed(reference):
                opened = os.path.realpath(path_of(reference.removeprefix("file://")))
                assert Path(opened).is_relative_to(folder)
                assert opened != str(folder)


REST = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)


@how(deadline=None, max_examples=100)
@given(scheme=st.sampled_from(["env", "vault", "file", "keyring", "some+x"]), rest=st.one_of(REST, REST.map(quote)))
def test_the_line_that_is_offered_lets_that_reference_and_no_other(scheme: str, rest: str) -> None:
    reference = f"{scheme}://{'/' if scheme == 'file' else ''}{rest}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LIST, "env://NOTHING")
        line = line_for(reference)
        assume(line)
        patch.setenv(LIST, shlex.split(line)[0].partition("=")[2])
        assert is_listed(reference)
        assert not is_listed(reference + "x")
        assert not is_listed(f"{scheme}://x{rest}")


class TestTheSetting:
    @pytest.mark.parametrize("text", ["env:X", "X", "*://x", "env://", "1env://X", "env://X\ty", "**"])
    def test_what_is_no_pattern_is_refused(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(LIST, text)
        with pytest.raises(ConfigurationError, match="blocks_team_references cannot be; use references"):
            settings.current()

    def test_in_the_file_and_in_a_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert settings.current().blocks_team_references == ()
        settings.set_value("blocks_team_references", "env://A,VAULT://b/*")
        assert settings.current().blocks_team_references == ("env://A", "vault://b/*")
        monkeypatch.setenv(LIST, "*")
        assert settings.current().blocks_team_references == ("*",)

    def test_a_password_that_somebody_wrote_into_one_is_not_in_the_line(self) -> None:
        reference = SecretReference("vault://me:hunter2@host/x#y")
        reference.store = "somewhere"
        error = refusal(reference)
        assert error is not None
        assert not leaks(str(error) + error.setting + error.reference, "hunter2")
