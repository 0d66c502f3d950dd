"""How an aligned source becomes part of the workspace: grafts, insertions, and groups that are not taken.

After Rees & Cranston 2017, "Merge". In Newick, workspace + source = result, ``?`` for *incertae sedis*::

    ((a,b)x,(c,d)y)z + ((c,d)y,(e,f)w)z       = ((a,b)x,(c,d)y,(e,f)w)z    graft
    ((a,b)x,(c,d)y)z + (a,b,c,d)z             = ((a,b)x,(c,d)y)z           nothing new
    (a,b,c,d)z       + ((a,b)x,(c,d)y)z       = ((a,b)x,(c,d)y)z           insertion
    ((a,b)x,(c,d)y)z + (a,b,c,d,e)z           = ((a,b)x,(c,d)y,?e)z        scattered siblings
    (a,b,c,d,e)z     + ((a,b)x,(c,d)y)z       = (a,b,c,d,e)z               absorbed: e is a proper child of z
    ((a,b)x,(c,d)y)z + ((a,c)p,(b,d,e)q)z     = ((a,b)x,(c,d)y,?e)z        conflict

The parents that earlier sources gave always stand, except that a taxon that is out of place moves to a more
specific place that this source offers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tol_db.taxonomy.align import Alignment
from tol_db.taxonomy.decision import AMBIGUOUS, HOW_NUMBER
from tol_db.taxonomy.flags import BITS, OUT_OF_PLACE
from tol_db.taxonomy.ranks import NO_RANK_LEVEL
from tol_db.taxonomy.source import SourceTaxonomy
from tol_db.taxonomy.tree import NONE, Flags, Ints, Mask, Shape
from tol_db.taxonomy.workspace import Workspace

_INCERTAE_SEDIS = BITS["incertae_sedis"]
_PASSED_ON = BITS["extinct"]


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A source node that is no taxon of the result.

    Attributes:
        reason: ``ambiguous tip``, ``absorbed`` or ``conflict``.
        spot: the workspace's node to which its members went; -1 where it has none.
        parents: where the members of a conflicting group stand.
    """

    reason: str
    spot: int = NONE
    parents: tuple[int, ...] = ()


@dataclass(slots=True)
class Merged:
    """What became of a source's nodes.

    Attributes:
        image: the workspace's node of each, grown ones included; -1 of those that are left out.
        how: index into :data:`~tol_db.taxonomy.decision.HOW`.
        left: nodes that are no taxon.
        moved: workspace nodes that were out of place and found a better one: (node, from, to).
    """

    image: Ints
    how: Ints
    left: dict[int, NotTaken] = field(default_factory=dict)
    moved: list[tuple[int, int, int]] = field(default_factory=list)


def merge(source: SourceTaxonomy, number: int, workspace: Workspace, alignment: Alignment) -> Merged:
    """Grow the workspace by a source.

    Args:
        number: of the source, for provenance.
    """
    work = _Merge(source, workspace, alignment)
    work.run()
    work.enter(number)
    return work.result


class _Merge:
    """One merge, bottom-up over the source. Python lists: single items are read and written, millions of times."""

    def __init__(self, source: SourceTaxonomy, workspace: Workspace, alignment: Alignment) -> None:
        self.source, self.workspace = source, workspace
        self.shape: Shape = source.shape()
        tree = workspace.tree
        self.parent: list[int] = tree.parent.tolist()
        self.flags: list[int] = tree.flags.tolist()
        self.rank: list[int] = tree.rank.tolist()
        self.before = len(tree)
        self.old_shape = workspace.shape()
        self.backed = _backed_subtrees(workspace, self.old_shape)
        self.image: list[int] = alignment.image.tolist()
        self.aligned_to: list[int] = alignment.image.tolist()
        self.ambiguous_tips = (alignment.answer == AMBIGUOUS) & self.shape.is_tip
        self.how: list[int] = alignment.how.tolist()
        self.fronts: dict[int, list[int]] = {}
        self.covered_memo: dict[tuple[int, int], bool] = {}
        self.ordered = np.argsort(alignment.image, kind="stable").astype(np.int32)
        self.ordered_images = alignment.image[self.ordered]
        self.new_nodes: list[int] = []
        self.over_roots = False  # whether a group was put above a root of the workspace
        self.result = Merged(alignment.image, alignment.how)

    # ------------------------------------------------------------------ bottom up

    def run(self) -> None:
        """Place every node of the source."""
        tree, tips = self.source.tree, self.shape.is_tip.tolist()
        ambiguous = self.ambiguous_tips.tolist()
        for node in self.shape.by_place()[::-1].tolist():
            if ambiguous[node]:
                self.result.left[node] = NotTaken("ambiguous tip")
            elif tips[node]:
                if self.image[node] == NONE:
                    self._new(node, HOW_NUMBER["copied"])
            elif self.aligned_to[node] != NONE:
                self._attach_to_image(node)
            else:
                self._place_group(node)
        self._find_better_places(tree.flags)

    def _attach_to_image(self, node: int) -> None:
        """Hang what is new among the children of an aligned node under its image, or deeper where all their
        siblings stand in one place there."""
        known, new = self._children(node)
        if not new:
            return
        image = self.image[node]
        spots = {self.parent[other] for other in known}
        spots = {spot for spot in spots if self._within(spot, image)}
        spot = self._common(spots) if spots else image
        self._hang(new, spot, out_of_place=len(spots) > 1)

    def _place_group(self, node: int) -> None:
        """A group that the workspace does not have: new as a whole, put between, or not taken."""
        known, new = self._children(node)
        above = self._nearest_aligned(node)
        if known and above != NONE:
            # below a node that aligns to what one of its ancestors aligned to: nothing can stand between the two
            over = set(self._path(self.aligned_to[above]))
            known = [other for other in known if other not in over]
        # what is out of place says nothing of where the group belongs: it comes along, if that is more specific
        placed = [other for other in known if other >= self.before or not self.flags[other] & OUT_OF_PLACE]
        if not placed:
            made = self._new(node, HOW_NUMBER["copied"])
            for child in new:
                self.parent[self.image[child]] = made
            return
        spots = {self.parent[other] for other in placed}
        if len(spots) == 1:
            spot = spots.pop()
            circle = self.over_roots and any(self._within(spot, self.image[child]) for child in new)
            if not circle and self._may_insert(node, spot):
                self.over_roots |= spot == NONE
                made = self._new(node, HOW_NUMBER["inserted"])
                self.parent[made] = spot
                for other in placed:
                    self.parent[other] = made
                for child in new:
                    self.parent[self.image[child]] = made
                return
            self.result.left[node] = NotTaken("absorbed", spot)
            self._hang(new, spot, out_of_place=False)
        else:
            spot = self._more_specific(node, self._common(spots))
            self.result.left[node] = NotTaken("conflict", spot, tuple(sorted(spots)))
            self._hang(new, spot, out_of_place=True)
        self.fronts[node] = list(dict.fromkeys(known))

    def _children(self, node: int) -> tuple[list[int], list[int]]:
        """Images that hang in the workspace already (those below groups that were not taken, too), and children
        that hang nowhere yet."""
        known: list[int] = []
        new: list[int] = []
        for child in self.shape.children_of(node).tolist():
            image = self.image[child]
            if image != NONE:
                if image >= self.before and self.parent[image] == NONE and self.aligned_to[child] == NONE:
                    new.append(child)
                else:
                    known.append(image)
            elif child in self.fronts:
                known += self.fronts[child]
        return known, new

    def _hang(self, new: list[int], spot: int, *, out_of_place: bool) -> None:
        for child in new:
            image = self.image[child]
            if self.over_roots and self._within(spot, image):
                continue  # it was put above a root of the workspace, and so above this spot
            self.parent[image] = spot
            if out_of_place:
                self.flags[image] |= _INCERTAE_SEDIS

    def _new(self, node: int, how: int) -> int:
        made = len(self.parent)
        tree = self.source.tree
        self.parent.append(NONE)
        self.flags.append(int(tree.flags[node]))
        self.rank.append(int(tree.rank[node]))
        self.image[node], self.how[node] = made, how
        self.new_nodes.append(node)
        return made

    # ------------------------------------------------------------------ what may be put between

    def _may_insert(self, node: int, spot: int) -> bool:
        """Whether a group may be put between some children of a node and that node.

        Not where a proper child of it, one of a source before this, is unknown to this source there: the earlier
        source says that it is in none of the groups. Nor, below a node that this source does not have in that
        place, against the order of ranks.
        """
        above = self._nearest_aligned(node)
        if spot == NONE:
            return True
        key = (spot, above)
        if key not in self.covered_memo:
            self.covered_memo[key] = self._all_covered(spot, above)
        if not self.covered_memo[key]:
            return False
        if above != NONE and self.aligned_to[above] != spot:
            rank, upper = int(self.source.tree.rank[node]), self.rank[spot]
            return rank == NO_RANK_LEVEL or upper == NO_RANK_LEVEL or rank > upper
        return True

    def _all_covered(self, spot: int, above: int) -> bool:
        if spot >= self.before:
            return True
        shape = self.shape
        begin, end = (
            (0, len(shape.place))
            if above == NONE
            else (int(shape.place[above]), int(shape.place[above] + shape.size[above]))
        )
        for child in self.old_shape.children_of(spot).tolist():
            if not self.backed[child] or self.workspace.tree.flags[child] & OUT_OF_PLACE:
                continue
            # keys of the array's own type: others would have numpy convert the whole array at each call
            low, high = np.searchsorted(self.ordered_images, np.array([child, child + 1], np.int32))
            places = shape.place[self.ordered[low:high]]
            if not ((places >= begin) & (places < end)).any():
                return False
        return True

    def _nearest_aligned(self, node: int) -> int:
        parent = self.source.tree.parent
        node = int(parent[node])
        while node != NONE and self.aligned_to[node] == NONE:
            node = int(parent[node])
        return node

    # ------------------------------------------------------------------ places

    def _common(self, spots: set[int]) -> int:
        """The nearest node that is, or is above, all of some nodes; -1 where they lie in different trees."""
        first, *others = sorted(spots)
        path = self._path(first)
        place = {node: at for at, node in enumerate(path)}
        least = 0
        for node in others:
            while node != NONE and node not in place:
                node = self.parent[node]
            if node == NONE:
                return NONE
            least = max(least, place[node])
        return path[least] if path else NONE

    def _path(self, node: int) -> list[int]:
        path = []
        while node != NONE:
            path.append(node)
            node = self.parent[node]
        return path

    def _within(self, node: int, ancestor: int) -> bool:
        while node != NONE and node != ancestor:
            node = self.parent[node]
        return node == ancestor

    def _more_specific(self, node: int, spot: int) -> int:
        """The image of the nearest aligned ancestor, where that lies below a spot: so much the source does say."""
        above = self._nearest_aligned(node)
        if above == NONE:
            return spot
        image = self.aligned_to[above]
        return image if spot == NONE or self._within(image, spot) else spot

    def _find_better_places(self, source_flags: Flags) -> None:
        """Move what is out of place in the workspace to where this source puts it, if that is more specific."""
        parent = self.source.tree.parent
        for node in self.shape.by_place().tolist():
            image = self.aligned_to[node]
            if image == NONE or not self.flags[image] & OUT_OF_PLACE or source_flags[node] & OUT_OF_PLACE:
                continue
            above = int(parent[node])
            while above != NONE and self.image[above] == NONE:
                above = int(parent[above])
            if above == NONE:
                continue
            now, better = self.parent[image], self.image[above]
            if better != now and (now == NONE or self._within(better, now)) and not self._within(better, image):
                self.parent[image] = better
                self.flags[image] &= ~OUT_OF_PLACE
                self.result.moved.append((image, now, better))

    # ------------------------------------------------------------------ into the workspace

    def enter(self, number: int) -> None:
        """Write what was found into the workspace's arrays."""
        source, tree = self.source.tree, self.workspace.tree
        image = np.array(self.image, np.int32).reshape(-1)
        how = np.array(self.how, np.int32).reshape(-1)
        self.result.image, self.result.how = image, how
        made = np.array(self.new_nodes, np.int32)
        tree.parent = np.array(self.parent, np.int32).reshape(-1)
        tree.flags = np.array(self.flags, np.uint32).reshape(-1)
        tree.name = np.concatenate([tree.name, source.name[made]])
        tree.rank = np.concatenate([tree.rank, source.rank[made]])
        self._name_groups(image)
        known = np.flatnonzero((image != NONE) & (image < self.before))
        unranked = known[tree.rank[image[known]] == NO_RANK_LEVEL]
        tree.rank[image[unranked]] = source.rank[unranked]
        np.bitwise_or.at(tree.flags, image[known], source.flags[known] & np.uint32(_PASSED_ON))
        self._add_synonyms(number, image, known.astype(np.int32))
        placed = np.flatnonzero(image != NONE)
        order = placed[np.argsort(image[placed], kind="stable")]
        self.workspace.ids.add(image[order], number, self.source.row[order], how[order])
        backed = np.zeros(len(tree), np.bool_)
        backed[: self.before] = self.workspace.backed
        backed[image[placed]] = True
        self.workspace.backed = backed

    def _name_groups(self, image: Ints) -> None:
        """A node of the separation tree takes name and rank of the first source that has it."""
        tree, workspace = self.workspace.tree, self.workspace
        for node in np.flatnonzero((image != NONE) & (image < workspace.separation)).tolist():
            group = int(image[node])
            if not workspace.backed[group] and self.aligned_to[node] == group:
                tree.name[group], tree.rank[group] = self.source.tree.name[node], self.source.tree.rank[node]
                workspace.backed[group] = True

    def _add_synonyms(self, number: int, image: Ints, known: Ints) -> None:
        """Other names of what is aligned, and all synonyms, each once."""
        source, tree = self.source.tree, self.workspace.tree
        renamed = known[tree.name[image[known]] != source.name[known]]
        rows = np.flatnonzero(image[source.synonyms.node] != NONE)
        kinds = source.synonyms.kinds
        if "synonym" not in kinds:
            kinds = [*kinds, "synonym"]
        node = np.concatenate([image[renamed], image[source.synonyms.node[rows]]])
        name = np.concatenate([source.name[renamed], source.synonyms.name[rows]])
        kind = np.r_[np.full(len(renamed), kinds.index("synonym"), np.int32), source.synonyms.kind[rows]]
        matching = np.r_[np.ones(len(renamed), np.bool_), source.synonyms.matching[rows]]
        row = np.concatenate([self.source.row[renamed], self.source.row[source.synonyms.node[rows]]])
        fresh = tree.name[node] != name
        node, name, kind, matching, row = node[fresh], name[fresh], kind[fresh], matching[fresh], row[fresh]
        ours = tree.synonyms
        there = (ours.node.astype(np.int64) << 32) | ours.name
        key = (node.astype(np.int64) << 32) | name
        _, first = np.unique(key, return_index=True)
        first = np.sort(first)
        first = first[~np.isin(key[first], there)]
        for word in sorted({kinds[k] for k in np.unique(kind[first])}):
            of_kind = first[kind[first] == kinds.index(word)]
            for matches in (True, False):
                chosen = of_kind[matching[of_kind] == matches]
                if len(chosen):
                    ours.add(node[chosen], name[chosen], word, matching=matches, source=number, row=row[chosen])


def _backed_subtrees(workspace: Workspace, shape: Shape) -> Mask:
    """Whether a source stands behind a node or anything below it."""
    backed = workspace.backed.copy()
    for level in reversed(shape.levels[1:]):
        backed[workspace.tree.parent[level[backed[level]]]] = True
    return backed
