"""A dataset in words: what it is and whom to cite. Shared by what describes one."""

from __future__ import annotations

from tol_db.export.facts import DatasetFacts


def description(facts: DatasetFacts) -> str:
    """A paragraph."""
    splits = ", ".join(f"{split.name} {split.written:,}" for split in facts.splits)
    sources = ", ".join(source.title for source in facts.sources) or "no source yet"
    limit = f" Only images of these licences: {', '.join(facts.licence_filter)}." if facts.licence_filter else ""
    return (
        f"Images of organisms with the seven Linnaean ranks and a common name each, as WebDataset shards of "
        f"{facts.width}x{facts.height} pixel JPEGs and ten texts. Samples by split: {splits}. Images from: "
        f"{sources}.{limit}"
    )


def citation(facts: DatasetFacts) -> str:
    """Whom to cite: the sources as they ask for it, and the plan, which says exactly which images these are."""
    cited = [source.citation or source.title for source in facts.sources]
    built = f"dataset {facts.name}, plan {facts.plan_digest[:16]}, recipe {facts.recipe_digest[:16]}"
    return "; ".join([*(text.rstrip(".; \n") for text in cited), built])
