"""The doctor finds what is wrong with the keys, says which command mends it, and changes nothing."""

import base64
import json
import os
import time
from pathlib import Path

import pytest

from entrepot import home, task
from entrepot.blocks.documents import default_documents
from entrepot.blocks.stores import stores
from entrepot.blocks.system import Secret
from entrepot.crypto.keyring import Keyring
from entrepot.keys import rotating
from entrepot.keys.doctor import Finding, examine
from entrepot.keys.usage import known_storages
from entrepot_test_crypto import forms_of


@pytest.fixture
def path(entrepot_home: Path) -> Path:
    return entrepot_home / "keyring.json"


@pytest.fixture
def used(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a block and a result, in which nobody but the doctor writes."""
    monkeypatch.setenv("ENTREPOT_RUNS_RECORD", "false")
    Secret(value="sesame").save("one")
    task(persist_result=True)(lambda: 1)()
    return path


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
        for path in sorted(folder.rglob("*"))
    }


def findings(level: str = "problem") -> list[Finding]:
    folder = home.home_path()
    before = snapshot(folder)
    home._rings.clear()  # as a new process
    found = examine(home.key_provider, stores, known_storages)
    assert snapshot(folder) == before, "it changes nothing"
    return [finding for finding in found.findings if finding.level == level]


def only(what: str, level: str = "problem") -> Finding:
    (finding,) = findings(level)
    assert finding.what == what
    return finding


def rewrite(path: Path, change: object) -> None:
    document = json.loads(path.read_bytes())
    change(document)  # type: ignore[operator]
    path.write_text(json.dumps(document))


def test_all_is_well(used: Path) -> None:
    assert findings() == []
    assert findings("advice") == []


def test_an_empty_home_needs_nothing(path: Path) -> None:
    assert findings() == []
    assert only("no keyring", "advice").command == "entrepot keys init"


def test_the_ring_was_deleted(used: Path) -> None:
    used.unlink()
    found = findings()
    assert {finding.what for finding in found} == {"no keyring"}
    assert {finding.command for finding in found} == {"entrepot keys import FILE"}
    assert "secret/one" in found[0].detail


def test_others_can_read_it(used: Path) -> None:
    used.chmod(0o644)
    assert only("permissions").command == f"chmod 600 {used}"


def test_others_can_change_its_folder(used: Path) -> None:
    used.parent.chmod(0o777)
    assert only("permissions").command == f"chmod 700 {used.parent}"


def test_it_is_a_link(used: Path, tmp_path: Path) -> None:
    used.rename(tmp_path / "elsewhere.json")
    used.symlink_to(tmp_path / "elsewhere.json")
    assert "symbolic link" in only("permissions").detail


def test_an_id_occurs_twice(used: Path) -> None:
    rewrite(used, lambda document: document["keys"].append(document["keys"][0]))
    finding = only("keyring")
    assert "occurs twice" in finding.detail
    assert finding.command.startswith(f"mv {used} ")


def test_the_material_is_another_one(used: Path) -> None:
    material = base64.b64encode(b"x" * 32).decode()
    rewrite(used, lambda document: document["keys"][0].update(material={"raw": material}))
    assert "does not match its material" in only("keyring").detail


def test_two_keys_were_swapped(used: Path) -> None:
    def swap(document: dict[str, list[dict[str, object]]]) -> None:
        one, two = document["keys"][:2]
        one["material"], two["material"] = two["material"], one["material"]

    rewrite(used, swap)
    assert "does not match its material" in only("keyring").detail


def test_the_purposes_of_two_keys_were_swapped(used: Path) -> None:
    def swap(document: dict[str, list[dict[str, object]]]) -> None:
        one, two = document["keys"][:2]
        one["purpose"], two["purpose"] = two["purpose"], one["purpose"]

    rewrite(used, swap)
    assert "primary" in only("keyring").detail


def test_no_finding_shows_a_key(used: Path) -> None:
    raw = [base64.b64decode(key["material"]["raw"]) for key in json.loads(used.read_bytes())["keys"]]
    rewrite(used, lambda document: document["keys"][1].update(id=document["keys"][0]["id"]))
    shown = repr(findings())
    assert not [form for material in raw for form in forms_of(material) if form in shown]


def test_an_older_copy_lacks_a_key_that_a_block_needs(used: Path) -> None:
    older = used.read_bytes()
    rotating.stage(home.key_provider(), ["block"])
    rotating.promote(home.key_provider(), ["block"])
    rotating.rewrap(default_documents())
    used.write_bytes(older)
    finding = only("missing key")
    assert "an older copy" in finding.detail
    assert finding.command == "entrepot keys import FILE"


def test_an_older_copy_that_has_all_keys_is_noticed_by_a_mark(used: Path) -> None:
    older = used.read_bytes()
    rotating.stage(home.key_provider(), ["result"])
    Secret(value="newer").save("one", overwrite=True)
    used.write_bytes(older)
    assert "epoch 2" in only("older keyring").detail


def test_a_mark_that_was_planted_says_nothing(used: Path) -> None:
    path = used.parent / "blocks/secret/one/00000001.json"
    path.write_bytes(path.read_bytes().replace(b'"epoch":1', b'"epoch":9'))
    assert findings() == []


def test_another_ring_took_its_place(used: Path) -> None:
    ring = Keyring.generate()
    used.write_bytes(ring.to_document())
    found = {finding.what: finding for finding in findings()}
    assert found.keys() == {"another keyring", "missing key"}
    assert "secret/one" in found["another keyring"].detail


def test_a_disabled_key_is_needed(used: Path) -> None:
    old = home.ring().primary("block").id
    rotating.stage(home.key_provider(), ["block"])
    rotating.promote(home.key_provider(), ["block"])
    rotating.disable(home.key_provider(), old, None)
    assert only("disabled key").command == f"entrepot keys enable {old}"
    rotating.destroy(home.key_provider(), old, None)
    finding = only("destroyed key")
    assert "lost" in finding.detail


def test_a_destroyed_key_that_only_results_need_is_no_problem(used: Path) -> None:
    old = home.ring().primary("result").id
    rotating.stage(home.key_provider(), ["result"])
    rotating.promote(home.key_provider(), ["result"])
    rotating.disable(home.key_provider(), old, None)
    rotating.destroy(home.key_provider(), old, None)
    assert findings() == []
    assert "computed again" in only("destroyed", "advice").detail


def test_a_rotation_that_was_begun_is_advice(used: Path) -> None:
    rotating.stage(home.key_provider(), ["block"])
    assert only("staged", "advice").command == "entrepot keys rotate --purpose block"
    rotating.promote(home.key_provider(), ["block"])
    assert only("not rewrapped", "advice").command == "entrepot keys rewrap"


def test_what_a_killed_writer_left_is_found_and_the_next_change_removes_it(used: Path) -> None:
    left = used.with_name(".keyring.json.0123456789abcdef.tmp")
    left.write_bytes(b"half a keyring")
    assert findings() == [], "its writer may be at it still"
    os.utime(left, (time.time() - 3600,) * 2)
    assert only("left behind").command == f"rm {left}"
    rotating.stage(home.key_provider(), ["block"])
    assert not left.exists()


def test_a_document_was_damaged(used: Path) -> None:
    (used.parent / "blocks/secret/one/00000001.json").write_bytes(b"{}")
    assert "secret/one" in only("damaged").detail


def test_the_provider_is_unknown(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "passphras")
    finding = only("provider")
    assert "did you mean 'passphrase'" in finding.detail
    assert finding.command == "entrepot config unset key_provider"


def test_the_provider_does_not_answer(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "passphrase")
    used.write_bytes(
        b'{"by":"passphrase","epoch":1,"format":"entrepot-keyring-sealed/1","key":{},"nonce":"","ring":"r","sealed":""}'
    )
    finding = only("provider passphrase")
    assert "ENTREPOT_KEYRING_PASSPHRASE" in finding.detail
