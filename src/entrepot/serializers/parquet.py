"""Frames as Parquet: small, and opened by nearly everything (DuckDB, pandas, polars, Spark, ...)."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
from pyarrow import parquet

from entrepot.errors import EntrepotError, SerializationError
from entrepot.protocols.storage import Buffer
from entrepot.serializers._frames import frame_of, table_of, would_keep
from entrepot.serializers.buffers import flat

__all__ = ["ParquetSerializer"]

_COMPRESSION: Final = "snappy"  # which every reader has


class ParquetSerializer:
    """Writes frames of pandas, polars and pyarrow."""

    name = "parquet"
    extension = "parquet"
    is_text = False
    reads_code = False

    def accepts(self, value: object) -> bool:
        """Return whether it is a frame that comes back exactly as it was."""
        return would_keep(value, parquet=True)

    def dumps(self, value: object) -> Sequence[Buffer]:
        """Return the file.

        Raises:
            SerializationError: If it is no frame, or would not come back exactly as it was.
        """
        table = table_of(value, parquet=True, serializer=self.name)
        # Dictionaries pay for texts; for numbers they cost more time than they save space.
        texts = [field.name for field in table.schema if _is_text(field.type)]
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression=_COMPRESSION, use_dictionary=texts)
        return [flat(memoryview(sink.getvalue()))]

    def loads(self, data: memoryview) -> object:
        """Return the frame.

        Raises:
            SerializationError: If this is no whole file of this serializer.
        """
        try:
            table = parquet.ParquetFile(pa.BufferReader(pa.py_buffer(data))).read()
        except (EntrepotError, MemoryError):
            raise
        except Exception as error:
            raise SerializationError(
                f"the parquet serializer cannot read this: it is no whole Parquet file ({type(error).__name__})",
                serializer=self.name,
                path="value",
            ) from error
        return frame_of(table, serializer=self.name)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return any(bool(is_one(kind)) for is_one in (types.is_dictionary, types.is_string, types.is_large_string))
