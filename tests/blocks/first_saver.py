"""A program that saves a first block in a store that it found empty, when a line comes in; and says what came of it."""

import os
import sys

os.environ["ENTREPOT_HOME"] = sys.argv[1]

from entrepot.blocks import Secret, StorageDocumentStore
from entrepot.errors import UnknownKeyError
from entrepot.protocols.documents import DocumentRef

append = StorageDocumentStore.append
waiting = [True]


def wait_and_append(self: StorageDocumentStore, ref: DocumentRef, sealed: bytes) -> None:
    """Wait, the first time: by now the store was looked at."""
    if waiting:
        waiting.clear()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
    append(self, ref, sealed)


StorageDocumentStore.append = wait_and_append  # type: ignore[method-assign]
try:
    Secret(value=sys.argv[2]).save(sys.argv[2])
except UnknownKeyError as error:
    sys.stdout.write(f"refused: {error}\n")
else:
    sys.stdout.write(f"saved {Secret.load(sys.argv[2]).get()}\n")
