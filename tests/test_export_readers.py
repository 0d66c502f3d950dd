"""What we write is read by the libraries that it is written for."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from materialize.captions import EXTENSIONS
from tests.package_index import pip_install
from tests.running import environment
from tol_db.db.engine import Database
from tol_db.export.card import export_card
from tol_db.export.catalog import export_catalog
from tol_db.export.croissant import export_croissant
from tol_db.export.parquet import export_parquet
from tol_db.export.sizes import export_sizes
from tol_db.export.wids import export_wids
from tol_db.reading import Sample, open_dataset

WIDS = "webdataset==0.2.111"
"""The last version that has wids."""
TORCH = {
    "__init__.py": "",
    "distributed.py": "def is_initialized() -> bool:\n    return False\n",
    "utils/__init__.py": "",
    "utils/data.py": """
from typing import Generic, TypeVar

T = TypeVar("T")

class Dataset(Generic[T]): pass

class Sampler: pass
""",
}
SPLIT = "train"


@pytest.fixture(scope="module")
def root(written_demo: Path) -> Path:
    """The output root with everything beside the shards that readers look for."""
    out = written_demo.parent / "out"
    db = Database(written_demo, readonly=True)
    export_sizes(db, None)
    export_wids(db, None)
    export_card(db, None, out / "README.md")
    export_croissant(db, None, out / "croissant.json")
    return out


@pytest.fixture(scope="module")
def written(written_demo: Path) -> dict[str, Sample]:
    """Id → sample of the split, as our own reader has them."""
    return {sample.treeoflife_id: sample for sample in open_dataset(written_demo).images(SPLIT)}


def test_datasets_loads_the_root_by_its_card(root: Path, written: dict[str, Sample], tmp_path: Path) -> None:
    script = """
import json, sys
import datasets
found = datasets.load_dataset(sys.argv[1], verification_mode="all_checks")
train = found["train"]
print(json.dumps({
    "splits": {name: len(split) for name, split in found.items()},
    "features": {name: type(feature).__name__ for name, feature in train.features.items()},
    "rows": {row["__key__"]: [row["sci_com.txt"], row["taxonTag.txt"], list(row["jpg"].size)] for row in train},
}))
"""
    env = environment(HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path), HF_DATASETS_DISABLE_PROGRESS_BARS="1")
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    sizes = {
        split: sum(json.loads((root / "224x224" / split / "sizes.json").read_text()).values())
        for split in ("train", "train_small", "val")
    }
    assert told["splits"] == sizes
    expected = dict.fromkeys(EXTENSIONS, "Value")
    assert told["features"] == {**expected, "jpg": "Image", "__key__": "Value", "__url__": "Value"}
    assert told["rows"] == {
        key: [sample.texts["sci_com.txt"], sample.texts["taxonTag.txt"], [224, 224]]
        for key, sample in written.items()
    }


def test_mlcroissant_finds_no_fault_in_the_description_and_reads_samples_by_it(
    root: Path, written: dict[str, Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROISSANT_CACHE", str(tmp_path))
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=root / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not {text for text in issues.warnings if "url" not in text}

    def records(split: str, what: str, field: str) -> dict[str, Any]:
        name = f"{split}-{what}"
        return {row[f"{name}/treeoflife_id"].decode(): row[f"{name}/{field}"] for row in dataset.records(name)}

    pictures = records("val", "images", "image")
    names = records("val", "taxonomic_names", "taxonomic_name")
    val = {sample.treeoflife_id: sample for sample in open_dataset(root.parent / "tol.sqlite").images("val")}
    assert set(pictures) == set(names) == set(val)
    for key, sample in val.items():
        assert names[key].decode() == sample.texts["taxonomic_name.txt"]
        assert pictures[key].tobytes() == Image.open(io.BytesIO(sample.jpg)).tobytes()


def test_with_a_url_the_croissant_description_is_complete(written_demo: Path, tmp_path: Path) -> None:
    import mlcroissant

    path = tmp_path / "croissant.json"
    export_croissant(Database(written_demo, readonly=True), None, path, url="https://example.org/tol/")
    issues = mlcroissant.Dataset(jsonld=path).metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings
    first = json.loads(path.read_text())["distribution"][0]
    assert first["contentUrl"] == "https://example.org/tol/224x224/train/shard-000000.tar"


@pytest.fixture(scope="module")
def wids_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Python of its own with wids; skips where no package index can be reached."""
    folder = tmp_path_factory.mktemp("wids")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip_install([WIDS], of_pip=["--python", python])
    # wids cannot be imported without torch, 3 GB, of which it needs two base classes and to know of other nodes
    site = next((folder / "lib").glob("python*")) / "site-packages" / "torch"
    (site / "utils").mkdir(parents=True)
    for name, text in TORCH.items():
        (site / name).write_text(text)
    yield python
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.index
def test_wids_reads_samples_at_random_by_our_index(
    root: Path, written: dict[str, Sample], tmp_path: Path, wids_python: Path
) -> None:
    script = """
import hashlib, json, sys
import wids
dataset = wids.ShardListDataset(sys.argv[1], keep=True, lru_size=2, transformations=[])
told = []
for index in [*range(len(dataset) - 1, -1, -3), 0, len(dataset) // 2]:
    sample = dataset[index]
    digest = hashlib.sha256(sample[".jpg"].read()).hexdigest()
    told.append([index, sample["__key__"], digest, sample[".taxon_com.txt"].read().decode()])
print(json.dumps({"length": len(dataset), "samples": told}))
"""
    env = environment(WIDS_CACHE=str(tmp_path), HOME=str(tmp_path), TMPDIR=str(tmp_path))
    index = root / "224x224" / SPLIT / "wids-index.json"
    done = subprocess.run(
        [wids_python, "-c", script, str(index)], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["length"] == len(written)
    keys = list(written)
    assert len(told["samples"]) > 10
    for place, key, digest, text in told["samples"]:
        assert key == keys[place]
        assert text == written[key].texts["taxon_com.txt"]
        assert digest == hashlib.sha256(written[key].jpg).hexdigest()


def test_the_index_of_wids_has_the_sizes_of_the_files(root: Path) -> None:
    for path in root.glob("*/*/wids-index.json"):
        index = json.loads(path.read_text())
        assert index["__kind__"] == "wids-shard-index-v1"
        sizes = json.loads((path.parent / "sizes.json").read_text())
        assert {shard["url"]: shard["nsamples"] for shard in index["shardlist"]} == sizes
        for shard in index["shardlist"]:
            assert (path.parent / shard["url"]).stat().st_size == shard["filesize"]
            done = subprocess.run(["sha256sum", path.parent / shard["url"]], capture_output=True, check=True)
            assert done.stdout.decode().split()[0] == shard["sha256"]


def test_the_parquet_file_holds_the_rows_of_the_csv(written_demo: Path, tmp_path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    db = Database(written_demo, readonly=True)
    export_catalog(db, None, tmp_path / "c.csv", predicted=True, provenance=True)
    export_parquet(db, None, tmp_path / "c.parquet", predicted=True, provenance=True)
    rows = pyarrow.parquet.read_table(tmp_path / "c.parquet")
    types = dict.fromkeys(rows.column_names, pyarrow.string())
    convert = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    told = pyarrow.csv.read_csv(tmp_path / "c.csv", convert_options=convert).to_pylist()
    shown = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows.to_pylist()]
    assert shown == told
    assert len(told) > 80
    assert rows.schema.field("eol_content_id").type == pyarrow.int64()
    assert rows.column("inat21_cls_num").null_count > 0


def test_without_pyarrow_parquet_says_what_to_install(written_demo: Path, tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('no pyarrow here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "tol_db", "--db", written_demo, "export", "parquet"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])),
    )
    assert done.returncode == 2
    assert "tol-db[parquet]" in done.stderr
