"""A planned dataset as the materializer sees it, and the recipe that its shards are written with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from materialize.recipe import Recipe, digest, library_versions
from materialize.root import Marker
from tol_db.db.bulk import query
from tol_db.errors import RecipeChanged, UsageError, did_you_mean


@dataclass(frozen=True, slots=True)
class Dataset:
    """A planned dataset.

    Attributes:
        id: database id.
        recipe_digest: 32 bytes, parameters and library versions.
        order: ``source`` or ``shuffled``.
        shard_images: images per shard at most.
    """

    id: int
    name: str
    uuid: str
    output_root: Path
    recipe: Recipe
    recipe_digest: bytes
    versions: str
    order: str
    seed: int
    shard_images: int

    @property
    def marker(self) -> Marker:
        return Marker(self.uuid, self.name)


def load_dataset(conn: sa.Connection, name: str | None) -> Dataset:
    """The dataset of a name; without one, the only dataset there is.

    Raises:
        UsageError: no such dataset, none at all, or several and none named.
    """
    names = [row[0] for row in query(conn, "SELECT name FROM dataset ORDER BY name")]
    if not names:
        raise UsageError("no dataset is planned", hint="tol-db plan OUT --dataset NAME --split SPLIT")
    if name is None and len(names) > 1:
        raise UsageError("there are several datasets", hint=f"name one with --dataset: {', '.join(names)}")
    name = names[0] if name is None else name  # "" is a name too, and hardly that of the first one
    if name not in names:
        raise UsageError(f"no dataset {name!r}", hint=did_you_mean(name, names, f"datasets: {', '.join(names)}"))
    row = next(
        query(
            conn,
            """SELECT d.id, d.uuid, d.output_root, d.image_order, d.seed, d.shard_images, r.name,
                      r.parameters, r.digest, r.pillow, r.libjpeg_turbo, r.resizer
               FROM dataset d JOIN recipe r ON r.id = d.recipe_id WHERE d.name = ?""",
            (name,),
        )
    )
    id, uuid, root, order, seed, shard_images, recipe, parameters, recipe_digest, *versions = row
    return Dataset(
        id=id,
        name=name,
        uuid=uuid,
        output_root=Path(root),
        recipe=Recipe.from_parameters({**json.loads(parameters), "name": recipe}),
        recipe_digest=recipe_digest,
        versions=_told(*versions),
        order=order,
        seed=seed,
        shard_images=shard_images,
    )


def require_name(name: str) -> None:
    """Check the name of a new dataset: one that can be typed, and told apart in a line of text.

    Raises:
        UsageError: it is empty, blank, or holds control characters or bytes that are not UTF-8.
    """
    if not name.strip() or not name.isprintable():
        raise UsageError(
            f"{name!r} cannot name a dataset", hint="use letters, digits and what else can be typed on a line"
        )


def require_same_recipe(dataset: Dataset) -> None:
    """Check that this environment writes the bytes that were planned.

    Raises:
        RecipeChanged: another version of Pillow, libjpeg-turbo or the resizer is installed.
    """
    now = library_versions(dataset.recipe)
    if bytes.fromhex(digest(dataset.recipe, now)) != dataset.recipe_digest:
        raise RecipeChanged(
            f"dataset {dataset.name!r} was planned with {dataset.versions}; "
            f"here is {_told(now.pillow, now.libjpeg_turbo, now.resizer)}",
            hint="install those versions, or replan with these: "
            f"`tol-db plan --dataset {dataset.name} --refresh` (all its shards are then written anew)",
        )


def _told(pillow: str, libjpeg_turbo: str, resizer: str | None) -> str:
    return f"Pillow {pillow}, libjpeg-turbo {libjpeg_turbo}" + (f", resizer {resizer}" if resizer else "")
