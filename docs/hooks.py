"""What mkdocs is told beside mkdocs.yml: pages that lie outside of docs/, links between them, pages not in the nav.

A page keeps the path that it has in the repository, but for ``docs/``: `docs/cluster.md` is `cluster.md`, and
`slurm/README.md` stays what it is. So a link that is right in the repository is right on the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "slurm/README.md")
"""Pages outside of docs/; README.md is the first one."""
FILES = ("LICENSE", "slurm/*.sbatch", "slurm/*.sh", "slurm/profiles/*")
"""What these pages link to."""
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages of docs/ that nobody has put into the nav stand at its end, under "More"."""
    named = set(re.findall(r"[\w/.-]+\.md", str(config.nav)))
    docs = Path(config.docs_dir)
    others = sorted(page for page in docs.rglob("*.md") if page.relative_to(docs).as_posix() not in named)
    if others and config.nav is not None:
        config.nav.append({"More": [page.relative_to(docs).as_posix() for page in others]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name in PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    for pattern in FILES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                files.append(File.generated(config, path.relative_to(ROOT).as_posix(), content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files, **_: Any) -> str:
    """Links as they are right in the repository, made right on the site."""
    here = page.file.src_uri
    repository = here if here in PAGES else f"docs/{here}"

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(repository), link[1]))
        target = "slurm/README.md" if target == "slurm" else target.removeprefix("docs/")
        return posixpath.relpath(target, posixpath.dirname(here) or ".")

    return _LINK.sub(moved, markdown)
