"""Reading a written dataset from Python: samples by split or by id, and batches for training.

>>> from tol_db.reading import open_dataset
>>> dataset = open_dataset("tol.sqlite", "tol10m")                                          # doctest: +SKIP
>>> for sample in dataset.images("val"):                                                    # doctest: +SKIP
...     print(sample.treeoflife_id, sample.label.species, sample.image().size)

:mod:`tol_db.reading.pipeline` makes a webdataset pipeline of the same shards; it needs no database.
"""

from tol_db.reading.dataset import DatasetReader, ShardPlace, SplitPlace, open_dataset
from tol_db.reading.offsets import OffsetCache
from tol_db.reading.sample import Record, Sample

__all__ = ["DatasetReader", "OffsetCache", "Record", "Sample", "ShardPlace", "SplitPlace", "open_dataset"]
