"""Feeds batches as open_clip's training loop takes them: images (B, 3, H, W), normalised, and texts.

    python docs/examples/train_batches.py --db tol.sqlite --dataset tol10m --split train --batch-size 256

With open_clip installed, texts are tokenised (B, 77); with torch, images are tensors. Without either, images are
numpy arrays and texts are strings: enough to see that everything is in its place.
"""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tol_db.reading import open_dataset
from tol_db.reading.pipeline import TEXT_TYPES, training_pipeline

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)  # of CLIP's training images
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def preprocess(picture: Image.Image) -> npt.NDArray[np.float32]:
    """An RGB picture as CLIP takes it, shape (3, height, width). The shards have the right size already."""
    pixels = np.asarray(picture, np.float32) / 255
    return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(2, 0, 1))


def tokenizer() -> Any:
    """open_clip's, or None: the texts stay."""
    if find_spec("open_clip") is None:
        return None
    import open_clip

    tokenize = open_clip.get_tokenizer("ViT-B-16")
    return lambda text: tokenize([text])[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", type=Path, default=Path("tol.sqlite"))
    parser.add_argument("--dataset")
    parser.add_argument("--split", default="train")
    parser.add_argument("--text", default="random", choices=["random", *TEXT_TYPES])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    dataset = open_dataset(args.db, args.dataset)
    shards = [shard.path for shard in dataset.shards(args.split)]
    pipeline = training_pipeline(
        shards,
        text=args.text,
        image=preprocess,
        tokenize=tokenizer(),
        batch_size=args.batch_size,
        seed=args.seed,
        partial=True,
    )
    for epoch in range(args.epochs):
        begin, seen = time.monotonic(), 0
        for images, texts in pipeline:
            if find_spec("torch") is not None:
                import torch

                images = torch.as_tensor(images)
            # here the model would take them: loss = model(images, texts)
            seen += len(images)
            print(f"epoch {epoch}: images {tuple(images.shape)} {images.dtype}, texts {len(texts)}: {texts[0]}")
        print(f"epoch {epoch}: {seen} samples, {seen / (time.monotonic() - begin):.0f} a second")


if __name__ == "__main__":
    main()
