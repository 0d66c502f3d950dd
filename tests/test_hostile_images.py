"""Hostile and broken images: each ends as a sample or with a reason, quickly and in little memory."""

from __future__ import annotations

import io
import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

import materialize.image_resize
from benchmarks import hostile_images
from materialize.image import Rejected, convert
from materialize.image_memory import budget, estimate, is_decoded_row_by_row
from materialize.image_modes import NoMeaning
from materialize.recipe import BUILT_IN, CLEAN, TOL10M, Recipe
from tests.big_pictures import BIG
from tests.mutations import mutations
from tests.running import environment
from tests.shared_data import SHARED_DATA, needs_shared
from tests.test_image import FORMATS, claiming, orientation_exif, pixels, png, psnr, rejection, saved, scene, seeds

BOTH = pytest.mark.parametrize("recipe", BUILT_IN.values(), ids=lambda recipe: recipe.name)
MEMORY_OF_A_WORKER = 400_000_000  # bytes

# Converts the files named by its arguments one after the other, in a process as heavy as a worker's.
CHILD = """
import faulthandler, json, resource, sys
from pathlib import Path
import materialize.worker
from materialize.image import Rejected, convert
from materialize.recipe import BUILT_IN
faulthandler.enable()
recipe, limit, *files = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
outcomes = []
for file in files:
    data = Path(file).read_bytes()
    try:
        convert(data, BUILT_IN[recipe])
        outcomes.append("")
    except Rejected as rejected:
        outcomes.append(rejected.outcome)
status = Path("/proc/self/status").read_text()
peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
print(json.dumps({"outcomes": outcomes, "peak": peak}))
"""


def in_child(files: list[Path], recipe: str = "clean", address_space: int = 0) -> tuple[list[str], int]:
    """(outcome of each file, peak resident size in bytes) of a process that converts them."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, recipe, str(address_space), *map(str, files)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    return told["outcomes"], told["peak"]


def ends_well(data: bytes, recipe: Recipe) -> str:
    """Converts twice: the outcome and its detail, which must be the same and name no address in memory."""
    told = []
    for _ in range(2):
        try:
            found = convert(data, recipe)
            assert Image.open(io.BytesIO(found.jpg)).size == recipe.size
            told.append("")
        except Rejected as rejected:
            told.append(f"{rejected.outcome}: {rejected.detail}")
    assert told[0] == told[1]
    assert not re.search(r"0x[0-9a-f]{6,}", told[0])
    return told[0]


# ------------------------------------------------------------------ memory


@pytest.mark.parametrize("name", ["LA PNG", "progressive JPEG 4:2:0", "RGB TIFF, stored", "P PNG, transparent"])
def test_a_worker_stays_below_400_mb_on_80_million_pixels(name: str, tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(BIG[name].make())
    outcomes, peak = in_child([file])
    assert outcomes == [BIG[name].outcome]
    assert peak < MEMORY_OF_A_WORKER


@pytest.mark.soak
@pytest.mark.parametrize("name", BIG)
def test_a_worker_stays_below_400_mb_on_every_kind_of_big_picture(name: str, tmp_path: Path) -> None:
    test_a_worker_stays_below_400_mb_on_80_million_pixels(name, tmp_path)


@pytest.mark.soak
def test_a_worker_stays_below_400_mb_after_many_big_pictures(tmp_path: Path) -> None:
    files = []
    for name in ("LA PNG", "progressive JPEG 4:2:0", "RGB PNG", "GIF, transparent", "L TIFF, turned", "RGBA PNG"):
        files += [tmp_path / f"{name}", tmp_path / f"{name}, cut"]
        data = BIG[name].make()
        files[-2].write_bytes(data)
        files[-1].write_bytes(data[:-1000])  # fails when all is decoded
    outcomes, peak = in_child(files + files[::-1])
    assert "" in outcomes
    assert "truncated" in outcomes
    assert peak < MEMORY_OF_A_WORKER


def opened(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data))


def test_what_takes_more_than_the_budget_is_too_large_and_the_detail_says_so() -> None:
    bomb = claiming(saved(scene(64, 64), progressive=True, subsampling=0), 10_000, 7_999)
    rejected = rejection(bomb, CLEAN)
    assert rejected.outcome == "too_large"
    assert re.fullmatch(r"10000 x 7999 pixels would take 4\d\d MB to decode, 334 MB at most", rejected.detail), (
        rejected.detail
    )
    assert (rejected.width, rejected.height, rejected.mode) == (10_000, 7_999, "RGB")
    assert rejection(bomb, CLEAN.with_(truncated="accept")).outcome == "too_large"


def test_a_recipe_that_counts_pixels_as_stored_has_no_budget() -> None:
    assert budget(TOL10M) is None
    assert budget(CLEAN) == 334_000_000


def test_an_80_megapixel_png_of_few_bytes_and_any_baseline_jpeg_fit_the_budget() -> None:
    allowed = budget(CLEAN)
    assert allowed is not None
    for data in (
        png(10_000, 8_000),
        png(10_000, 8_000, colour=6),
        png(8_000, 10_000),
        png(10_000, 8_000, colour=4),
    ):
        assert estimate(opened(data), (10_000, 8_000), data, CLEAN) < allowed
    data = claiming(saved(scene(64, 64), subsampling=0), 10_000, 8_000) + bytes(200_000_000)
    image = opened(data)
    image.draft(None, (448, 448))
    assert estimate(image, (10_000, 8_000), data, CLEAN) < allowed


def test_coefficients_are_counted_by_the_real_sampling_factors() -> None:
    sizes = []
    for options in ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}):
        data = claiming(saved(scene(64, 64), progressive=True, **options), 10_000, 8_000)
        image = opened(data)
        image.draft(None, (448, 448))
        sizes.append(round(estimate(image, (10_000, 8_000), data, CLEAN) / 80_000_000, 1))
    assert sizes == [6.1, 4.1, 3.1]


def test_a_jpeg_whose_sampling_factors_are_zero_is_a_decode_error() -> None:
    data = bytearray(saved(scene(64, 64), progressive=True))
    start = data.find(b"\xff\xc2")
    for component in range(3):
        data[start + 11 + 3 * component] = 0
    assert rejection(bytes(data), CLEAN).outcome == "decode_error"


def test_a_photograph_with_others_behind_it_is_decoded_row_by_row() -> None:
    file = io.BytesIO()
    scene(640, 480).save(file, "MPO", save_all=True, append_images=[scene(320, 240)])
    image = opened(file.getvalue())
    assert image.format == "MPO"
    assert is_decoded_row_by_row(image, file.getvalue())
    found = convert(file.getvalue(), CLEAN)
    assert (found.format, found.width) == ("MPO", 640)
    assert psnr(found.jpg, convert(saved(scene(640, 480), quality=75), CLEAN).jpg) > 40
    assert not is_decoded_row_by_row(opened(saved(scene(64, 64), progressive=True)), b"")


# ------------------------------------------------------------------ strip by strip


MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I;16B", "I", "RGBX")


def any_picture(mode: str, width: int, height: int, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    if mode.startswith("I"):
        values = rng.integers(0, 65_536, (height, width))
        if mode == "I":
            return Image.fromarray(values.astype(np.int32))
        kind = "<u2" if mode == "I;16" else ">u2"
        return Image.frombytes(mode, (width, height), values.astype(kind).tobytes())
    colours = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    if mode in ("P", "PA"):
        picture = colours.quantize(50).convert(mode)
    else:
        picture = colours.convert("L" if mode == "LA" else mode if mode in ("1", "L") else "RGB").convert(mode)
    if mode in ("LA", "RGBA"):
        picture.putalpha(Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)))
    elif mode == "P" and seed % 2:
        picture.info["transparency"] = rng.bytes(50)
    elif mode == "RGB" and seed % 2:
        picture.info["transparency"] = (1, 2, 3)
    return picture


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@settings(max_examples=150, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    target=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    alpha=st.sampled_from(("drop", "white")),
    strip=st.integers(1, 2000),
    seed=st.integers(0, 99),
)
def test_conversion_strip_by_strip_gives_the_same_bytes(
    mode: str, size: tuple[int, int], target: tuple[int, int], alpha: str, strip: int, seed: int
) -> None:
    picture, recipe = any_picture(mode, *size, seed), CLEAN.with_(alpha=alpha)
    told = []
    for pixels_at_a_time in (1 << 30, strip):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(materialize.image_resize, "STRIP", pixels_at_a_time)
            try:
                found = materialize.image_resize.resize(picture, target, None, recipe)
                told.append((found.mode, found.size, found.tobytes()))
            except NoMeaning as error:
                told.append(("", (0, 0), str(error).encode()))
    assert told[0] == told[1]


@pytest.mark.parametrize("alpha", ["drop", "white"])
def test_a_picture_of_many_strips_comes_out_as_if_converted_whole(alpha: str) -> None:
    recipe = CLEAN.with_(alpha=alpha)
    for size in ((900, 700), (300, 2_100)):
        picture = scene(*size).copy()
        picture.putalpha(scene(*size, 2).convert("L"))
        whole = picture.convert("RGB")
        if alpha == "white":
            whole = Image.new("RGB", size, "white")
            whole.paste(picture, mask=picture)
        assert picture.width * picture.height > 2 * materialize.image_resize.STRIP
        options = {"compress_level": 1}
        assert (
            convert(saved(picture, "PNG", **options), recipe).jpg
            == convert(saved(whole, "PNG", **options), CLEAN).jpg
        )


# ------------------------------------------------------------------ headers that claim too much


def _gif_with_disposal(side: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + bytes(6)
    control = b"\x21\xf9\x04" + bytes((0b0000_1001, 0, 0, 0)) + b"\0"
    return screen + control + b"," + struct.pack("<HHHH", 0, 0, side, side) + b"\0\x02\x02\x4c\x01\0;"


def _tiff(tags: dict[int, int], body: bytes = b"") -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + body


def _tiff_of_one_tile(tile: int) -> bytes:
    """A picture of 64 x 64 pixels in one tile of any size, whose few bytes inflate to as much as there is room."""
    body = zlib.compress(bytes(1 << 20), 9)
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile, 323: tile, 324: 8 + 2 + 10 * 12 + 4}
    return _tiff({**tags, 325: len(body)}, body)


def _webp(chunk: bytes, body: bytes) -> bytes:
    packed = chunk + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(packed)) + b"WEBP" + packed


def _icon_around(picture: bytes) -> bytes:
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), 22) + picture


def _interlaced(picture: bytes) -> bytes:
    header = picture[12:28] + b"\1"
    return picture[:12] + header + struct.pack(">I", zlib.crc32(header)) + picture[33:]


def _claiming_j2k(width: int, height: int) -> bytes:
    data = bytearray(saved(scene(64, 64), "JPEG2000", no_jp2=True))
    data[8:16] = struct.pack(">II", width, height)
    return bytes(data)


def _claiming_avif(width: int, height: int) -> bytes:
    data = bytearray(saved(scene(64, 64), "AVIF"))
    at = data.find(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: png(60_000, 60_000),
    "PNG, interlaced": lambda: _interlaced(png(60_000, 60_000)),
    "JPEG progressive": lambda: claiming(saved(scene(64, 64), progressive=True), 65_500, 65_500),
    "GIF": lambda: _gif_with_disposal(65_535),
    "BMP": lambda: b"BM" + struct.pack("<IIIIiiHHI", 99, 0, 54, 40, 60_000, 60_000, 1, 24, 0) + bytes(20),
    "BMP of runs": lambda: (
        b"BM" + struct.pack("<IIIIiiHHI", 99, 0, 1078, 40, 60_000, 60_000, 1, 8, 1) + bytes(1044)
    ),
    "BMP of negative size": lambda: b"BM" + struct.pack("<IIIIiiHHI", 99, 0, 54, 40, -9, -9, 1, 24, 0) + bytes(20),
    "TIFF": lambda: _tiff({256: 60_000, 257: 60_000, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 1, 279: 9}),
    "WEBP lossy": lambda: _webp(b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(200)),
    "WEBP lossless": lambda: _webp(b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(200)),
    "WEBP canvas": lambda: _webp(b"VP8X", bytes(4) + b"\xff\xff\x00" * 2),
    "JPEG2000": lambda: _claiming_j2k(60_000, 60_000),
    "AVIF": lambda: _claiming_avif(60_000, 60_000),
    "PPM": lambda: b"P6 60000 60000 255\n" + bytes(100),
    "TGA": lambda: struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 60_000, 60_000, 24, 0) + bytes(100),
    "PSD": lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 60_000, 60_000, 8, 3) + bytes(40),
    "QOI": lambda: b"qoif" + struct.pack(">II", 60_000, 60_000) + b"\4\0" + bytes(100),
    "icon around a PNG": lambda: _icon_around(png(60_000, 60_000, colour=6)),
}


@BOTH
def test_a_header_that_claims_gigapixels_costs_no_memory_in_any_format(recipe: Recipe, tmp_path: Path) -> None:
    for name, make in BOMBS.items():
        (tmp_path / name).write_bytes(make())
    outcomes, peak = in_child([tmp_path / name for name in BOMBS], recipe.name, address_space=1_500_000_000)
    found = dict(zip(BOMBS, outcomes, strict=True))
    # Where the reader itself sees that the size cannot be meant, it is no picture at all.
    not_even_a_header = {"WEBP lossy", "WEBP lossless", "WEBP canvas", "AVIF"}
    for name, outcome in found.items():
        allowed = {"too_large", "decode_error", "truncated"} if name in not_even_a_header else {"too_large"}
        assert outcome in allowed, (name, found)
    assert peak < 100_000_000


def test_a_tile_far_bigger_than_its_picture_is_refused_before_it_is_inflated() -> None:
    rejected = rejection(_tiff_of_one_tile(65_536), CLEAN)
    assert rejected.outcome == "too_large"
    assert "to decode" in rejected.detail
    assert convert(_tiff_of_one_tile(64), CLEAN).width == 64


def test_an_icon_with_a_picture_bigger_than_it_says_is_judged_by_that() -> None:
    assert convert(_icon_around(saved(scene(64, 64).convert("RGBA"), "PNG")), CLEAN).width == 64
    assert rejection(_icon_around(png(8_000, 2_000, colour=6)), CLEAN).outcome == "too_large"


# ------------------------------------------------------------------ cut off


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_cut_at_every_sixteenth_is_truncated_under_clean_and_ends_well_under_tol10m(format: str) -> None:
    data = FORMATS[format]()
    for part in range(1, 16):
        cut = data[: len(data) * part // 16]
        assert ends_well(cut, CLEAN).startswith("truncated: "), part
        ends_well(cut, TOL10M)


@BOTH
@pytest.mark.parametrize(
    "format", ["AVIF", "JPEG2000", "MPO", "PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "QOI", "ICNS"]
)
def test_other_formats_cut_at_every_sixteenth_end_well(format: str, recipe: Recipe) -> None:
    data = saved(scene(90, 60), format)
    assert ends_well(data, recipe) == ""
    for part in range(1, 16):
        ends_well(data[: len(data) * part // 16], recipe)


# ------------------------------------------------------------------ what stands beside the pixels


def _segments(jpg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """The JPEG with segments put in behind its first two bytes."""
    packed = b"".join(bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return jpg[:2] + packed + jpg[2:]


def _chunks(picture: bytes, *chunks: tuple[bytes, bytes], last: bool = False) -> bytes:
    """The PNG with chunks put in behind its header, or before its end."""
    at = len(picture) - 12 if last else 33
    packed = b"".join(
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
        for tag, body in chunks
    )
    return picture[:at] + packed + picture[at:]


def _exif(*entries: tuple[int, int, int, int], next_ifd: int = 0) -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", next_ifd)


HARMLESS: dict[str, tuple[bytes, ...]] = {
    "EXIF that points at itself": (_exif((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), next_ifd=8),),
    "EXIF with a count of 4 thousand million": (_exif((0x0112, 3, 0xFFFF_FFFF, 0), (0x9286, 7, 0xFFFF_FFFF, 9)),),
    "EXIF with an unknown type": (_exif((0x0112, 99, 1, 6)),),
    "EXIF with a text for orientation": (_exif((0x0112, 2, 4, 0x36)),),
    "EXIF with a fraction by zero": (_exif((0x0112, 5, 1, 8), (0x011A, 5, 1, 8)),),
    "EXIF without end": (b"Exif\0\0II*\0\x08\0\0\0\xff\xff",),
    "EXIF with deeply nested folders": (_exif(*((0x8769, 4, 1, 8) for _ in range(2000))),),
    "empty EXIF": (b"Exif\0\0",),
    "broken XMP": (b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation='",),
    "many segments": tuple(b"x" * 65_000 for _ in range(80)),
}


@BOTH
@pytest.mark.parametrize("name", HARMLESS)
def test_metadata_that_makes_no_sense_changes_nothing(name: str, recipe: Recipe) -> None:
    plain = saved(scene(90, 60))
    with_it = _segments(plain, *((0xE1, body) for body in HARMLESS[name]))
    assert convert(with_it, recipe).jpg == convert(plain, recipe).jpg


@BOTH
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("profile", [b"", b"\0", b"no profile", bytes(128), bytes(300_000)], ids=len)
def test_a_colour_profile_good_or_broken_is_not_applied(profile: bytes, format: str, recipe: Recipe) -> None:
    plain = convert(saved(scene(90, 60), format), recipe)
    assert convert(saved(scene(90, 60), format, icc_profile=profile), recipe).jpg == plain.jpg


@BOTH
def test_a_colour_profile_in_numbered_pieces_with_pieces_missing_is_harmless(recipe: Recipe) -> None:
    plain = saved(scene(90, 60))
    pieces = [(0xE2, b"ICC_PROFILE\0" + bytes((number, 9)) + b"x" * 100) for number in (0, 3, 3, 255)]
    assert convert(_segments(plain, *pieces), recipe).jpg == convert(plain, recipe).jpg


@pytest.mark.parametrize("format", ["JPEG", "JPEG progressive", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("garbage", [bytes(5000), b"<html>", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"], ids=len)
def test_garbage_behind_the_end_changes_nothing(format: str, garbage: bytes) -> None:
    data = FORMATS[format]()
    for recipe in BUILT_IN.values():
        assert convert(data + garbage, recipe).jpg == convert(data, recipe).jpg


@BOTH
def test_comments_of_every_length_end_well(recipe: Recipe) -> None:
    for comment in (b"", b"\0", b"\xff" * 65_533, "Фото".encode("cp1251")):
        assert ends_well(_segments(saved(scene(90, 60)), (0xFE, comment), (0xFE, comment)), recipe) == ""
    assert ends_well(saved(scene(90, 60), "PNG", pnginfo=None), recipe) == ""


@BOTH
@pytest.mark.parametrize("last", [False, True], ids=["before the pixels", "behind them"])
def test_texts_in_a_png_that_inflate_without_end_are_no_way_to_fill_the_memory(last: bool, recipe: Recipe) -> None:
    plain = saved(scene(90, 60), "PNG")
    bomb = zlib.compress(bytes(40 << 20), 9)
    for chunk in (
        (b"zTXt", b"key\0\0" + bomb),
        (b"iTXt", b"key\0\1\0\0\0" + bomb),
        (b"iTXt", b"key\0\1\0\0\0" + b"broken"),
        (b"zTXt", b"key\0\7" + bomb),
        (b"tEXt", b"key" + b"x" * 2_000_000),
        (b"iCCP", b"key\0\0" + bomb),
        (b"eXIf", b"II*\0\xff\xff\xff\xff"),
    ):
        assert ends_well(_chunks(plain, chunk, last=last), recipe).split(":")[0] in ("", "decode_error")


def test_many_texts_in_a_png_count_towards_its_memory() -> None:
    text = (b"zTXt", b"key\0\0" + zlib.compress(b"x" * ((1 << 20) - 1)))
    data = _chunks(saved(scene(1200, 900), "PNG"), *[text] * 63)  # one more is too much for Pillow itself
    assert "to decode" in rejection(data, CLEAN).detail
    assert ends_well(_chunks(saved(scene(90, 60), "PNG"), *[text] * 20), CLEAN) == ""


# ------------------------------------------------------------------ odd but sound, and no pictures


@BOTH
def test_inverted_cmyk_of_adobe_has_its_own_colours(recipe: Recipe) -> None:
    data = saved(Image.new("RGB", (64, 64), (200, 40, 90)).convert("CMYK"), quality=100)
    assert b"Adobe" in data
    found = Image.open(io.BytesIO(convert(data, recipe).jpg)).convert("RGB")
    assert np.allclose(np.asarray(found).mean(axis=(0, 1)), (200, 40, 90), atol=6)


@BOTH
@pytest.mark.parametrize("size", [(1, 1), (1, 65_000), (65_000, 1), (2, 30_000)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "GIF"])
def test_pictures_of_extreme_shape_fill_the_frame(size: tuple[int, int], format: str, recipe: Recipe) -> None:
    data = saved(Image.new("RGB", size, (10, 200, 30)), format)
    assert np.allclose(pixels(convert(data, recipe).jpg), (10, 200, 30), atol=4)


@pytest.mark.parametrize("format", ["AVIF", "TIFF", "BMP", "PNG", "WEBP", "JPEG2000"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_formats_under_another_name_are_what_their_bytes_say(format: str, orientation: int) -> None:
    # Names reach no decoder: only bytes do.
    options = {} if format in ("BMP", "JPEG2000") else {"exif": orientation_exif(orientation)}
    found = convert(saved(scene(90, 60), format, **options), CLEAN)
    assert found.format == format


NO_PICTURES: dict[str, bytes] = {
    "nothing": b"",
    "a newline": b"\n",
    "text": b"This image is no longer available.\n" * 40,
    "an HTML page": b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>",
    "an XML error": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "JSON": b'{"error": 503}',
    "gzip": b"\x1f\x8b\x08" + bytes(60),
    "PDF": b"%PDF-1.4\n" + bytes(400),
    "HEIC": struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(400),
    "HEIC that says it is like AVIF": struct.pack(">I", 24) + b"ftypmif1" + bytes(4) + b"mif1heic" + bytes(400),
    "GIF without frames": b"GIF89a" + struct.pack("<HH", 9, 9) + b"\0\0\0;",
    "GIF without end": b"GIF89a" + struct.pack("<HH", 9, 9) + b"\0\0\0",
    "GIF of 0 x 0": _gif_with_disposal(0),
    "PNG of 0 x 0": png(0, 0),
    "JPEG of height 0": claiming(saved(scene(64, 64)), 64, 0),
    "JPEG without pixels": b"\xff\xd8\xff\xd9",
    "TIFF without pictures": b"II*\0\0\0\0\0",
    "TIFF whose folder is its next folder": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(60),
    "zeros": bytes(70_000),
}


@BOTH
@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_left_out_with_a_reason(name: str, recipe: Recipe) -> None:
    assert ends_well(NO_PICTURES[name], recipe).split(":")[0] in ("decode_error", "truncated")


# ------------------------------------------------------------------ mutated


# Mutates and converts in a process of its own: what kills the decoder is named on stderr.
MUTATED = """
import collections, faulthandler, json, sys
from pathlib import Path
from materialize.image import Rejected, convert
from materialize.recipe import BUILT_IN
from tests.mutations import mutations
faulthandler.enable()
originals = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
outcomes = collections.Counter()
for name, data in mutations(originals, int(sys.argv[2]), int(sys.argv[3])):
    for recipe in BUILT_IN.values():
        # A header may claim 1.8 gigapixels under tol10m: allowed there, and too much for a test.
        limited = recipe.with_(max_pixels=min(recipe.max_pixels, 20_000_000))
        try:
            convert(data, limited)
            outcomes[recipe.name, "written"] += 1
        except Rejected as rejected:
            assert " at 0x" not in rejected.detail
            outcomes[recipe.name, rejected.outcome] += 1
        except BaseException as error:
            raise SystemExit(f"{name}, {recipe.name}: {error!r}")
print(json.dumps([[*names, number] for names, number in outcomes.items()]))
"""


def mutate_and_convert(folder: Path, originals: list[bytes], count: int, seed: int) -> dict[tuple[str, str], int]:
    folder.mkdir()
    for number, data in enumerate(originals):
        (folder / f"{number:04d}").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MUTATED, str(folder), str(count), str(seed)],
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=str(Path(__file__).parents[1])),
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "nobody can tell which image a warning is about"
    return {(recipe, outcome): number for recipe, outcome, number in json.loads(done.stdout)}


def test_three_hundred_mutated_images_are_written_or_rejected_by_both_recipes(tmp_path: Path) -> None:
    found = mutate_and_convert(tmp_path / "originals", list(seeds()), 300, seed=3)
    for recipe in BUILT_IN:
        assert sum(number for (name, _), number in found.items() if name == recipe) == 300
        assert found[recipe, "written"] > 30, "mutations that leave nothing alive test only the first check"
        assert found[recipe, "decode_error"] > 30


@needs_shared
@pytest.mark.soak
def test_twenty_thousand_mutations_of_real_photographs_are_written_or_rejected(tmp_path: Path) -> None:
    real = sorted((SHARED_DATA / "corpora/dev/data/TreeOfLife-10M/dataset").rglob("*.jpg"))[::4]
    originals = [*seeds(), *(path.read_bytes() for path in real)]
    found = mutate_and_convert(tmp_path / "originals", originals, 20_000, seed=4)
    assert sum(found.values()) == 40_000


def test_the_same_seed_makes_the_same_mutations() -> None:
    originals = list(seeds())
    first, second = list(mutations(originals, 60, 5)), list(mutations(originals, 60, 5))
    assert first == second
    assert list(mutations(originals, 40, 5)) == first[:40]
    assert [data for _, data in mutations(originals, 60, 6)] != [data for _, data in first]
    assert len({data for _, data in first}) > 55
    assert len({name.split(": ")[1] for name, _ in first}) > 40


def test_what_pillow_and_libtiff_log_reaches_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    for format in ("TIFF lzw", "TIFF jpeg"):
        cut = FORMATS[format]()
        ends_well(cut[: len(cut) * 2 // 3], CLEAN)
        ends_well(cut[: len(cut) // 2] + bytes(len(cut) // 2), TOL10M)
    data = saved(scene(90, 60), "TIFF", tiffinfo={277: 40_000})
    at = data.find(struct.pack("<HH", 277, 3))
    ends_well(data[: at + 8] + struct.pack("<H", 40_000) + data[at + 10 :], CLEAN)
    assert capfd.readouterr() == ("", "")


@pytest.mark.soak
def test_a_run_over_mutated_images_ends_by_itself_with_an_outcome_for_each(tmp_path: Path) -> None:
    found = hostile_images.run(tmp_path, 400, 9, 2, lambda _told: None)
    assert found.complaints == ()
    assert (found.crashes, found.without_outcome) == (0, 0)
    assert found.images == 400 + len(hostile_images.BIG_ONES)
    assert 50_000_000 < found.peak_rss_bytes < MEMORY_OF_A_WORKER
