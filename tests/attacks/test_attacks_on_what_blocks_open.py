"""Attacks by storage blocks that others have saved: on what they open, and whom they log in with."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from entrepot import errors
from entrepot.blocks import BlockDocuments, StorageDocumentStore, StoredBlocks, use_documents, use_sources
from entrepot.crypto.keyring import Keyring
from entrepot.filesystems import Azure, RemoteFileSystem, remote
from entrepot.storage import MemoryStorage

KEY = "SFVTSEhVU0hIVVNI"  # base64, as account keys are


def test_attack_70_a_file_system_that_a_colleague_saved_chooses_code_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved by a program that let it through, as Entrepot did once."""
    owned = tmp_path / "owned"
    code = "{{ cycler.__init__.__globals__.os.system('touch " + str(owned) + "') }}"
    references = {"version": 1, "templates": {"a": code}, "refs": {"k": ["{{a()}}"]}}
    settings = {"fo": references, "simple_templates": False, "remote_protocol": "file"}
    ring = Keyring.generate()
    team = BlockDocuments(StorageDocumentStore(MemoryStorage("team")), lambda: ring)
    with monkeypatch.context() as patch, use_documents(team):
        patch.setattr(remote, "_NO_STORES", frozenset())
        RemoteFileSystem(basepath="reference://x", settings=settings).save("results")
    with use_sources(StoredBlocks(team)), pytest.raises(errors.BlockSchemaError, match="the class refuses"):
        RemoteFileSystem.load("results")
    assert not owned.exists()


@pytest.mark.parametrize(
    "name", ["evil.example/", "evil.example#", "evil.example?x=", "evil.example:443/x", "me@evil", "a.b", "", "a/../b"]
)
def test_attack_71_the_name_of_an_account_is_the_address_of_a_server(name: str) -> None:
    with pytest.raises(ValidationError, match="the name of a storage account alone"):
        Azure(bucket_path="container/x", azure_storage_account_name=name)
    block = RemoteFileSystem(basepath="abfs://container/x", settings={"account_name": name, "account_key": KEY})
    with pytest.raises(errors.ConfigurationError, match="the name of a storage account alone"):
        block.as_storage()
