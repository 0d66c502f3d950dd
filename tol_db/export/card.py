"""The card of a dataset: README.md with the header that the Hugging Face hub and `datasets` read.

Lies in the output root, beside the folders of shards; `datasets.load_dataset(ROOT)` then knows splits and features.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from materialize.captions import EXTENSIONS
from materialize.dataset import load_dataset
from materialize.root import split_folder
from tol_db.db.engine import Database
from tol_db.errors import printed
from tol_db.export.citation import citation, description
from tol_db.export.facts import (
    DatasetFacts,
    LicenceFacts,
    dataset_facts,
    licence_facts,
    parameters_text,
)
from tol_db.export.output import text_output
from tol_db.licences import spelled

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_LARGER = "10M<n<100M"
_HUB_LICENCES = frozenset(
    {"cc0-1.0"}
    | {f"cc-{kind}-4.0" for kind in ("by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")}
    | {f"cc-{kind}-3.0" for kind in ("by", "by-sa", "by-nc", "by-nc-sa", "by-nc-nd")}
    | {f"cc-{kind}-2.0" for kind in ("by", "by-nc", "by-nc-sa")}
    | {"cc-by-2.5"}
)
"""Licences that the hub has a word for; their versions count."""
_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)/(\d\.\d)")
_ADDRESS = re.compile(r"https?://[^\s<>|]+")
_MEANINGS = {
    "com.txt": "`a photo of {common}.`",
    "common_name.txt": "the common name, else scientific, else taxonomic",
    "sci.txt": "`a photo of {scientific}.`",
    "sci_com.txt": "`a photo of {scientific} with common name {common}.`",
    "scientific_name.txt": "genus and species",
    "taxon.txt": "`a photo of {taxonomic}.`",
    "taxonTag.txt": "`a photo of kingdom {kingdom} phylum {phylum} ….`",
    "taxonTag_com.txt": "`a photo of kingdom {kingdom} … with common name {common}.`",
    "taxon_com.txt": "`a photo of {taxonomic} with common name {common}.`",
    "taxonomic_name.txt": "the seven ranks, empty ones left out",
}


@dataclass(frozen=True, slots=True)
class CardSummary:
    """How many splits it tells of; pending: images that are not written yet."""

    dataset: str
    splits: int
    pending: int


def export_card(db: Database, name: str | None, target: Path | None, *, title: str | None = None) -> CardSummary:
    """Write the card of a dataset.

    Args:
        title: for people; None: the dataset's name.

    Raises:
        UsageError: no such dataset.
        CannotWrite: the file cannot be written.
    """
    with db.read() as conn:
        dataset = load_dataset(conn, name)
        facts, licences = dataset_facts(conn, dataset), licence_facts(conn, dataset)
    folders = {split.name: split_folder(dataset.recipe.size, split.name).as_posix() for split in facts.splits}
    with text_output(target) as file:
        for line in card(facts, licences, folders, title or facts.name):
            file.write(line + "\n")
    return CardSummary(facts.name, len(facts.splits), facts.pending)


def card(
    facts: DatasetFacts, licences: Sequence[LicenceFacts], folders: dict[str, str], title: str
) -> Iterator[str]:
    """The lines of the card."""
    yield from _header(facts, licences, folders, title)
    yield from ("", f"# {_plain(title)}", "", _plain(description(facts)))
    if facts.pending:
        yield from ("", f"**Not complete: {facts.pending:,} images are planned and not written yet.**")
    yield from _splits(facts, folders)
    yield from _members()
    yield from _usage(facts, folders)
    yield from _sources(facts)
    yield from _licences(facts, licences)
    yield from _built(facts)


def split_names(names: Sequence[str]) -> dict[str, str]:
    """Name → what `datasets` takes for it: letters, digits, underscores; each its own, the first its plainest."""
    taken: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\W+", "_", name)
        free = (f"{plain}_{number}" if number > 1 else plain for number in itertools.count(1))
        taken[next(each for each in free if each not in taken)] = name
    return {name: each for each, name in taken.items()}


def _header(
    facts: DatasetFacts, licences: Sequence[LicenceFacts], folders: dict[str, str], title: str
) -> Iterator[str]:
    """YAML; texts are written as JSON strings, which YAML takes as they are."""
    size = next((word for limit, word in _SIZES if facts.written < limit), _LARGER)
    there = [split for split in facts.splits if split.shards]
    names = split_names([split.name for split in there])
    yield from ("---", f"pretty_name: {json.dumps(title, ensure_ascii=False)}", "license:")
    yield from (f"- {word}" for word in _hub_licences(licences))
    yield from ("task_categories:", "- image-classification", "- zero-shot-image-classification")
    yield from ("tags:", "- biology", "- taxonomy", "- webdataset", "size_categories:", f"- {size}")
    yield from ("dataset_info:", "  features:")
    for member in sorted(("jpg", *EXTENSIONS)):
        yield from (f"  - name: {member}", f"    dtype: {'image' if member == 'jpg' else 'string'}")
    yield from ("  - name: __key__", "    dtype: string", "  - name: __url__", "    dtype: string")
    yield "  splits:"
    for split in there:
        yield from (f"  - name: {names[split.name]}", f"    num_bytes: {split.size}")
        yield f"    num_examples: {split.written}"
    yield f"  dataset_size: {sum(split.size for split in there)}"
    yield from ("configs:", "- config_name: default", "  data_files:")
    for split in there:
        yield f"  - split: {names[split.name]}"
        yield f"    path: {json.dumps(folders[split.name] + '/*.tar')}"
    yield "---"


def _hub_licences(licences: Sequence[LicenceFacts]) -> list[str]:
    """The hub's words for the licences; ``other`` for what it has none for, or where there is none."""
    words = set()
    for licence in licences:
        found = _CREATIVE_COMMONS.search(licence.link)
        kind = found[1].replace("zero", "0") if found else ""
        word = f"cc{'' if kind == '0' else '-'}{kind}-{found[2]}" if found else spelled(licence.name)
        words.add(word if word in _HUB_LICENCES else "other")
    return sorted(words) or ["other"]


def _splits(facts: DatasetFacts, folders: dict[str, str]) -> Iterator[str]:
    yield from ("", "## Splits", "", "| split | samples | shards | GB | folder |", "|---|--:|--:|--:|---|")
    for split in facts.splits:
        counts = f"{split.written:,} | {split.shards:,} | {split.size / 1e9:,.3f}"
        yield f"| {_plain(split.name)} | {counts} | `{folders[split.name]}` |"
    yield from ("", "Members of a split that are not in it, and why:", "")
    for split in facts.splits:
        told = ", ".join(f"{name} {images:,}" for name, images in split.reasons) or "none"
        policy = f"policy {split.policy}"
        if split.fraction is not None:
            policy += f", fraction {split.fraction:g}, seed {split.seed}"
        yield f"- {_plain(split.name)} ({policy}): {told}"


def _members() -> Iterator[str]:
    yield from ("", "## A sample", "", "The key of a sample is its TreeOfLife id.", "")
    yield from ("| member | holds |", "|---|---|", "| `jpg` | the picture |")
    yield from (f"| `{extension}` | {_MEANINGS[extension]} |" for extension in EXTENSIONS)


def _usage(facts: DatasetFacts, folders: dict[str, str]) -> Iterator[str]:
    largest = max(facts.splits, key=lambda split: split.shards, default=None)
    folder = folders[largest.name] if largest is not None else "224x224/train"
    last = max(largest.shards if largest is not None else 1, 1) - 1
    yield from (
        "",
        "```python",
        "import webdataset as wds",
        "",
        f'shards = "{folder}/shard-{{000000..{last:06d}}}.tar"',
    )
    yield 'pipeline = wds.WebDataset(shards, shardshuffle=100).decode("pil").to_tuple("jpg", "sci_com.txt")'
    yield "```"


def _sources(facts: DatasetFacts) -> Iterator[str]:
    yield from ("", "## Sources", "")
    for source in facts.sources:
        parts = [f"{source.images:,} samples"]
        parts += [part for part in (source.release and f"release {source.release}", source.url) if part]
        told = f"- **{_plain(source.title)}** ({', '.join(map(_plain, parts))})"
        yield f"{told}. {_plain(source.citation)}" if source.citation else told
    yield from ("", "Cite as:", "", f"> {_plain(citation(facts))}")


def _licences(facts: DatasetFacts, licences: Sequence[LicenceFacts]) -> Iterator[str]:
    yield from ("", "## Licences", "")
    yield "Each image stands under the licence of its owner; `tol-db export licences` lists them image by image."
    if facts.licence_filter:
        yield f"Only images of these licences were taken: {', '.join(map(_plain, facts.licence_filter))}."
    yield from ("", "| licence | samples |", "|---|--:|")
    for licence in licences:
        name = _plain(licence.name)
        linked = f"[{name}](<{licence.link}>)" if _ADDRESS.fullmatch(licence.link) else name
        yield f"| {linked} | {licence.images:,} |"


def _built(facts: DatasetFacts) -> Iterator[str]:
    yield from ("", "## How it was built", "")
    yield f"- recipe `{facts.recipe_name}`, digest `{facts.recipe_digest}`: {parameters_text(facts.parameters)}"
    yield f"- libraries: {', '.join(f'{name} {version}' for name, version in facts.versions.items())}"
    order = f"{facts.order}, seed {facts.seed}" if facts.order == "shuffled" else facts.order
    yield f"- plan digest `{facts.plan_digest}`: order {order}, at most {facts.shard_images:,} images a shard"
    lists = ", ".join(f"{_plain(b.name)} ({b.entries:,} entries)" for b in facts.blacklists) or "none"
    yield f"- blacklists: {lists}"
    for taxonomy in facts.taxonomies:
        named = f"{taxonomy.name}@{taxonomy.version}"
        yield f"- labels by taxonomy {_plain(named)}, digest `{taxonomy.digest}`, made of " + (
            ", ".join(map(_plain, taxonomy.sources)) or "no source"
        )
    yield f"- schema of the database: {facts.revision}"
    yield from ("", "| file that was read | kind | rows | sha256 |", "|---|---|--:|---|")
    for file in facts.files:
        yield f"| {_plain(file.name)} | {_plain(file.kind)} | {file.rows:,} | `{file.sha256}` |"


def _plain(text: str) -> str:
    """A text of others in a line of Markdown: no line breaks, no control signs, no markup of theirs."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", printed(" ".join(text.split())))
