"""Reading a written dataset from Python: by split, by id, and as batches."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from materialize.captions import EXTENSIONS, texts
from materialize.shard import ShardWriter, part
from tests.running import environment
from tol_db.db.bulk import changes, query
from tol_db.db.engine import Database
from tol_db.errors import InputError, InputMissing, OutputNotMounted, UsageError
from tol_db.reading import DatasetReader, open_dataset
from tol_db.reading.offsets import find_offsets, text_sizes
from tol_db.reading.pipeline import RANDOM_TEXTS, TEXT_TYPES, TextChoice, training_pipeline
from tol_db.taxonomy.names import Lineage

ROOT = Path(__file__).resolve().parents[1]
SPLIT = "train"


@pytest.fixture
def reader(written_demo: Path) -> DatasetReader:
    return open_dataset(written_demo)


@pytest.fixture
def own(written_demo: Path, tmp_path: Path) -> DatasetReader:
    """A copy of database and shards that a test may damage."""
    shutil.copy(written_demo, tmp_path / "tol.sqlite")
    shutil.copytree(written_demo.parent / "out", tmp_path / "out")
    return open_dataset(tmp_path / "tol.sqlite", root=tmp_path / "out")


def by_tarfile(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and members of each sample of a shard."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, extension = member.name.partition(".")
            file = tar.extractfile(member)
            assert file is not None
            found.setdefault(key, {})[extension] = file.read()
    yield from found.items()


# ------------------------------------------------------------------ by split and by id


def test_a_split_is_read_as_tarfile_reads_its_shards(reader: DatasetReader) -> None:
    samples = iter(reader.images(SPLIT))
    shards = reader.shards(SPLIT)
    assert len(shards) > 3
    for shard in shards:
        for place, (key, members) in enumerate(by_tarfile(shard.path)):
            sample = next(samples)
            assert (sample.treeoflife_id, sample.shard, sample.position) == (key, shard.path, place)
            assert sample.jpg == members.pop("jpg")
            assert {name: text.encode() for name, text in sample.texts.items()} == members
            assert sample.texts["taxonomic_name.txt"] == " ".join(r for r in sample.label.as_tuple() if r)
            assert sample.common_name == sample.texts["common_name.txt"]
    assert next(samples, None) is None


def test_splits_shards_and_records_tell_of_what_is_written(reader: DatasetReader) -> None:
    assert [split.name for split in reader.splits] == ["train", "train_small", "val"]
    for split in reader.splits:
        shards = reader.shards(split.name)
        assert (split.samples, split.shards) == (sum(shard.samples for shard in shards), len(shards))
        assert [record.treeoflife_id for record in reader.records(split.name)] == [
            sample.treeoflife_id for sample in reader.images(split.name)
        ]
        for shard in shards[:1]:
            assert hashlib.sha256(shard.path.read_bytes()).hexdigest() == shard.sha256
    with pytest.raises(UsageError, match="no split 'tset'"):
        next(reader.images("tset"))


def test_one_sample_is_read_without_the_rest_of_its_shard(written_demo: Path, tmp_path: Path) -> None:
    reader = open_dataset(str(written_demo), "set", offsets=tmp_path / "offsets")
    for split in ("val", "train_small", "train"):
        for sample in reader.images(split):
            assert reader.load_sample(sample.treeoflife_id, split) == sample
    assert len(list((tmp_path / "offsets").iterdir())) == sum(split.shards for split in reader.splits)
    assert sample.image().size == (224, 224)
    # in a process of its own, from the offsets that were kept; hyphens may be left out
    again = pickle.loads(pickle.dumps(reader))
    assert again.load_sample(sample.treeoflife_id.replace("-", ""), "train") == sample
    for path in (tmp_path / "offsets").iterdir():
        path.write_bytes(path.read_bytes()[:-8])
    assert pickle.loads(pickle.dumps(reader)).load_sample(sample.treeoflife_id, "train") == sample


def test_little_of_a_shard_is_read_to_find_a_sample(written_demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = open_dataset(written_demo)
    shard = max(reader.shards(SPLIT), key=lambda shard: shard.samples)
    last = [record for record in reader.records(SPLIT) if record.shard == shard.path][-1]
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        read.append(length)
        data: bytes = pread(descriptor, length, offset)
        return data

    monkeypatch.setattr("os.pread", counted)
    reader.load_sample(last.treeoflife_id)
    assert read == [512] * shard.samples
    reader.load_sample(last.treeoflife_id)
    assert len(read) == shard.samples, "the second time they are known"


RANK = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=700)


@settings(deadline=None, max_examples=50)
@given(
    samples=st.lists(st.tuples(st.tuples(*[RANK] * 7), RANK, st.integers(0, 3000)), max_size=8),
)
def test_offsets_are_those_at_which_the_samples_were_written(
    tmp_path_factory: pytest.TempPathFactory, samples: list[tuple[tuple[str, ...], str, int]]
) -> None:
    path = tmp_path_factory.mktemp("shard") / "shard-000000.tar"
    writer = ShardWriter(path, "token")
    begins, wanted = [0], []
    for number, (ranks, common, size) in enumerate(samples):
        label = Lineage.of(("Animalia", *ranks[1:]))
        key = f"{number:08d}-0000-4000-8000-000000000000"
        members = {extension: text.encode() for extension, text in texts(label, common).items()}
        parts = [part(extension, data) for extension, data in {**members, "jpg": bytes(size)}.items()]
        writer.add(key, parts)
        begins.append(writer.partial.stat().st_size)
        wanted.append((key, text_sizes(label, common)))
    assert list(find_offsets(writer.partial, wanted)) == begins
    assert all(end % 512 == 0 for _, end in pairwise(begins))
    writer.abort()


# ------------------------------------------------------------------ what is not there, or not right


def test_an_image_that_is_not_written_says_what_became_of_it(own: DatasetReader, tmp_path: Path) -> None:
    db = Database(tmp_path / "tol.sqlite")
    with db.read() as conn:
        (left_out,) = next(query(conn, "SELECT treeoflife_id FROM v_sample WHERE outcome = 'decode_error'"))
        (excluded,) = next(query(conn, "SELECT treeoflife_id FROM v_exclusion"))
    with pytest.raises(UsageError, match=r"is not written in dataset 'set' \(train: decode_error\)"):
        own.load_sample(left_out)
    with pytest.raises(UsageError, match="is not written") as caught:
        own.load_sample(excluded)
    assert "report image" in str(caught.value.hint)
    with pytest.raises(UsageError, match="not a TreeOfLife id"):
        own.load_sample("x")
    (val,) = (record.treeoflife_id for record in list(own.records("val"))[:1])
    with pytest.raises(UsageError, match="split 'train'"):
        own.load_sample(val, "train")


def test_a_missing_shard_and_a_missing_root_are_told_apart(own: DatasetReader, tmp_path: Path) -> None:
    first = next(own.records(SPLIT))
    first.shard.unlink()
    for act in (lambda: next(own.images(SPLIT)), lambda: own.load_sample(first.treeoflife_id, SPLIT)):
        with pytest.raises(InputMissing, match="no such shard"):
            act()
    (tmp_path / "out").rename(tmp_path / "away")
    with pytest.raises(OutputNotMounted):
        next(own.images(SPLIT))


def test_a_shard_that_is_another_than_the_database_says_is_refused(own: DatasetReader) -> None:
    first, second = own.shards(SPLIT)[:2]
    record = next(own.records(SPLIT))
    own.load_sample(record.treeoflife_id, SPLIT)  # its offsets are known from now on
    shutil.copy(second.path, first.path)
    for act in (lambda: list(own.images(SPLIT)), lambda: own.load_sample(record.treeoflife_id, SPLIT)):
        with pytest.raises(InputError, match="not where the database has it"):
            act()
    first.path.write_bytes(first.path.read_bytes()[:700])
    with pytest.raises(InputError, match="not where the database has it"):
        list(own.images(SPLIT))


def test_a_shard_that_is_pending_again_is_passed_over(own: DatasetReader, tmp_path: Path) -> None:
    before = sum(1 for _ in own.images(SPLIT))
    with Database(tmp_path / "tol.sqlite").write() as conn:
        changes(conn, "UPDATE shard SET state = 'missing' WHERE id = (SELECT min(id) FROM shard)")
    assert 0 < sum(1 for _ in own.images(SPLIT)) < before


# ------------------------------------------------------------------ for training


def test_the_pipeline_gives_batches_of_every_sample_once(reader: DatasetReader) -> None:
    shards = [shard.path for shard in reader.shards(SPLIT)]
    wanted = {sample.texts["taxon.txt"] for sample in reader.images(SPLIT)}
    pipeline = training_pipeline(
        shards,
        text="taxon",
        image=lambda picture: np.asarray(picture, np.float32).transpose(2, 0, 1),
        tokenize=str.upper,
        batch_size=8,
        seed=3,
        partial=True,
    )
    batches = list(pipeline)
    assert all(images.shape[1:] == (3, 224, 224) and images.dtype == np.float32 for images, _ in batches)
    assert [len(texts) for _, texts in batches[:-1]] == [8] * (len(batches) - 1)
    seen = [text for _, texts in batches for text in texts]
    assert len(seen) == sum(shard.samples for shard in reader.shards(SPLIT))
    assert set(seen) == {text.upper() for text in wanted}
    assert [text for _, texts in pipeline for text in texts] != seen, "the next pass has another order"


def test_without_shuffling_pairs_come_in_the_order_of_the_shards(reader: DatasetReader) -> None:
    shards = [str(shard.path) for shard in reader.shards(SPLIT)]
    pairs = list(training_pipeline(shards, text="taxonTag_com", shuffle=0))
    assert [text for _, text in pairs] == [sample.texts["taxonTag_com.txt"] for sample in reader.images(SPLIT)]
    assert all(isinstance(picture, Image.Image) and picture.mode == "RGB" for picture, _ in pairs)


def test_random_texts_are_drawn_anew_in_each_pass_and_the_same_for_a_seed(reader: DatasetReader) -> None:
    shards = [shard.path for shard in reader.shards(SPLIT)]
    samples = list(reader.images(SPLIT))

    def drawn(seed: int | None, passes: int) -> list[list[str]]:
        pipeline = training_pipeline(shards, shuffle=0, seed=seed)
        return [[text for _, text in pipeline] for _ in range(passes)]

    first, second = drawn(5, 2)
    assert first != second
    assert drawn(5, 2) == [first, second]
    assert drawn(6, 1) != [first]
    for text, sample in zip(first, samples, strict=True):
        assert text in {sample.texts[f"{kind}.txt"] for kind in RANDOM_TEXTS}
    choice = TextChoice(seed=1)
    counts = Counter(choice.drawn(f"key {n}", 0) for n in range(5000))
    assert set(counts) == set(RANDOM_TEXTS)
    assert min(counts.values()) > 900
    choice.set_epoch(4)
    list(choice([]))
    assert choice.epoch == 4


def test_a_text_that_is_none_is_refused(reader: DatasetReader) -> None:
    with pytest.raises(UsageError, match="no text 'caption'") as caught:
        training_pipeline(["a.tar"], text="caption")
    assert "taxonTag_com" in str(caught.value.hint)
    with pytest.raises(UsageError, match="no shard"):
        training_pipeline([])
    assert {f"{text}.txt" for text in TEXT_TYPES} == set(EXTENSIONS)


def test_webdataset_reads_the_shards_by_itself_too(reader: DatasetReader) -> None:
    shards = [str(shard.path) for shard in reader.shards(SPLIT)]
    pairs = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("jpg", "sci_com.txt")
    assert [text for _, text in pairs] == [sample.texts["sci_com.txt"] for sample in reader.images(SPLIT)]


def test_the_example_feeds_batches(written_demo: Path) -> None:
    script = ROOT / "docs" / "examples" / "train_batches.py"
    words = ("--db", written_demo, "--batch-size", "16", "--text", "sci_com")
    done = subprocess.run(
        [sys.executable, script, *words], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"images \(16, 3, 224, 224\) \S*float32, texts 16: ", done.stdout)
    samples = sum(shard.samples for shard in open_dataset(written_demo).shards(SPLIT))
    assert f"epoch 0: {samples} samples" in done.stdout
