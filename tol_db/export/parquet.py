"""The catalog as Parquet. Needs pyarrow: the extra ``[parquet]``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materialize.dataset import load_dataset
from tol_db.db.bulk import no_cycles
from tol_db.db.engine import Database
from tol_db.errors import UsageError
from tol_db.export.catalog import CatalogOptions, CatalogSummary, catalog_rows, pending_images, scope_of
from tol_db.export.output import binary_output

if TYPE_CHECKING:
    import pyarrow as pa

NUMBERS = ("eol_content_id", "eol_page_id", "bioscan_part", "inat21_cls_num", "class_index")
REPEATED = ("split", "inat21_cls_name", "kingdom", "phylum", "class", "order", "family", "label_resolution")
"""Columns of few values: read back as dictionaries."""
ROW_GROUP = 100_000
"""Rows that are held at a time, and that a reader can skip by their statistics."""


def export_parquet(
    db: Database,
    name: str | None,
    target: Path | None,
    *,
    include_pending: bool = False,
    predicted: bool = False,
    provenance: bool = False,
) -> CatalogSummary:
    """Write the rows of :func:`tol_db.export.catalog.export_catalog`, in the same order, as Parquet.

    Numbers are int64, texts are strings, an empty rank is "" and what the source does not have is null. Equal
    inputs give equal bytes with the same version of pyarrow, which stands in the file.

    Raises:
        UsageError: no such dataset; pyarrow is not installed.
        CannotWrite: the file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as err:
        raise UsageError(f"Parquet needs pyarrow ({err})", hint="pip install 'tol-db[parquet]'") from err
    options = CatalogOptions(scope_of(include_pending=include_pending, predicted=predicted), provenance)
    schema = pa.schema([(column, _type(column)) for column in options.columns])
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        pending = pending_images(conn, dataset)
        rows = 0
        stream = catalog_rows(conn, dataset, options)
        with (
            binary_output(target) as file,
            no_cycles(),
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            while some := list(islice(stream, ROW_GROUP)):
                writer.write_table(_table(schema, some), row_group_size=ROW_GROUP)
                rows += len(some)
    return CatalogSummary(dataset.name, rows, pending)


def _type(column: str) -> pa.DataType:
    import pyarrow as pa

    if column in NUMBERS:
        return pa.int64()
    return pa.dictionary(pa.int32(), pa.string()) if column in REPEATED else pa.string()


def _table(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.Table:
    import pyarrow as pa

    columns = zip(*rows, strict=True)
    arrays = [
        pa.array(column, pa.string()).dictionary_encode()
        if pa.types.is_dictionary(field.type)
        else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
