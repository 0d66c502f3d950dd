"""From a raw tree to shards, on the generated demo tree and on the published corpora."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import webdataset
from PIL import Image

from tests.running import DATASET, SPLITS, manifest, plan, shards_of, tol_db
from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.demo_tree import DemoTree

TEXTS = 10


def samples(out: Path) -> dict[str, dict[str, dict[str, bytes]]]:
    """split → key → extension → bytes, by plain tarfile; members of a sample are contiguous."""
    found: dict[str, dict[str, dict[str, bytes]]] = {split: {} for split in SPLITS}
    for path in sorted(out.glob("*/*/*.tar")):
        last = None
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                sample = found[path.parent.name].setdefault(key, {})
                assert key == last or not sample, f"{key} is torn apart"
                assert extension not in sample
                file = tar.extractfile(member)
                assert file is not None
                sample[extension] = file.read()
                last = key
    return found


def rows(db: Path, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(db) as connection:
        return connection.execute(sql).fetchall()


# ------------------------------------------------------------------ the published corpus


@needs_shared
def test_the_dev_corpus_comes_out_as_the_published_procedure_wrote_it_without_the_leak(
    corpus_db: Callable[[str], Path], tmp_path: Path
) -> None:
    corpus = SHARED_DATA / "corpora" / "dev"
    db, out = corpus_db("dev"), tmp_path / "out"
    plan(db, out)
    tol_db(db, "materialize", "--dataset", DATASET, "--workers", 2)
    written = samples(out)

    truth = manifest(corpus)
    keep = {split: {r["id"] for r in truth if r["fate"] == "keep" and r["split"] == split} for split in SPLITS}
    keep["train_small"] = {r["id"] for r in truth if r["fate"] == "keep" and r["small"]}
    assert {split: set(keys) for split, keys in written.items()} == keep
    assert sum(map(len, keep.values())) > 350

    published = [json.loads(line) for line in (corpus / "published_procedure.jsonl").open(encoding="utf-8")]
    compared = 0
    for record in published:
        if record["fate"] != "keep":
            assert record["key"] not in written[record["split"]]
            continue
        sample = written[record["split"]][record["key"]]
        assert {ext: text.encode() for ext, text in record["texts"].items()} == {
            ext: data for ext, data in sample.items() if ext != "jpg"
        }
        assert hashlib.sha256(sample["jpg"]).hexdigest() == record["jpg_sha256"]
        compared += 1
    assert compared == sum(map(len, keep.values()))

    reason = {
        "drop:rare-species": "blacklisted_taxon",
        "drop:rare-image": "blacklisted_image",
        "drop:no-name": "no_label",
    }
    told = {
        (split, id): outcome
        for split, id, outcome in rows(db, "SELECT split, treeoflife_id, outcome FROM v_exclusion")
    }
    dropped = [r for r in truth if r["fate"] in reason]
    for record in dropped:
        # an unseen species' image stands in the list by name and by file: the file's entry is the nearer one
        expected = {reason[record["fate"]], "blacklisted_image"} if record["rare"] else {reason[record["fate"]]}
        assert told[record["split"], record["id"]] in expected
    assert len({id for _, id in told}) == len(dropped)
    strays = {r["id"] + ".jpg" for r in truth if r["fate"] == "drop:unmapped"}
    assert {name for (name,) in rows(db, "SELECT member FROM stray_member")} == strays
    tol_db(db, "doctor")


@needs_shared
@pytest.mark.parametrize("recipe", ["tol10m", "clean"])
def test_on_the_adversarial_corpus_every_image_ends_with_an_outcome(
    corpus_db: Callable[[str], Path], tmp_path: Path, recipe: str
) -> None:
    corpus = SHARED_DATA / "corpora" / "dev_adversarial"
    db, out = corpus_db("dev_adversarial"), tmp_path / "out"
    plan(db, out, recipe)
    tol_db(db, "materialize", "--dataset", DATASET, "--workers", 2)
    outcome = dict(rows(db, "SELECT treeoflife_id, outcome FROM v_sample WHERE split <> 'train_small'"))
    left_out = {
        "zero_byte": "decode_error",
        "not_image": "decode_error",
        "bomb_header": "too_large",
        "png16": "unsupported_mode" if recipe == "tol10m" else "written",
        "la_png": "unsupported_mode" if recipe == "tol10m" else "written",
        "trunc_jpeg": "written" if recipe == "tol10m" else "truncated",
    }
    keep = [r for r in manifest(corpus) if r["fate"] == "keep"]
    assert {r["id"]: outcome.get(r["id"]) for r in keep} == {
        r["id"]: left_out.get(r.get("bad", ""), "written") for r in keep
    }
    for split, found in samples(out).items():
        for key, sample in found.items():
            picture = Image.open(io.BytesIO(sample["jpg"]))
            picture.load()
            assert picture.size == (224, 224)
            if recipe == "clean":
                assert picture.mode == "RGB", (split, key)
                assert picture.getexif().get(0x0112, 1) == 1
    assert rows(db, "SELECT count(*) FROM shard WHERE state <> 'complete'") == [(0,)]
    tol_db(db, "doctor")


# ------------------------------------------------------------------ the generated tree


def test_every_sample_reads_back_with_webdataset_and_tarfile(demo_db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan(demo_db, out, "clean", "--shard-images", 20)
    tol_db(demo_db, "materialize", "--workers", 2)
    by_tarfile = samples(out)
    planned = dict(rows(demo_db, "SELECT split, count(*) FROM v_sample WHERE outcome = 'written' GROUP BY split"))
    assert {split: len(found) for split, found in by_tarfile.items()} == planned
    for split in SPLITS:
        urls = [str(p) for p in sorted(out.glob(f"*/{split}/*.tar"))]
        pipeline = webdataset.WebDataset(urls, shardshuffle=False).decode("pil")
        keys = []
        for key, picture, text in pipeline.to_tuple("__key__", "jpg", "sci.txt"):
            assert (picture.size, picture.mode) == ((224, 224), "RGB")
            assert text.startswith("a photo of ")
            assert len(by_tarfile[split][key]) == TEXTS + 1
            keys.append(key)
        assert len(keys) == len(set(keys)) == planned[split]


def test_the_planted_faults_of_the_demo_tree_have_their_reasons(
    demo_db: Path, demo_tree: DemoTree, tmp_path: Path
) -> None:
    plan(demo_db, tmp_path / "out", "clean")
    tol_db(demo_db, "materialize")
    told = Counter(o for (o,) in rows(demo_db, "SELECT outcome FROM v_exclusion WHERE split <> 'train_small'"))
    told += Counter(o for (o,) in rows(demo_db, "SELECT outcome FROM v_sample WHERE split <> 'train_small'"))
    assert told["truncated"] == told["decode_error"] == told["no_label"] == told["source_missing"] == 1
    assert told["blacklisted_image"] + told["blacklisted_taxon"] == demo_tree.held_out + demo_tree.unseen
    assert sum(told.values()) == demo_tree.mapped
    assert "pending" not in told


def test_two_runs_in_two_folders_with_other_worker_counts_are_equal(
    demo_tree: DemoTree, demo_db: Path, tmp_path: Path
) -> None:
    made = []
    for name, workers in (("one", 1), ("two", 3)):
        folder = tmp_path / name
        folder.mkdir()
        db = folder / "tol.sqlite"
        tol_db(db, "init")
        tol_db(db, "ingest", "tol10m", demo_tree.tree)
        tol_db(
            *(db, "ingest", "blacklist", "rare", "--images", demo_tree.rare_seen),
            *("--species", demo_tree.rare_unseen),
        )
        plan(db, folder / "out", "tol10m", "--shard-images", 15)
        tol_db(db, "materialize", "--workers", workers)
        catalog = folder / "catalog.csv"
        tol_db(db, "export", "catalog", "--dataset", DATASET, "-o", catalog)
        digest = rows(db, "SELECT plan_digest FROM dataset")
        made.append((digest, shards_of(folder / "out"), catalog.read_bytes()))
    assert made[0][0] == made[1][0]
    assert made[0][1] == made[1][1]
    assert made[0][2] == made[1][2]
    assert len(made[0][1]) > 6


def test_a_second_run_finds_nothing_pending_and_touches_no_file(demo_db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan(demo_db, out, "tol10m")
    tol_db(demo_db, "materialize")
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in out.rglob("*") if p.is_file()}
    assert "nothing is pending" in tol_db(demo_db, "materialize").stdout
    assert before == {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in out.rglob("*") if p.is_file()}


def test_shuffled_order_needs_random_access_and_mixes_the_sources(
    demo_db: Path, demo_tree: DemoTree, tmp_path: Path
) -> None:
    import gzip
    import shutil

    out = tmp_path / "out"
    words = ("plan", out, "--dataset", DATASET, "--split", "train", "--order", "shuffled", "--shard-images", 20)
    refused = tol_db(demo_db, *words, expect=2)
    assert "cannot be read at random" in refused.stderr
    assert not out.exists()
    copy = tmp_path / "tree"
    shutil.copytree(demo_tree.tree, copy)
    for archive in sorted((copy / "dataset" / "eol").glob("*.tar.gz")):
        with gzip.open(archive) as zipped, archive.with_suffix("").open("wb") as plain:
            shutil.copyfileobj(zipped, plain)
        archive.unlink()
    tol_db(demo_db, "ingest", "containers", copy)
    tol_db(demo_db, *words)
    tol_db(demo_db, "materialize", "--workers", 2)
    mixed = rows(
        demo_db,
        """SELECT count(DISTINCT i.source_id) FROM shard_image m JOIN image i ON i.id = m.image_id
           GROUP BY m.shard_id""",
    )
    assert min(mixed) >= (2,)
    tol_db(demo_db, "doctor")


def test_only_the_named_shards_or_units_are_written(demo_db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan(demo_db, out, "tol10m", "--shard-images", 15)
    tol_db(demo_db, "materialize", "--shards", "1-2")
    assert rows(demo_db, "SELECT number FROM shard WHERE state = 'complete' ORDER BY 1") == [(1,), (2,)]
    tol_db(demo_db, "materialize", "--units", "0")
    states = rows(
        demo_db,
        """SELECT u.number, h.state FROM shard h JOIN work_unit u ON u.id = h.work_unit_id ORDER BY h.number""",
    )
    assert {state for unit, state in states if unit == 0} == {"complete"}
    assert {unit for unit, state in states if state == "complete"} == {0}
    tol_db(demo_db, "doctor")


def test_a_retry_reads_the_images_of_one_outcome_again(demo_db: Path, demo_tree: DemoTree, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan(demo_db, out, "clean")
    tol_db(demo_db, "materialize")
    before = shards_of(out)
    done = tol_db(demo_db, "materialize", "--retry", "truncated")
    assert "1 shards opened again" in done.stdout
    assert "truncated 1" in done.stdout
    assert shards_of(out) == before
    assert len(list(out.rglob("*.old-*"))) == 1
    assert "not an outcome of reading" in tol_db(demo_db, "materialize", "--retry", "no_label", expect=2).stderr
    tol_db(demo_db, "doctor")
