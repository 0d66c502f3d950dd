"""Recipes as values: their parameters, their digest, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import PIL
import pytest

from materialize.recipe import (
    BUILT_IN,
    CLEAN,
    TOL10M,
    Recipe,
    Versions,
    check_resizer,
    digest,
    library_versions,
)
from tol_db.errors import InputError, UsageError

VERSIONS = Versions(pillow="13.0.0", libjpeg_turbo="3.2.0", resizer="4.0.1")

OTHER_VALUES: dict[str, Any] = {
    "width": 256,
    "height": 336,
    "resampler": "pillow-bicubic",
    "quality": 90,
    "subsampling": None,
    "mode": "published",
    "alpha": "white",
    "exif_upright": False,
    "truncated": "accept",
    "dct_scaling": False,
    "max_pixels": 10_000_000,
    "pixels_counted": "as_stored",
    "keep_comment": True,
}


def test_the_built_in_recipes_are_those_of_the_design() -> None:
    assert list(BUILT_IN) == ["tol10m", "clean"]
    assert TOL10M.parameters() == {
        "name": "tol10m",
        "width": 224,
        "height": 224,
        "resampler": "pillow-bicubic",
        "quality": 100,
        "subsampling": None,
        "mode": "published",
        "alpha": "drop",
        "exif_upright": False,
        "truncated": "accept",
        "dct_scaling": False,
        "max_pixels": 1_800_000_000,
        "pixels_counted": "as_stored",
        "keep_comment": True,
        "captions": "tol10m",
    }
    assert CLEAN.parameters() == {
        "name": "clean",
        "width": 224,
        "height": 224,
        "resampler": "cykooz-catmull-rom",
        "quality": 95,
        "subsampling": "4:4:4",
        "mode": "rgb",
        "alpha": "drop",
        "exif_upright": True,
        "truncated": "leave_out",
        "dct_scaling": True,
        "max_pixels": 80_000_000,
        "pixels_counted": "as_decoded",
        "keep_comment": False,
        "captions": "tol10m",
    }


@pytest.mark.parametrize("recipe", BUILT_IN.values(), ids=str)
def test_a_recipe_comes_back_from_its_parameters_by_way_of_json(recipe: Recipe) -> None:
    assert Recipe.from_parameters(json.loads(json.dumps(recipe.parameters()))) == recipe
    assert recipe.size == (224, 224)


def test_each_parameter_but_the_name_changes_the_digest() -> None:
    base = CLEAN.with_(resampler="pillow-bicubic")  # takes every other value by itself
    seen = {digest(base, VERSIONS), digest(CLEAN, VERSIONS)}
    for key, value in OTHER_VALUES.items():
        if key != "resampler":
            seen.add(digest(base.with_(**{key: value}), VERSIONS))
    assert len(seen) == len(OTHER_VALUES) + 1
    assert set(OTHER_VALUES) | {"name", "captions"} == {field.name for field in dataclasses.fields(Recipe)}
    assert digest(base.with_(name="mine"), VERSIONS) == digest(base, VERSIONS)


def test_each_library_version_changes_the_digest() -> None:
    others = [
        dataclasses.replace(VERSIONS, pillow="12.0.0"),
        dataclasses.replace(VERSIONS, libjpeg_turbo="3.1.0"),
        dataclasses.replace(VERSIONS, resizer="4.0.2"),
    ]
    assert len({digest(CLEAN, versions) for versions in [VERSIONS, *others]}) == 4


def test_the_digest_is_the_same_in_every_process_and_release() -> None:
    # Datasets keep it: if this value has to change, planned datasets cannot be continued.
    assert digest(TOL10M, Versions("13.0.0", "3.2.0", None)) == (
        "c39b58462ca7567ced7c800e0e275b22eaa90b6f5967a5266908ae842c9b9905"
    )


def test_versions_are_those_of_the_libraries_in_use() -> None:
    clean, published = library_versions(CLEAN), library_versions(TOL10M)
    assert clean.pillow == published.pillow == PIL.__version__
    assert clean.libjpeg_turbo == published.libjpeg_turbo
    assert clean.libjpeg_turbo[0].isdigit() or clean.libjpeg_turbo.startswith("libjpeg ")
    assert clean.resizer is not None
    assert clean.resizer.split(".")[0] == "4"
    assert published.resizer is None


def test_a_resizer_that_is_not_installed_is_an_error_and_no_other_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cykooz_resizer", None)
    for use in (check_resizer, library_versions):
        with pytest.raises(UsageError, match="cykooz-catmull-rom") as caught:
            use(CLEAN)
        assert caught.value.hint is not None
        assert "pip install cykooz-resizer" in caught.value.hint
    check_resizer(TOL10M)
    assert library_versions(TOL10M).resizer is None


@pytest.mark.parametrize(
    ("overrides", "named", "allowed"),
    [
        ({"width": 0}, "width", "a whole number from 1 to 65500"),
        ({"height": 65_501}, "height", "a whole number from 1 to 65500"),
        ({"width": 224.0}, "width", "whole number"),
        ({"width": "224"}, "width", "whole number"),
        ({"quality": 101}, "quality", "a whole number from 1 to 100"),
        ({"quality": True}, "quality", "whole number"),
        ({"max_pixels": 0}, "max_pixels", "a whole number from 1"),
        ({"subsampling": "4:1:1"}, "subsampling", "null, '4:4:4', '4:2:2', '4:2:0'"),
        ({"resampler": "lanczos"}, "resampler", "'pillow-bicubic', 'cykooz-catmull-rom'"),
        ({"truncated": None}, "truncated", "'accept', 'leave_out'"),
        ({"mode": ["rgb"]}, "mode", "'published', 'rgb'"),
        ({"exif_upright": 1}, "exif_upright", "true or false"),
        ({"captions": "none"}, "captions", "'tol10m'"),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_named_with_what_is_allowed(
    overrides: dict[str, Any], named: str, allowed: str
) -> None:
    with pytest.raises(InputError, match=f"{named} is ") as overridden:
        CLEAN.with_(**overrides)
    with pytest.raises(InputError, match=f"{named} is ") as read:
        Recipe.from_parameters({**CLEAN.parameters(), **overrides})
    assert overridden.value.hint == read.value.hint
    assert overridden.value.hint is not None
    assert allowed in overridden.value.hint


def test_an_unknown_key_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(InputError, match="unknown key 'qualty'") as caught:
        CLEAN.with_(qualty=90)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Did you mean quality?")
    with pytest.raises(InputError, match="unknown key 'x'"):
        Recipe.from_parameters({**CLEAN.parameters(), "x": 1})


def test_a_missing_key_is_named() -> None:
    parameters = CLEAN.parameters()
    del parameters["quality"]
    with pytest.raises(InputError, match="quality not given"):
        Recipe.from_parameters(parameters)


@pytest.mark.parametrize("name", ["", "  ", None, 7], ids=repr)
def test_a_recipe_needs_a_name(name: object) -> None:
    with pytest.raises(InputError, match="name"):
        CLEAN.with_(name=name)


def test_values_at_odds_with_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="mode 'published' keeps modes"):
        CLEAN.with_(mode="published")
    with pytest.raises(InputError, match="no effect"):
        TOL10M.with_(alpha="white")
    CLEAN.with_(mode="published", resampler="pillow-bicubic")
    CLEAN.with_(alpha="white")


def test_parameters_that_are_no_table_are_refused() -> None:
    with pytest.raises(InputError, match="must be a table"):
        Recipe.from_parameters(["clean"])  # type: ignore[arg-type]
