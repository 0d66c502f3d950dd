"""What stands under "Queries": every audit, and what one asks of a single image."""

from __future__ import annotations

from typing import Any

from tol_db.audit import runner

_OF_ONE_IMAGE = {
    "image_facts": (
        "One image: where it lies and what it is called",
        "Everything that is known of an image before any dataset.",
        """SELECT v.* FROM image i JOIN v_image v ON v.image_id = i.id
WHERE i.treeoflife_id = id_bytes(:treeoflife_id)""",
    ),
    "image_samples": (
        "One image: its samples",
        "The places of an image in shards, its outcome there, and the picture that was written.",
        """SELECT v.* FROM image i JOIN v_sample v ON v.image_id = i.id
WHERE i.treeoflife_id = id_bytes(:treeoflife_id) ORDER BY v.dataset, v.split""",
    ),
    "image_exclusions": (
        "One image: why is it not in a split?",
        "The splits that a plan left an image out of, and why; `tol-db report image` tells more.",
        # exclusion is ordered by (dataset, split, image): with both named, no row but the one is looked at
        """SELECT d.name AS dataset, s.name AS split, o.name AS outcome, x.detail
FROM image i CROSS JOIN dataset_split t
JOIN exclusion x ON x.dataset_id = t.dataset_id AND x.split_id = t.split_id AND x.image_id = i.id
JOIN dataset d ON d.id = x.dataset_id JOIN split s ON s.id = x.split_id JOIN outcome o ON o.id = x.outcome_id
WHERE i.treeoflife_id = id_bytes(:treeoflife_id) ORDER BY 1, 2""",
    ),
}


def canned_queries() -> dict[str, dict[str, Any]]:
    """Name → query, as datasette's metadata takes them; the audits in their own order, then those of one image."""
    found: dict[str, dict[str, Any]] = {}
    for audit in runner.load():
        must = " It must be empty: a row is a fault." if audit.must_be_empty else ""
        found[audit.name] = {
            "title": audit.title,
            "description": f"{audit.answers} A row: {audit.row}.{must}",
            "sql": audit.sql.rstrip(";"),
        }
    for name, (title, description, sql) in _OF_ONE_IMAGE.items():
        found[name] = {"title": title, "description": description, "sql": sql}
    return found
