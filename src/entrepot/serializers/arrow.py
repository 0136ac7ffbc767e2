"""Frames in Arrow's IPC file format, uncompressed: written and read without a copy, and fit to be memory-mapped.

`pandas.read_feather`, `polars.read_ipc` and `pyarrow.ipc.open_file` open the files.
"""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
from pyarrow import ipc

from entrepot.errors import EntrepotError, SerializationError
from entrepot.protocols.storage import Buffer
from entrepot.serializers._frames import frame_of, table_of, would_keep
from entrepot.serializers.buffers import flat

__all__ = ["ArrowSerializer"]

_MAGIC: Final = b"ARROW1"


class ArrowSerializer:
    """Writes frames of pandas, polars and pyarrow."""

    name = "arrow"
    extension = "arrow"
    is_text = False
    reads_code = False

    def accepts(self, value: object) -> bool:
        """Return whether it is a frame that comes back exactly as it was."""
        return would_keep(value, parquet=False)

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Return the file: headers, and the columns' own memory.

        Raises:
            SerializationError: If it is no frame, or would not come back exactly as it was.
        """
        table = table_of(value, parquet=False, serializer=self.name)
        sink = _Parts()
        with ipc.new_file(pa.PythonFile(sink, "w"), table.schema) as writer:
            writer.write_table(table)
        return sink.parts

    def loads(self, data: memoryview) -> object:
        """Return the frame; its columns of numbers share the memory of `data`.

        Raises:
            SerializationError: If this is no whole file of this serializer.
        """
        try:
            if bytes(data[:6]) != _MAGIC or bytes(data[-6:]) != _MAGIC:
                raise ValueError("it does not begin and end like one")  # noqa: TRY301  one way out
            table = ipc.open_file(pa.py_buffer(data)).read_all()
        except (EntrepotError, MemoryError):
            raise
        except Exception as error:
            raise SerializationError(
                f"the arrow serializer cannot read this: it is no whole Arrow file ({type(error).__name__})",
                serializer=self.name,
                path="value",
            ) from error
        return frame_of(table, serializer=self.name, memory=data)


class _Parts:
    """A file that keeps what is written to it, uncopied."""

    closed = False

    def __init__(self) -> None:
        self.parts: list[memoryview] = []
        self._size = 0

    def write(self, part: Buffer) -> int:
        view = flat(part)
        self.parts.append(view)
        self._size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
