"""Batches for training: a webdataset pipeline over shards, with the choices of text of BioCLIP's training.

It needs the shards alone, no database. torch is not needed either: where it is there, webdataset shares the shards
out among nodes and workers by it.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import webdataset as wds
from PIL import Image

from materialize.captions import EXTENSIONS
from tol_db.errors import InputError, UsageError

TEXT_TYPES = tuple(sorted(extension.removesuffix(".txt") for extension in EXTENSIONS))
"""What ``text`` can be, besides ``random``: the texts of a sample."""
RANDOM_TEXTS = ("sci", "com", "taxon", "sci_com", "taxon_com")
"""What ``random`` draws from (BioCLIP: mixed text type training)."""
IMAGES = ("jpg", "png", "jpeg", "webp")


class TextChoice:
    """A stage that gives each sample its ``text``: always the same one, or one drawn anew in every pass.

    Args:
        text: one of ``TEXT_TYPES``, or ``random``.
        seed: of the draw, which then depends on it, the pass and the sample's key alone, whatever the order and
            the number of workers. None: another draw in every run.

    Raises:
        UsageError: no such text.
    """

    def __init__(self, text: str = "random", seed: int | None = None) -> None:
        if text != "random" and text not in TEXT_TYPES:
            raise UsageError(f"no text {text!r}", hint=f"random, {', '.join(TEXT_TYPES)}")
        self.text = text
        self.seed = seed
        self.epoch = -1

    def set_epoch(self, epoch: int) -> None:
        """Have the next pass be number ``epoch``: for loaders that start their workers anew for each."""
        self.epoch = epoch - 1

    def __call__(self, samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        self.epoch += 1
        return self._choose(samples, self.epoch)

    def _choose(self, samples: Iterable[dict[str, Any]], epoch: int) -> Iterator[dict[str, Any]]:
        for sample in samples:
            kind = self.text if self.text != "random" else self.drawn(sample["__key__"], epoch)
            data = sample.get(f"{kind}.txt".lower())  # readers lower-case extensions
            if data is None:
                raise InputError(f"{sample.get('__url__')}: sample {sample['__key__']}: no {kind}.txt")
            yield {**sample, "text": data.decode()}

    def drawn(self, key: str, epoch: int) -> str:
        """Which text a sample gets in a pass."""
        if self.seed is None:
            return random.choice(RANDOM_TEXTS)
        digest = hashlib.blake2b(f"{self.seed}\0{epoch}\0{key}".encode(), digest_size=8).digest()
        return RANDOM_TEXTS[int.from_bytes(digest) % len(RANDOM_TEXTS)]


def training_pipeline(
    shards: Sequence[Path | str] | str,
    *,
    text: str = "random",
    image: Callable[[Image.Image], Any] | None = None,
    tokenize: Callable[[str], Any] | None = None,
    batch_size: int | None = None,
    shuffle: int = 1000,
    seed: int | None = None,
    partial: bool = False,
) -> Any:
    """A pipeline of (image, text) pairs, or of batches of them.

    Args:
        shards: paths or urls, or one with braces: ``…/shard-{000000..000941}.tar``.
        text: one of ``TEXT_TYPES``, or ``random`` (see :class:`TextChoice`).
        image: what becomes of each RGB picture, such as the preprocessing of open_clip; None: it stays.
        tokenize: what becomes of each text; None: it stays.
        batch_size: pairs to a batch: arrays and tensors are stacked, all else becomes a list; None: single pairs.
        shuffle: samples that are held to draw from; also shuffles the shards. 0: everything in its order.
        seed: of the shuffles and of the draw of texts. None: another one in every run; but shards are always in
            the same seeded order, a new one in each pass, because nodes and workers share them out by it.
        partial: also give a last batch that is not full.

    Returns:
        A ``webdataset.DataPipeline``: iterate over it, or hand it to a ``webdataset.WebLoader`` or torch's.

    Raises:
        UsageError: no such text, no shard.
    """
    urls = shards if isinstance(shards, str) else [str(shard) for shard in shards]
    if not urls:
        raise UsageError("no shard to read", hint="are they written? `tol-db report status`")
    stages: list[Any] = [wds.SimpleShardList(urls)]
    if shuffle:
        stages.append(wds.detshuffle(seed=0 if seed is None else seed))
    stages += [wds.split_by_node, wds.split_by_worker, wds.tarfile_to_samples()]
    if shuffle:
        stages.append(wds.shuffle(shuffle, rng=random.Random(seed)))
    stages += [TextChoice(text, seed), wds.map(_Pair(image, tokenize))]
    if batch_size is not None:
        stages.append(wds.batched(batch_size, partial=partial))
    return wds.DataPipeline(*stages)


class _Pair:
    """Sample → (image, text). A class, so that workers can be given it."""

    def __init__(self, image: Callable[[Image.Image], Any] | None, tokenize: Callable[[str], Any] | None) -> None:
        self.image, self.tokenize = image, tokenize

    def __call__(self, sample: dict[str, Any]) -> tuple[Any, Any]:
        data = next((sample[extension] for extension in IMAGES if extension in sample), None)
        if data is None:
            raise InputError(f"{sample.get('__url__')}: sample {sample['__key__']}: no picture")
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        text = sample["text"]
        return (
            self.image(picture) if self.image is not None else picture,
            self.tokenize(text) if self.tokenize is not None else text,
        )
