"""The ten texts beside each image of a shard (TreeOfLife-10M, contents of a sample)."""

from __future__ import annotations

from tol_db.taxonomy import names
from tol_db.taxonomy.names import Lineage

EXTENSIONS = (
    "com.txt",
    "common_name.txt",
    "sci.txt",
    "sci_com.txt",
    "scientific_name.txt",
    "taxon.txt",
    "taxonTag.txt",
    "taxonTag_com.txt",
    "taxon_com.txt",
    "taxonomic_name.txt",
)
"""Extensions of the texts in ASCII order, which is their order in a shard."""


def texts(lineage: Lineage, common_name: str) -> dict[str, str]:
    """The texts of an image.

    Args:
        lineage: the normalised label, in the shown form.
        common_name: the given common name, "" where there is none.

    Returns:
        Extension → text, in the order of ``EXTENSIONS``, without a newline at the end. Where a label ends
        above the genus, the scientific name is empty and its texts show it (``a photo of .``), as the
        published ones do.

    Raises:
        ValueError: no rank has a name; such an image has no label and belongs in no shard.
    """
    if lineage.is_empty:
        raise ValueError("a lineage without a single name has no texts")
    scientific = names.scientific(lineage)
    taxonomic = names.taxonomic(lineage)
    tagged = names.tagged(lineage)
    common = names.common(lineage, common_name)
    return {
        "com.txt": f"a photo of {common}.",
        "common_name.txt": common,
        "sci.txt": f"a photo of {scientific}.",
        "sci_com.txt": f"a photo of {scientific} with common name {common}.",
        "scientific_name.txt": scientific,
        "taxon.txt": f"a photo of {taxonomic}.",
        "taxonTag.txt": f"a photo of {tagged}.",
        "taxonTag_com.txt": f"a photo of {tagged} with common name {common}.",
        "taxon_com.txt": f"a photo of {taxonomic} with common name {common}.",
        "taxonomic_name.txt": taxonomic,
    }
