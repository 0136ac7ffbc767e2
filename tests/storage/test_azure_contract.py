"""The contract of storages on Azure's emulator, where that is installed (`npm install --global azurite`)."""

import uuid

import pytest

from entrepot.protocols.storage import Storage
from entrepot.storage import FileStorage
from entrepot.testing import StorageContract
from entrepot_test_servers import azure_connection_string

pytestmark = pytest.mark.one_python


class TestAzure(StorageContract):
    swaps = True

    @pytest.fixture
    def storage(self, azurite_server: int) -> Storage:
        blob = pytest.importorskip("azure.storage.blob")
        name, options = f"c-{uuid.uuid4().hex}", azure_connection_string(azurite_server)
        blob.BlobServiceClient.from_connection_string(options).create_container(name)
        return FileStorage.from_url(f"abfs://{name}/folder", connection_string=options)
