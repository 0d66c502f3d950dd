"""The manifest: what is built in, and that nothing in a user's own makes the reader do anything but say so."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fetch_server import toml
from tests.running import tol_db
from tol_db.errors import InputError
from tol_db.fetch.manifest import KEYS, built_in_text, parse_manifest, read_manifest
from tol_db.fetch.urls import origin, shown


def test_the_built_in_manifest_has_the_four_downloads() -> None:
    sections = read_manifest()
    assert tuple(sections) == KEYS
    eol = sections["eol"].files
    assert [file.path for file in eol] == [f"image_set_{n:02}.tar.gz" for n in range(1, 64)]
    assert eol[6].url.endswith("/dataset/EOL/image_set_07.tar.gz")
    (inat,) = sections["inat21"].files
    (bioscan,) = sections["bioscan"].files
    assert inat.extract is not None and bioscan.extract is not None
    assert (inat.extract.into, bioscan.extract.into) == ("train", "")
    assert (inat.extract.members, bioscan.extract.members) == (2_686_843, 1_128_313)
    assert inat.extract.parts.fullmatch("00371_Animalia_Arthropoda_Insecta_Diptera_Syrphidae_Eristalis_tenax")
    assert all(origin(file.url).scheme == "https" for s in sections.values() for file in s.files)
    hub = [file for s in sections.values() for file in s.files if "huggingface.co" in file.url]
    assert {file.token for file in hub} == {True}
    assert not inat.token and not bioscan.token


def test_the_built_in_manifest_is_printed_as_it_stands(tmp_path: Path) -> None:
    printed = tol_db(tmp_path / "db", "fetch", "manifest").stdout
    assert printed == built_in_text()
    (tmp_path / "mine.toml").write_text(printed)
    told = tol_db(tmp_path / "db", "fetch", "manifest", "--manifest", tmp_path / "mine.toml").stdout
    assert "eol: 63 files, to dataset/eol" in told


def test_all_downloads_can_be_planned_without_a_network(tmp_path: Path) -> None:
    for key in KEYS:
        assert "missing" in tol_db(tmp_path / "db", "fetch", key, tmp_path / "tree", "--dry-run").stdout
    assert list(tmp_path.iterdir()) == []


GOOD = '[eol]\nfolder = "dataset/eol"\n[[eol.files]]\npath = "a.tar.gz"\nurl = "https://h/a"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[eol", "m.toml:"),
        ("[other]\n", "unknown section 'other'"),
        ("eol = 3\n", "[eol]: a table is wanted"),
        ('[eol]\nfolder = "x"\nfiles = 3\n', "[[eol.files]]"),
        ('[eol]\nfolder = "../x"\n', "folder: '../x' is not a plain relative path"),
        ('[eol]\nfolder = "/x"\n', "not a plain relative path"),
        (GOOD + "size = 3\n", "file 1: unknown key 'size'"),
        (GOOD + "bytes = -1\n", "bytes: a whole number"),
        (GOOD + "bytes = true\n", "bytes: a whole number"),
        (GOOD + 'sha256 = "abc"\n', "sha256: 64 hexadecimal digits"),
        (GOOD + 'md5 = "zz"\n', "md5: 32 hexadecimal digits"),
        (GOOD + "optional = 1\n", "optional: true or false"),
        (GOOD + 'numbers = "1-3"\n', "path and url need {}"),
        (GOOD.replace("a.tar.gz", "{}").replace("h/a", "h/{}") + 'numbers = "3-1"\n', "not a range"),
        (GOOD.replace("a.tar.gz", "{}").replace("h/a", "h/{}") + 'numbers = "0-999999999"\n', "more than 100,000"),
        (GOOD + GOOD.partition("\n")[2].partition("\n")[2], "file 2: path: 'a.tar.gz' comes twice"),
        (GOOD.replace("a.tar.gz", ".hidden"), "not a plain relative path"),
        (GOOD.replace("a.tar.gz", "x/../../y"), "not a plain relative path"),
        (GOOD.replace("https://h/a", "https://h/a b"), "url:"),
        (GOOD.replace("https://h/a", "https://h:x/a"), "url:"),
        (GOOD + '[eol.files.extract]\nfolder = "x"\nparts = "("\n', "parts: not a regular expression"),
        (GOOD.replace("a.tar.gz", "a.rar") + '[eol.files.extract]\nfolder = "x"\nparts = "."\n', "extract:"),
    ],
)
def test_a_broken_manifest_is_told_with_file_section_and_entry(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(InputError) as err:
        read_manifest(tmp_path / "m.toml")
    assert "m.toml" in str(err.value)
    assert told in str(err.value)


def test_a_manifest_that_is_not_there_and_one_that_lacks_the_section(tmp_path: Path) -> None:
    words = ("fetch", "eol", tmp_path / "tree", "--manifest", tmp_path / "m.toml")
    assert "no such manifest" in tol_db(tmp_path / "db", *words, expect=66).stderr
    (tmp_path / "m.toml").write_bytes(b'[metadata]\nfolder = "metadata"\n')
    assert "no section [eol]" in tol_db(tmp_path / "db", *words, expect=2).stderr
    (tmp_path / "m.toml").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in tol_db(tmp_path / "db", *words, expect=65).stderr


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 1 << 70)
    | st.text(max_size=30)
    | st.sampled_from(
        ["https://h/{}", "a/{}.tar.gz", "01-03", "a" * 64, "b" * 32, "[", "../x", "//", "http://[::1"]
    )
)
_KEYS = st.sampled_from(
    ["path", "url", "numbers", "bytes", "about", "sha256", "md5", "optional", "token", "folder", "title", "x"]
)


@settings(deadline=None)
@given(
    section=st.sampled_from([*KEYS, "other"]),
    head=st.dictionaries(_KEYS, _VALUES, max_size=3),
    files=st.lists(st.dictionaries(_KEYS, _VALUES, max_size=8), max_size=3),
    extract=st.none()
    | st.dictionaries(st.sampled_from(["folder", "parts", "into", "members"]), _VALUES, max_size=4),
)
def test_any_table_is_read_or_refused_and_what_is_read_stays_in_the_tree(
    section: str,
    head: dict[str, object],
    files: list[dict[str, object]],
    extract: dict[str, object] | None,
) -> None:
    def lines(table: dict[str, object]) -> list[str]:
        return [f"{key} = {toml(value)}" for key, value in table.items() if value is not None]

    text = [f"[{section}]", *lines(head)]
    for file in files:
        text += [f"[[{section}.files]]", *lines(file)]
    if files and extract is not None:
        text += [f"[{section}.files.extract]", *lines(extract)]
    try:
        sections = parse_manifest("\n".join(text), "m.toml")
    except InputError as err:
        assert "m.toml" in str(err)
        return
    for found in sections.values():
        for file in found.files:
            steps = f"{found.folder}/{file.path}/{file.extract.into if file.extract else 'x'}".split("/")
            assert not any(step in ("..", ".") for step in steps)
            assert origin(file.url).scheme in ("http", "https")


@settings(deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=50).map(lambda b: b.decode("latin-1")))
def test_any_text_is_toml_or_refused(text: str) -> None:
    try:
        parse_manifest(text, "m.toml")
    except InputError:
        return
    assert not set(tomllib.loads(text)) - set(KEYS)


_WORD = st.text("abcXYZ019-_~%", min_size=1, max_size=12)


@settings(deadline=None)
@given(user=_WORD, password=_WORD, query=_WORD, path=_WORD)
def test_no_shown_address_holds_a_secret(user: str, password: str, query: str, path: str) -> None:
    told = shown(f"https://{user}XuserX:{password}XpassX@host.example:8443/{path}?sig={query}XqueryX#XfragX")
    assert not [word for word in ("XuserX", "XpassX", "XqueryX", "XfragX") if word in told]
    assert told.startswith("https://host.example:8443/")


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_can_be_shown(text: str) -> None:
    assert isinstance(shown(text), str)
