"""Source bytes → the JPEG of a sample: parity with the published procedure, clean, hostile bytes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import pickle
import sqlite3
import struct
import sys
import tarfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

import materialize.image
import materialize.image_resize
from materialize.image import LONGEST_SIDE, Converted, Rejected, convert
from materialize.image_memory import MODEST, estimate, is_modest
from materialize.recipe import BUILT_IN, CLEAN, TOL10M, Recipe
from tests.shared_data import SHARED_DATA, needs_shared
from tol_db.errors import UsageError

EXACT = CLEAN.with_(name="exact", resampler="pillow-bicubic", dct_scaling=False)
"""The clean recipe done by Pillow alone, with nothing left out."""

BOTH = pytest.mark.parametrize("recipe", BUILT_IN.values(), ids=lambda recipe: recipe.name)


# ------------------------------------------------------------------ pictures


@functools.cache
def scene(width: int, height: int, seed: int = 1) -> Image.Image:
    """RGB with slopes, blobs at every scale and sensor noise: about as hard to resize as a photograph."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((height, width, 3), np.float32)
    for cells in (2, 5, 13, 34, 89):
        layer = rng.uniform(-90, 90, (cells, cells, 3)) / np.sqrt(cells)
        bands = [
            np.asarray(Image.fromarray(layer[..., i].astype(np.float32)).resize((width, height), 3))
            for i in range(3)
        ]
        canvas += np.stack(bands, -1)
    canvas += 120 + rng.normal(0, 3, (height, width, 1))
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def saved(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    if format == "JPEG":
        options.setdefault("quality", 92)
    image.save(file, format, **options)
    return file.getvalue()


def pixels(jpg: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(jpg)).convert("RGB"), np.float64)


def psnr(one: bytes, two: bytes) -> float:
    error = float(np.mean((pixels(one) - pixels(two)) ** 2))
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def orientation_exif(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def published(data: bytes) -> bytes:
    """The published procedure for one image."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        if image.mode in ("RGBA", "P"):
            image = image.convert("RGB")
        file = io.BytesIO()
        image.resize((224, 224), Image.Resampling.BICUBIC).save(file, "JPEG", quality=100)
        return file.getvalue()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def rejection(data: bytes, recipe: Recipe) -> Rejected:
    with pytest.raises(Rejected) as caught:
        convert(data, recipe)
    return caught.value


def png(width: int, height: int, colour: int = 2, rows: int = 1) -> bytes:
    """A PNG whose header claims a size and whose pixel data stops at once."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(rows)))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def claiming(jpg: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its header."""
    start = max(jpg.find(b"\xff\xc0"), jpg.find(b"\xff\xc2"))
    return jpg[: start + 5] + struct.pack(">HH", height, width) + jpg[start + 9 :]


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(materialize.image, "_load", refuse)


# ------------------------------------------------------------------ the published procedure


def raw_images(tree: Path) -> Iterator[tuple[str, bytes]]:
    """(treeoflife id, bytes) of a raw tree."""
    with sqlite3.connect(f"file:{tree}/metadata/mapping.sqlite?immutable=1", uri=True) as db:
        inat21 = db.execute("SELECT evobio10m_id, cls_num, cls_name, filename FROM inat21").fetchall()
        bioscan = db.execute("SELECT evobio10m_id, part, filename FROM bioscan").fetchall()
    for archive in sorted((tree / "dataset/eol").glob("*.tar.gz")):
        with tarfile.open(archive) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None:
                    yield Path(member.name).stem, file.read()
    for id, number, name, filename in inat21:
        yield id, (tree / f"dataset/inat21/train/{number:05d}_{name}/{filename}").read_bytes()
    for id, part, filename in bioscan:
        yield id, (tree / f"dataset/bioscan/part{part}/{filename}").read_bytes()


def corpus(name: str) -> dict[str, bytes]:
    return dict(raw_images(SHARED_DATA / "corpora" / name / "data/TreeOfLife-10M"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@needs_shared
def test_every_jpeg_of_the_published_procedure_comes_out_bit_for_bit() -> None:
    raw = corpus("dev")
    expected = lines(SHARED_DATA / "corpora/dev/published_procedure.jsonl")
    written: dict[str, Converted] = {row["key"]: convert(raw[row["key"]], TOL10M) for row in expected}
    assert {row["split"] for row in expected} == {"train", "train_small", "val"}
    differing = [
        (row["split"], row["key"])
        for row in expected
        if hashlib.sha256(written[row["key"]].jpg).hexdigest() != row["jpg_sha256"]
    ]
    assert differing == []
    for fact in lines(SHARED_DATA / "corpora/dev/manifest.jsonl"):
        if fact["id"] in written:
            found = written[fact["id"]]
            assert (found.width, found.height) == (fact["width"], fact["height"])


@needs_shared
def test_the_adversarial_corpus_gets_the_outcomes_of_each_recipe() -> None:
    raw = corpus("dev_adversarial")
    bad = {
        row["id"]: row["bad"]
        for row in lines(SHARED_DATA / "corpora/dev_adversarial/manifest.jsonl")
        if row.get("bad")
    }
    left_out = {"zero_byte": "decode_error", "not_image": "decode_error", "bomb_header": "too_large"}
    expected = {
        "tol10m": left_out | {"png16": "unsupported_mode", "la_png": "unsupported_mode"},
        "clean": left_out | {"trunc_jpeg": "truncated"},
    }
    for name, recipe in BUILT_IN.items():
        for id, kind in bad.items():
            try:
                convert(raw[id], recipe)
                outcome = None
            except Rejected as rejected:
                outcome = rejected.outcome
            assert outcome == expected[name].get(kind), (name, kind, id)


def test_a_truncated_jpeg_is_grey_filled_under_tol10m_exactly_as_pillow_does_it() -> None:
    for progressive in (False, True):
        data = saved(scene(900, 700), quality=97, progressive=progressive)
        assert len(data) > 3 * 65_536, "several of the pieces in which Pillow hands data to libjpeg"
        for share in (0.1, 0.35, 0.6, 0.85, 0.999):
            cut = data[: int(len(data) * share)]
            assert convert(cut, TOL10M).jpg == published(cut)


# ------------------------------------------------------------------ modes

MODES: dict[str, Callable[[], bytes]] = {
    "1": lambda: saved(scene(90, 60).convert("1"), "PNG"),
    "L": lambda: saved(scene(90, 60).convert("L")),
    "P": lambda: saved(scene(90, 60).quantize(64), "PNG"),
    "PA": lambda: saved(scene(90, 60).quantize(64).convert("PA"), "TIFF"),
    "LA": lambda: saved(scene(90, 60).convert("LA"), "PNG"),
    "RGB": lambda: saved(scene(90, 60)),
    "RGBA": lambda: saved(scene(90, 60).convert("RGBA"), "PNG"),
    "CMYK": lambda: saved(scene(90, 60).convert("CMYK")),
    "YCbCr": lambda: saved(scene(90, 60).convert("YCbCr"), "TIFF"),
    "LAB": lambda: saved(scene(90, 60).convert("LAB"), "TIFF"),
    "I;16": lambda: saved(sixteen_bits(), "PNG"),
    "I;16B": lambda: saved(sixteen_bits("I;16B"), "TIFF"),
    "I": lambda: saved(sixteen_bits("I"), "TIFF"),
    "F": lambda: saved(scene(90, 60).convert("F"), "TIFF"),
}


def sixteen_bits(mode: str = "I;16") -> Image.Image:
    grey = np.asarray(scene(90, 60).convert("L"), np.uint16) * 257
    if mode == "I":
        return Image.fromarray(grey.astype(np.int32))
    return Image.frombytes(mode, (90, 60), grey.astype("<u2" if mode == "I;16" else ">u2").tobytes())


@pytest.mark.parametrize("mode", MODES)
def test_modes_under_tol10m_are_written_as_the_published_procedure_does_or_refused(mode: str) -> None:
    data = MODES[mode]()
    if mode in ("PA", "LA", "LAB", "I;16", "I;16B", "I", "F"):
        rejected = rejection(data, TOL10M)
        assert rejected.outcome == "unsupported_mode"
        assert mode in rejected.detail
        assert (rejected.width, rejected.height, rejected.mode) == (90, 60, mode)
        with pytest.raises(OSError, match="cannot write mode"):
            published(data)
    else:
        found = convert(data, TOL10M)
        assert found.jpg == published(data)
        assert (found.width, found.height, found.mode) == (90, 60, mode)


@pytest.mark.parametrize("resampler", ["cykooz-catmull-rom", "pillow-bicubic"])
@pytest.mark.parametrize("mode", MODES)
def test_modes_under_clean_become_rgb(mode: str, resampler: str) -> None:
    recipe, data = CLEAN.with_(resampler=resampler), MODES[mode]()
    if mode == "F":
        assert rejection(data, recipe).outcome == "unsupported_mode"
        return
    found = convert(data, recipe)
    assert (found.width, found.height, found.mode) == (90, 60, mode)
    picture = Image.open(io.BytesIO(found.jpg))
    assert (picture.mode, picture.size) == ("RGB", (224, 224))
    if mode.startswith("I"):
        exact: Image.Image = scene(90, 60).convert("L")
    else:
        exact = Image.open(io.BytesIO(data))
        exact = exact.convert("L") if mode == "1" else exact
    exact = exact.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
    assert psnr(found.jpg, saved(exact, quality=95, subsampling="4:4:4")) > 45


def test_sixteen_bits_are_scaled_linearly_over_their_whole_range() -> None:
    for value, expected in ((0, 0), (128, 0), (129, 1), (32_896, 128), (65_535, 255)):
        flat = Image.fromarray(np.full((8, 8), value, np.uint16))
        assert np.unique(pixels(convert(saved(flat, "PNG"), CLEAN).jpg)).tolist() == [expected]


@pytest.mark.parametrize("value", [-1, 65_536])
def test_wide_integers_beyond_sixteen_bits_have_no_known_scale(value: int) -> None:
    data = saved(Image.fromarray(np.full((8, 8), value, np.int32)), "TIFF")
    rejected = rejection(data, CLEAN)
    assert rejected.outcome == "unsupported_mode"
    assert str(value) in rejected.detail


def test_transparency_is_dropped_or_laid_on_white() -> None:
    clear_red = Image.new("RGBA", (30, 30), (255, 0, 0, 0))
    indexed = Image.new("P", (30, 30), 0)
    indexed.putpalette([255, 0, 0])
    keyed = Image.new("RGB", (30, 30), (255, 0, 0))
    for data in (
        saved(clear_red, "PNG"),
        saved(clear_red, "WEBP", lossless=True, exact=True),
        saved(indexed, "PNG", transparency=0),
        saved(keyed, "PNG", transparency=(255, 0, 0)),
    ):
        dropped = pixels(convert(data, CLEAN).jpg).mean(axis=(0, 1))
        white = pixels(convert(data, CLEAN.with_(alpha="white")).jpg).mean(axis=(0, 1))
        assert np.allclose(dropped, (255, 0, 0), atol=2)
        assert np.allclose(white, (255, 255, 255), atol=2)


def test_half_transparent_black_on_white_is_grey() -> None:
    data = saved(Image.new("LA", (30, 30), (0, 127)), "PNG")
    assert np.allclose(pixels(convert(data, CLEAN.with_(alpha="white")).jpg), 128, atol=1)
    assert np.allclose(pixels(convert(data, CLEAN).jpg), 0)


# ------------------------------------------------------------------ EXIF


@pytest.mark.parametrize("resampler", ["cykooz-catmull-rom", "pillow-bicubic"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, format: str, resampler: str) -> None:
    options: dict[str, Any] = {"lossless": True} if format == "WEBP" else {}
    data = saved(scene(300, 200), format, exif=orientation_exif(orientation), **options)
    recipe = CLEAN.with_(resampler=resampler, width=96, height=64)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    exact = saved(upright.convert("RGB").resize((96, 64), 3), quality=95, subsampling="4:4:4")
    found = convert(data, recipe)
    assert psnr(found.jpg, exact) > 45
    assert Image.open(io.BytesIO(found.jpg)).getexif() == {}
    if format != "TIFF":  # Pillow's reader has turned that already
        assert (found.width, found.height) == (300, 200)


def test_scaled_decoding_knows_which_axis_becomes_which() -> None:
    data = saved(scene(640, 320), exif=orientation_exif(6))
    recipe = CLEAN.with_(width=40, height=80, quality=100)
    exact = convert(data, EXACT.with_(width=40, height=80, quality=100))
    assert convert(data, recipe).jpg != convert(data, recipe.with_(dct_scaling=False)).jpg
    assert psnr(convert(data, recipe).jpg, exact.jpg) > 45


def test_tol10m_takes_no_notice_of_the_orientation() -> None:
    data = saved(scene(300, 200), exif=orientation_exif(6))
    assert convert(data, TOL10M).jpg == published(data)
    assert convert(data, TOL10M).jpg == convert(saved(scene(300, 200)), TOL10M).jpg


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0nonsense", orientation_exif(9)])
def test_an_exif_block_that_makes_no_sense_leaves_the_picture_as_stored(exif: bytes) -> None:
    assert convert(saved(scene(90, 60), exif=exif), CLEAN).jpg == convert(saved(scene(90, 60)), CLEAN).jpg


# ------------------------------------------------------------------ too large


@BOTH
@pytest.mark.usefixtures("no_decoding")
def test_a_header_that_claims_too_much_is_refused_before_decoding(recipe: Recipe) -> None:
    rejected = rejection(png(60_000, 60_000), recipe)
    assert rejected.outcome == "too_large"
    assert (rejected.width, rejected.height, rejected.mode) == (60_000, 60_000, "RGB")
    assert "60000 x 60000" in rejected.detail
    assert str(recipe.max_pixels) in rejected.detail


@BOTH
@pytest.mark.usefixtures("no_decoding")
def test_a_webp_that_claims_too_much_is_refused_before_its_canvas_is_allocated(recipe: Recipe) -> None:
    side = ((1 << 24) - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + side + side
    assert rejection(b"RIFF" + struct.pack("<I", len(body)) + body, recipe).outcome == "too_large"


@pytest.mark.usefixtures("no_decoding")
def test_an_absurdly_long_side_is_refused_whatever_the_number_of_pixels() -> None:
    rejected = rejection(png(LONGEST_SIDE + 1, 1, 0), TOL10M)
    assert rejected.outcome == "too_large"
    assert rejected.width == LONGEST_SIDE + 1


@pytest.mark.parametrize("format", ["PNG", "GIF", "TIFF", "BMP", "WEBP", "PPM"])
def test_the_pixel_limit_itself_is_still_allowed(format: str) -> None:
    data = saved(scene(90, 60), format)
    for recipe in (TOL10M, CLEAN):
        convert(data, recipe.with_(max_pixels=90 * 60))
        assert rejection(data, recipe.with_(max_pixels=90 * 60 - 1)).outcome == "too_large"


def test_the_clean_limit_counts_what_scaled_decoding_leaves() -> None:
    recipe = CLEAN.with_(width=32, height=32, max_pixels=81 * 81)
    data = saved(scene(641, 641))  # decoded at 1/8: 81 x 81
    assert convert(data, recipe).width == 641
    for less in ({"max_pixels": 81 * 81 - 1}, {"pixels_counted": "as_stored"}, {"dct_scaling": False}):
        assert rejection(data, recipe.with_(**less)).outcome == "too_large"


def test_a_progressive_jpeg_counts_in_full_as_its_decoder_holds_it_whole() -> None:
    recipe = CLEAN.with_(width=32, height=32, max_pixels=81 * 81)
    data = saved(scene(641, 641), progressive=True)
    assert "several scans" in rejection(data, recipe).detail
    convert(data, recipe.with_(max_pixels=641 * 641))


@pytest.mark.usefixtures("no_decoding")
def test_a_small_progressive_file_cannot_make_the_decoder_allocate_gigabytes() -> None:
    bomb = claiming(saved(scene(64, 64), progressive=True), 65_500, 65_500)
    assert rejection(bomb, CLEAN).outcome == "too_large"
    assert rejection(bomb, TOL10M).outcome == "too_large"


# ------------------------------------------------------------------ truncated, broken, no image at all

FORMATS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved(scene(90, 60)),
    "JPEG progressive": lambda: saved(scene(90, 60), progressive=True),
    "PNG": lambda: saved(scene(90, 60), "PNG"),
    "GIF": lambda: saved(scene(90, 60).quantize(64), "GIF"),
    "WEBP": lambda: saved(scene(90, 60), "WEBP"),
    "WEBP lossless": lambda: saved(scene(90, 60), "WEBP", lossless=True),
    "TIFF": lambda: saved(scene(90, 60), "TIFF"),
    "TIFF lzw": lambda: saved(scene(90, 60), "TIFF", compression="tiff_lzw"),
    "TIFF jpeg": lambda: saved(scene(90, 60), "TIFF", compression="jpeg"),
    "BMP": lambda: saved(scene(90, 60), "BMP"),
}


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_was_cut_off_anywhere_is_truncated_under_clean(format: str) -> None:
    data = FORMATS[format]()
    tail = {"PNG": 24, "GIF": 4, "BMP": 4}.get(format, 1)  # what stands behind the last pixel
    cuts = {24, 40, 100, 200, *(int(len(data) * share) for share in (0.3, 0.5, 0.7, 0.95)), len(data) - tail}
    outcomes = {cut: rejection(data[:cut], CLEAN).outcome for cut in sorted(cuts)}
    assert outcomes == dict.fromkeys(sorted(cuts), "truncated")


def test_a_tiff_whose_strip_ends_beyond_the_file_is_truncated_though_its_directory_is_whole() -> None:
    strip = zlib.compress(scene(90, 60).convert("L").tobytes())
    start = 8 + 2 + 9 * 12 + 4
    tags = {256: 90, 257: 60, 258: 8, 259: 8, 262: 1, 273: start, 277: 1, 278: 60, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + strip
    assert convert(data, CLEAN).mode == "L"
    assert rejection(data[:-200], CLEAN).outcome == "truncated"
    damaged = data[: start + 2] + bytes(100) + data[start + 102 :]
    assert rejection(damaged, CLEAN).outcome == "decode_error"


@pytest.mark.parametrize("format", ["JPEG", "JPEG progressive", "PNG", "GIF", "TIFF", "BMP"])
def test_a_cut_in_the_pixels_is_filled_under_tol10m(format: str) -> None:
    cut = FORMATS[format]()[:-300]
    assert convert(cut, TOL10M).jpg == published(cut)


def test_a_file_cut_in_its_header_is_truncated_under_tol10m_too() -> None:
    assert rejection(FORMATS["JPEG"]()[:100], TOL10M).outcome == "truncated"


def test_a_file_that_is_whole_but_damaged_is_a_decode_error() -> None:
    bad_sum = bytearray(FORMATS["PNG"]())
    bad_sum[29] ^= 1  # the checksum of IHDR
    webp = bytearray(FORMATS["WEBP"]())
    webp[20:60] = bytes(40)
    lzw = bytearray(FORMATS["TIFF lzw"]())
    lzw[200:260] = b"\xff" * 60
    tables = FORMATS["JPEG"]().replace(b"\xff\xdb", b"\xff\xec")  # no quantization tables
    for data in (bad_sum, webp, lzw, tables):
        rejected = rejection(bytes(data), CLEAN)
        assert rejected.outcome == "decode_error", rejected.detail


@BOTH
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "cannot identify image file (0 bytes)"),
        (b"\xff", "cannot identify image file (1 bytes, begins with b'\\xff')"),
        (np.random.default_rng(3).bytes(3000), "cannot identify image file (3000 bytes, begins with"),
        (b"<!DOCTYPE html>\n<html><body>503</body></html>", "45 bytes, begins with b'<!DOCTYPE html>"),
        (bytes(5000), "cannot identify image file (5000 bytes"),
    ],
    ids=["0 bytes", "1 byte", "random", "html", "zeros"],
)
def test_what_is_no_image_is_a_decode_error(data: bytes, told: str, recipe: Recipe) -> None:
    rejected = rejection(data, recipe)
    assert rejected.outcome == "decode_error"
    assert told in rejected.detail
    assert (rejected.width, rejected.height, rejected.mode) == (None, None, None)


@BOTH
def test_postscript_is_no_image_as_it_would_start_a_program(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("Ghostscript was called"))
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 60\n%%EndComments\n%%EOF\n"
    assert rejection(data, recipe).outcome == "decode_error"


def test_a_rejection_is_one_short_line_and_survives_pickling() -> None:
    rejected = Rejected("decode_error", "a\nb\t\x1b[31m" + "x" * 500, 3, 4, "RGB")
    assert rejected.detail.startswith("a b ?[31mxxx")
    assert len(rejected.detail) == 200
    copy = pickle.loads(pickle.dumps(rejected))
    assert (copy.outcome, copy.detail) == (rejected.outcome, rejected.detail)
    assert (copy.width, copy.height, copy.mode) == (3, 4, "RGB")
    assert str(copy).startswith("decode_error: a b")


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("place", ["open", "load"])
def test_what_is_not_about_the_content_is_no_rejection(
    place: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    owner: object = Image if place == "open" else ImageFile.ImageFile
    monkeypatch.setattr(owner, place, fail)
    with pytest.raises(error):
        convert(saved(scene(90, 60)), CLEAN)


def test_without_its_resizer_a_recipe_is_an_error_and_never_done_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    materialize.image_resize._cykooz.cache_clear()
    monkeypatch.setitem(sys.modules, "cykooz_resizer", None)
    with pytest.raises(UsageError, match="cykooz-catmull-rom"):
        convert(saved(scene(90, 60)), CLEAN)


# ------------------------------------------------------------------ small, moving, commented


@BOTH
def test_a_single_pixel_fills_the_picture(recipe: Recipe) -> None:
    found = convert(saved(Image.new("RGB", (1, 1), (10, 200, 30)), "PNG"), recipe)
    assert (found.width, found.height) == (1, 1)
    assert pixels(found.jpg).shape == (224, 224, 3)
    assert np.allclose(pixels(found.jpg), (10, 200, 30), atol=2)


@BOTH
@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(format: str, recipe: Recipe) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], duration=80)
    assert np.allclose(pixels(convert(data, recipe).jpg), (255, 0, 0), atol=6)


@BOTH
@pytest.mark.parametrize("size", [(1200, 40), (40, 1200), (224, 224), (225, 223), (3, 700)])
def test_pictures_of_any_shape_agree_with_pillow(size: tuple[int, int], recipe: Recipe) -> None:
    data = saved(scene(*size), "PNG")
    reference = recipe.with_(resampler="pillow-bicubic", dct_scaling=False)
    assert psnr(convert(data, recipe).jpg, convert(data, reference).jpg) > 48


def test_a_comment_is_carried_over_by_tol10m_and_dropped_by_clean() -> None:
    comment = "Photographer: Jörg Muñoz".encode()
    gif = saved(scene(90, 60).quantize(64), "GIF", comment=comment)
    for data in (saved(scene(90, 60), comment=comment), gif):
        assert convert(data, TOL10M).jpg == published(data)
        assert Image.open(io.BytesIO(convert(data, TOL10M).jpg)).info["comment"] == comment
        assert "comment" not in Image.open(io.BytesIO(convert(data, CLEAN).jpg)).info
        kept = convert(data, CLEAN.with_(keep_comment=True)).jpg
        assert Image.open(io.BytesIO(kept)).info["comment"] == comment
    assert "comment" not in Image.open(io.BytesIO(convert(gif, TOL10M.with_(keep_comment=False)).jpg)).info


def test_a_comment_that_no_jpeg_can_hold_is_a_decode_error_only_where_it_is_kept() -> None:
    gif = saved(scene(90, 60).quantize(64), "GIF", comment=b"x" * 70_000)
    assert "70000" in rejection(gif, TOL10M).detail
    convert(gif, CLEAN)


def test_clean_writes_no_metadata() -> None:
    profile = b"not really a profile"
    data = saved(scene(90, 60), exif=orientation_exif(3), icc_profile=profile, xmp=b"<x/>", dpi=(300, 300))
    written = Image.open(io.BytesIO(convert(data, CLEAN).jpg))
    assert not {"exif", "icc_profile", "xmp", "comment", "dpi"} & set(written.info)


def test_quality_and_subsampling_are_the_recipe_s() -> None:
    from PIL import JpegImagePlugin

    data = saved(scene(300, 200))
    sizes = []
    for quality in (50, 95, 100):
        for subsampling, code in (("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2), (None, 2)):
            jpg = convert(data, CLEAN.with_(quality=quality, subsampling=subsampling)).jpg
            assert JpegImagePlugin.get_sampling(Image.open(io.BytesIO(jpg))) == code
            sizes.append(len(jpg))
    assert sizes == sorted(sizes, key=lambda size: (sizes.index(size) // 4, 0))
    assert sizes[0] < sizes[4] < sizes[8]


# ------------------------------------------------------------------ the resizer and scaled decoding


def test_scaled_decoding_stays_above_45_db_and_happens_only_at_twice_the_target() -> None:
    recipe = CLEAN.with_(width=80, height=60, quality=100)
    exact = EXACT.with_(width=80, height=60, quality=100)
    whole = recipe.with_(dct_scaling=False)
    for size in ((319, 240), (320, 239), (320, 240), (337, 251), (648, 489), (641, 481), (1283, 965)):
        data = saved(scene(*size))
        found, full = convert(data, recipe), convert(data, whole)
        assert (found.jpg != full.jpg) == (size[0] >= 320 and size[1] >= 240), size
        assert psnr(found.jpg, convert(data, exact).jpg) >= 45, size
        assert (found.width, found.height) == size


@needs_shared
def test_scaled_decoding_stays_above_45_db_on_real_photographs() -> None:
    # At equal quality, and one that does not drown the difference in rounding of its own: 100.
    scaled = 0
    for path in sorted((SHARED_DATA / "pool/photos").iterdir())[::5]:
        photo = Image.open(path).convert("RGB")
        for side in (1900, 1403, 1197):
            photo.thumbnail((side, side), Image.Resampling.LANCZOS)
            data = saved(photo)
            found = convert(data, CLEAN.with_(quality=100))
            assert psnr(found.jpg, convert(data, EXACT.with_(quality=100)).jpg) >= 45, (path.name, side)
            scaled += found.jpg != convert(data, CLEAN.with_(quality=100, dct_scaling=False)).jpg
    assert scaled >= 5


@needs_shared
def test_clean_stays_above_45_db_on_the_corpus_at_its_own_quality() -> None:
    for data in corpus("dev").values():
        assert psnr(convert(data, CLEAN).jpg, convert(data, EXACT).jpg) >= 45


def test_the_bytes_do_not_depend_on_the_processor() -> None:
    import cykooz_resizer

    _, resizer, _ = materialize.image_resize._cykooz(CLEAN)
    fastest = resizer.cpu_extensions
    images = [saved(scene(517, 333)), saved(scene(333, 517).convert("L")), saved(scene(1300, 1100))]
    expected = [convert(data, CLEAN).jpg for data in images]
    try:
        for extensions in cykooz_resizer.CpuExtensions:
            try:
                resizer.cpu_extensions = extensions
            except Exception:  # noqa: BLE001 — not one of this processor
                continue
            assert [convert(data, CLEAN).jpg for data in images] == expected, extensions
    finally:
        resizer.cpu_extensions = fastest


@BOTH
def test_converting_twice_gives_the_same(recipe: Recipe) -> None:
    data = saved(scene(1300, 1100), comment=b"x", exif=orientation_exif(8))
    assert convert(data, recipe) == convert(data, recipe)


# ------------------------------------------------------------------ Pillow's own settings


@BOTH
def test_pillow_s_settings_are_as_before_and_its_warnings_reach_nobody(recipe: Recipe) -> None:
    indexed = scene(90, 60).quantize(16)
    cases = [
        saved(scene(90, 60)),
        png(60_000, 60_000),
        b"",
        saved(indexed, "PNG", transparency=bytes(16)),  # Pillow warns on conversion
        saved(scene(90, 60), exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"),
        png(40_000, 30_000)[:60],
        FORMATS["TIFF"]()[:-500],
    ]
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    limited = recipe.with_(max_pixels=10_000)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        inside = list(warnings.filters)
        for data in cases:
            for chosen in (recipe, limited):
                if chosen is recipe and data[:60] == cases[5]:
                    continue  # allowed by tol10m: 1.2 gigapixels, to be filled
                with contextlib.suppress(Rejected):
                    convert(data, chosen)
                assert warnings.filters == inside
    assert heard == []
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


# ------------------------------------------------------------------ hostile bytes


@functools.cache
def seeds() -> tuple[bytes, ...]:
    small = scene(40, 30)
    keyed = saved(small.quantize(16), "PNG", transparency=bytes(range(16)))
    moving = saved(
        small.quantize(16), "GIF", save_all=True, append_images=[small.rotate(90).quantize(16)], comment=b"c"
    )
    return (
        saved(small, exif=orientation_exif(6), comment=b"hello"),
        saved(small, progressive=True),
        saved(small.convert("CMYK")),
        saved(small.convert("LA"), "PNG"),
        saved(small.convert("I;16"), "PNG"),
        keyed,
        moving,
        saved(small, "WEBP", exif=orientation_exif(5)),
        saved(small, "TIFF"),
        saved(small, "BMP"),
        saved(small, "JPEG2000"),
        saved(small, "PPM"),
        saved(small, "TGA", rle=True),
        saved(small, "ICO"),
        saved(small.convert("LAB"), "TIFF"),
    )


HOSTILE = (
    # Limits low enough that a mutated header cannot make the test itself allocate gigabytes.
    TOL10M.with_(max_pixels=4_000_000),
    CLEAN.with_(max_pixels=4_000_000),
    CLEAN.with_(max_pixels=4_000_000, width=8, height=6, truncated="accept", alpha="white"),
)


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_images_are_written_or_rejected_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(seeds())))
    for _ in range(data.draw(st.integers(1, 6))):
        # Half of the time near the start, where the headers are.
        reach = data.draw(st.sampled_from((60, max(1, len(content)))))
        at = data.draw(st.integers(0, min(reach, max(0, len(content) - 1))))
        how = data.draw(st.sampled_from(("set", "set", "cut", "delete", "insert")))
        if how == "set":
            content[at : at + 1] = data.draw(st.sampled_from((b"\0", b"\xff", b"\x7f", b"\x01", b"\xc3", b"\xd8")))
        elif how == "cut":
            del content[at:]
        elif how == "delete":
            del content[at : at + data.draw(st.integers(1, 8))]
        else:
            content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    for recipe in HOSTILE:
        try:
            found = convert(bytes(content), recipe)
        except Rejected as rejected:
            assert rejected.outcome in {"decode_error", "truncated", "too_large", "unsupported_mode"}
            assert len(rejected.detail) <= 200
            assert rejected.detail.isprintable()
        else:
            assert Image.open(io.BytesIO(found.jpg)).size == recipe.size


@given(
    mode=st.sampled_from(["L", "RGB", "CMYK", "YCbCr"]),
    progressive=st.booleans(),
    subsampling=st.sampled_from([0, 1, 2]),
    side=st.sampled_from([1, 1023, 1024]),
    factors=st.binary(min_size=4, max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_a_modest_jpeg_never_takes_more_than_is_taken_for_granted(
    mode: str, progressive: bool, subsampling: int, side: int, factors: bytes
) -> None:
    file = io.BytesIO()
    Image.new(mode, (side, 1024)).save(file, "JPEG", progressive=progressive, subsampling=subsampling)
    content = bytearray(file.getvalue())
    frame = content.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    for number in range(content[frame + 9]):
        content[frame + 11 + 3 * number] = factors[number]  # sampling factors that no writer writes
    data = bytes(content)
    for recipe in (CLEAN, CLEAN.with_(resampler="pillow-bicubic", width=1024, height=1024, alpha="white")):
        image = Image.open(io.BytesIO(data), formats=("JPEG",))
        assert is_modest(image, image.size, data, recipe)
        assert estimate(image, image.size, data, recipe) <= MODEST
    assert not is_modest(image, image.size, data, CLEAN.with_(width=1025))
