"""The taxa of the demo tree and how each one is drawn.

Names, lineages and English names are those of real taxa. The pictures are drawings: a body plan per group of
organisms, set in the colours of the table, with proportions that follow from the species' name, so that one
species looks alike from picture to picture and its individuals differ a little.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, ...]
Point = tuple[float, float]

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")

BLACK, WHITE, BARK, LEAF, STEM = (24, 22, 26), (250, 249, 244), (121, 92, 66), (94, 142, 74), (110, 150, 84)


@dataclass(frozen=True)
class Taxon:
    """A taxon that can be drawn.

    Attributes:
        plan: the body plan it is drawn after.
        features: what sets it apart within the plan.
        lineage: its names from kingdom to species; empty where it is only known to a higher rank.
        common: its English name, or empty.
        colours: the main colour and the second one, RGB.
    """

    plan: str
    features: frozenset[str]
    lineage: tuple[str, ...]
    common: str
    colours: tuple[Colour, Colour]

    @property
    def scientific(self) -> str:
        """Genus and species."""
        return " ".join(self.lineage[5:])


# Plan and features | lineage (a dot: not known to that rank) | English name | the two colours.
_SPECIES = """
bird | Animalia Chordata Aves Passeriformes Muscicapidae Erithacus rubecula | European robin | 8a7456 e0702e
bird | Animalia Chordata Aves Passeriformes Muscicapidae Oenanthe oenanthe | northern wheatear | 8f9aa6 e8c79a
bird | Animalia Chordata Aves Passeriformes Prunellidae Prunella modularis | dunnock | 85603f 8b929c
bird bill | Animalia Chordata Aves Coraciiformes Alcedinidae Alcedo atthis | common kingfisher | 1f86b8 e58a3a
bird | Animalia Chordata Aves Passeriformes Emberizidae Emberiza aureola | yellow-breasted bunting | 7a4630 f0cf4a
bird stout | Animalia Chordata Aves Psittaciformes Strigopidae Strigops habroptila | kākāpō | 6f9440 b9bf6a
fish spots | Animalia Chordata Actinopterygii Salmoniformes Salmonidae Salmo trutta | brown trout | 9a7a42 e8d29a
fish | Animalia Chordata Actinopterygii Cypriniformes Cyprinidae Carassius auratus | goldfish | ee7f22 fbc65a
fish deep | Animalia Chordata Actinopterygii Zeiformes Zeidae Zeus faber | John Dory | a89a5c dcd2a0
snail fig | Animalia Mollusca Gastropoda Littorinimorpha Ficidae Ficus variegata | true fig shell | d9b48a 9c6b46
snail | Animalia Mollusca Gastropoda Stylommatophora Helicidae Helix pomatia | Roman snail | c9a878 8f6e48
snail bands | Animalia Mollusca Gastropoda Stylommatophora Helicidae Cepaea nemoralis | grove snail | ecd068 5a3c28
beetle spots | Animalia Arthropoda Insecta Coleoptera Coccinellidae Coccinella septempunctata \
| seven-spot ladybird | d8342a 1c1a1e
beetle jaws | Animalia Arthropoda Insecta Coleoptera Lucanidae Lucanus cervus | European stag beetle | 6a3524 33241f
beetle | Animalia Arthropoda Insecta Coleoptera Scarabaeidae Cetonia aurata | rose chafer | 3f9a58 2c7448
butterfly veins | Animalia Arthropoda Insecta Lepidoptera Nymphalidae Danaus plexippus | monarch | ee8424 241c1a
butterfly ragged | Animalia Arthropoda Insecta Lepidoptera Nymphalidae Polygonia c-album | comma | d9772e 5a3620
butterfly tails veins | Animalia Arthropoda Insecta Lepidoptera Papilionidae Papilio machaon \
| Old World swallowtail | f3dc72 2a2832
butterfly tails eyes | Animalia Arthropoda Insecta Lepidoptera Saturniidae Actias luna | luna moth | b4dba4 b4788c
fly stripes | Animalia Arthropoda Insecta Hymenoptera Apidae Apis mellifera | western honey bee | c98a34 4a3020
fly stripes fur | Animalia Arthropoda Insecta Hymenoptera Apidae Bombus affinis | rusty patched bumble bee | f0cd52 2a2420
fly stripes | Animalia Arthropoda Insecta Diptera Syrphidae Episyrphus balteatus | marmalade hoverfly | f0a630 3a2a20
mammal bush | Animalia Chordata Mammalia Carnivora Canidae Vulpes vulpes | red fox | cf6a2c f4ece0
mammal low mask | Animalia Chordata Mammalia Carnivora Mustelidae Meles meles | European badger | 85837e f2efe6
mammal spots | Animalia Chordata Mammalia Carnivora Felidae Lynx pardinus | Iberian lynx | c08a54 efe4d0
mammal antlers | Animalia Chordata Mammalia Artiodactyla Cervidae Cervus elaphus | red deer | 9a5f38 d9b98c
mammal low | Animalia Chordata Mammalia Carnivora Mustelidae Lutra lutra | Eurasian otter | 7a583e d6c3a4
mushroom dots | Fungi Basidiomycota Agaricomycetes Agaricales Amanitaceae Amanita muscaria | fly agaric | d3302a f6f0e0
mushroom stout | Fungi Basidiomycota Agaricomycetes Boletales Boletaceae Boletus edulis | penny bun | 94602e ecd9b0
mushroom funnel | Fungi Basidiomycota Agaricomycetes Russulales Russulaceae Lactarius deliciosus \
| saffron milk cap | e28a3c eab27a
mushroom tall | Fungi Basidiomycota Agaricomycetes Agaricales Agaricaceae Coprinus comatus | shaggy ink cap | f1ebdf b09a80
flower spike | Plantae Tracheophyta Magnoliopsida Lamiales Lamiaceae Prunella vulgaris | self-heal | 8a5cb8 5c4478
flower umbel | Plantae Tracheophyta Magnoliopsida Apiales Apiaceae Oenanthe crocata | hemlock water-dropwort | f7f7ee d8e2b4
flower cup | Plantae Tracheophyta Magnoliopsida Ranunculales Papaveraceae Papaver rhoeas | common poppy | dc2f26 2a1c22
flower | Plantae Tracheophyta Magnoliopsida Asterales Asteraceae Bellis perennis | daisy | fbfaf5 f2c132
flower giant | Plantae Tracheophyta Magnoliopsida Asterales Asteraceae Helianthus annuus | common sunflower | f6c024 5e3a20
branch figs | Plantae Tracheophyta Magnoliopsida Rosales Moraceae Ficus variegata | common red-stem fig | 5f9a4e c4503c
branch acorns | Plantae Tracheophyta Magnoliopsida Fagales Fagaceae Quercus robur | pedunculate oak | 6d9040 b08a4e
"""

# What barcoded insects are mostly known to: a family, sometimes a genus, seldom a species.
_BARCODED = """
fly | Animalia Arthropoda Insecta Diptera Cecidomyiidae . . | | b08a70 6a4a3c
fly | Animalia Arthropoda Insecta Diptera Chironomidae . . | | 8f9a58 4c5430
fly | Animalia Arthropoda Insecta Diptera Sciaridae . . | | 4a4648 2c282c
fly | Animalia Arthropoda Insecta Diptera Phoridae Megaselia . | | 9a7440 54402c
fly stripes | Animalia Arthropoda Insecta Hymenoptera Braconidae . . | | a8642c 3a2a26
beetle | Animalia Arthropoda Insecta Coleoptera Staphylinidae . . | | 5a3a2c 3a2824
fly stripes | Animalia Arthropoda Insecta Diptera Syrphidae Episyrphus balteatus | | f0a630 3a2a20
beetle spots | Animalia Arthropoda Insecta Coleoptera Coccinellidae Coccinella septempunctata | | d8342a 1c1a1e
"""

# How the labels of some pages are spelt in the raw lookup. Normalised, all but the empty and unknown ranks say
# what the table above says.
RAW_SPELLINGS: dict[str, dict[str, str]] = {
    "Alcedo atthis": {"kingdom": "Metazoa", "species": "Alcedo atthis (Linnaeus, 1758)"},
    "Bombus affinis": {"species": "Bombus affinis Cresson, 1863"},
    "Cetonia aurata": {"genus": "<i>Cetonia</i>", "species": "<i>Cetonia aurata</i>"},
    "Danaus plexippus": {"species": "plexippus (Linnaeus, 1758)"},
    "Bellis perennis": {"kingdom": "Chloroplastida", "species": "perennis L."},
    "Lynx pardinus": {"kingdom": "Metazoa", "species": "pardinus (Temminck, 1827)"},
    "Helix pomatia": {"order": "", "species": "<i>Helix pomatia</i> Linnaeus, 1758"},
    "Lactarius deliciosus": {"class": "", "order": "", "species": "deliciosus (L.) Gray"},
    "Lutra lutra": {"species": "Lutra lutra lutra"},
    "Papaver rhoeas": {"kingdom": "Archaeplastida", "species": "Papaver rhoeas L."},
    "Quercus robur": {"genus": "", "species": "Quercus robur L."},
    "Salmo trutta": {"kingdom": "metazoa", "class": "", "species": "trutta Linnaeus, 1758"},
    "Zeus faber": {"family": "(unidentified)", "species": "Zeus faber"},
}


def _rgb(text: str) -> Colour:
    return tuple(bytes.fromhex(text))


def _read(table: str) -> Iterable[Taxon]:
    for line in table.strip().splitlines():
        drawn, names, common, colours = (part.strip() for part in line.split("|"))
        plan, *features = drawn.split()
        main, second = (_rgb(colour) for colour in colours.split())
        lineage = tuple("" if name == "." else name for name in names.split())
        yield Taxon(plan, frozenset(features), lineage, common, (main, second))


SPECIES: tuple[Taxon, ...] = tuple(_read(_SPECIES))
BARCODED: tuple[Taxon, ...] = tuple(_read(_BARCODED))


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """The colour that lies ``share`` of the way from one to the other."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


class Pen:
    """Draws one specimen in its own frame: x to the right, y down, about -1 to 1 both ways.

    The canvas is twice the picture's size; halving it afterwards smooths the edges.
    """

    def __init__(self, canvas: Image.Image, taxon: Taxon, rng: random.Random, tilt: float) -> None:
        self._draw = ImageDraw.Draw(canvas, "RGBA")
        # A string seeds through SHA-512, so that the species looks the same in every process.
        self._species = random.Random(f"tol-db demo {taxon.plan} {' '.join(taxon.lineage)}")
        self._rng = rng
        self.has = taxon.features.__contains__
        tint = (rng.choice((BLACK, WHITE)), rng.uniform(0.0, 0.1))
        self.main, self.second = (mix(colour, *tint) for colour in taxon.colours)
        self._unit = min(canvas.size) * rng.uniform(0.36, 0.42)
        turn = math.radians(rng.gauss(0.0, tilt))
        turned = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        self._frame = np.diag([rng.choice((-1.0, 1.0)), 1.0]) @ turned * self._unit
        self._middle = np.array(canvas.size) / 2 + [rng.gauss(0.0, 0.04) * self._unit for _ in "xy"]

    def trait(self, low: float, high: float) -> float:
        """A proportion of the species, with a little of the individual."""
        return self._species.uniform(low, high) + self._rng.gauss(0.0, 0.08) * (high - low)

    def _place(self, points: Iterable[Point]) -> Any:
        return np.asarray(list(points)) @ self._frame + self._middle

    def stroke(self, colour: Colour, width: float, *points: Point) -> None:
        """A rounded line through the points."""
        line = _smooth(self._place(points), closed=False)
        pixels = max(2, round(width * self._unit))
        self._draw.line(line, fill=colour, width=pixels, joint="curve")
        for x, y in (line[0], line[-1]):
            self._draw.ellipse((x - pixels / 2, y - pixels / 2, x + pixels / 2, y + pixels / 2), fill=colour)

    def shape(self, colour: Colour, *points: Point, sharp: bool = False) -> None:
        """A closed outline through the points, filled and edged in a darker tone."""
        placed = self._place(points)
        outline = [(x, y) for x, y in placed.tolist()] if sharp else _smooth(placed, closed=True)
        self._draw.polygon(outline, fill=colour)
        edge = mix(colour[:3], BLACK, 0.35) + colour[3:]
        self._draw.line([*outline, outline[0]], fill=edge, width=max(1, round(0.014 * self._unit)), joint="curve")

    def oval(self, colour: Colour, x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> None:
        """An ellipse about (x, y), turned by degrees."""
        sine, cosine = math.sin(math.radians(turn)), math.cos(math.radians(turn))
        ring = ((rx * math.cos(t), ry * math.sin(t)) for t in np.linspace(0, math.tau, 24, endpoint=False))
        self.shape(colour, *((x + a * cosine - b * sine, y + a * sine + b * cosine) for a, b in ring))

    def eye(self, x: float, y: float, size: float, iris: Colour = BLACK) -> None:
        """An eye with a glint in it."""
        self.oval(iris, x, y, size, size)
        self.oval(BLACK, x, y, size * 0.7, size * 0.7)
        self.oval(WHITE, x + size * 0.25, y - size * 0.3, size * 0.25, size * 0.25)


def _smooth(points: Any, *, closed: bool) -> list[Point]:
    """A Catmull-Rom curve through the points, six steps from each to the next."""
    if closed:
        before, start, end, after = (np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2))
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
        before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0.0, 1.0, 7)[None, :-1, None]
    before, start, end, after = (side[:, None, :] for side in (before, start, end, after))
    curve = start + 0.5 * t * (
        end - before + t * (2 * before - 5 * start + 4 * end - after + t * (3 * (start - end) + after - before))
    )
    drawn = [(x, y) for x, y in curve.reshape(-1, 2).tolist()]
    return drawn if closed else [*drawn, (float(points[-1][0]), float(points[-1][1]))]


def _bird(pen: Pen) -> None:
    bill, plump, legs = pen.trait(0.12, 0.2) + 0.26 * pen.has("bill"), pen.trait(0.95, 1.1), pen.trait(0.66, 0.74)
    plump += 0.16 * pen.has("stout")
    dark = mix(pen.main, BLACK, 0.3)
    pen.stroke(BARK, 0.09, (-1.3, 0.86), (-0.4, 0.76), (0.4, 0.8), (1.3, 0.68))
    for x in (-0.06, 0.14):
        pen.stroke(mix(BARK, BLACK, 0.3), 0.035, (x, 0.4), (x + 0.03, legs + 0.1))
    pen.shape(dark, (-0.35, 0.0), (-1.02, 0.5), (-0.92, 0.62), (-0.3, 0.3), sharp=True)
    y = 0.5 * plump
    pen.shape(pen.main, (-0.55, 0.12), (-0.2, -0.25), (0.2, -0.4), (0.46, 0.0), (0.36, 0.36), (-0.05, y), (-0.42, 0.4))
    pen.shape(pen.second, (0.28, -0.25), (0.5, 0.0), (0.38, 0.34), (0.02, y - 0.03), (0.08, 0.1))
    pen.shape(mix(BARK, BLACK, 0.4), (0.5, -0.5), (0.62 + bill, -0.4), (0.5, -0.33), sharp=True)
    pen.oval(pen.main, 0.34, -0.42, 0.29, 0.27 * plump)
    pen.oval(pen.second, 0.44, -0.32, 0.15, 0.13)
    pen.eye(0.43, -0.47, 0.065)
    pen.shape(dark, (0.14, -0.12), (0.1, 0.2), (-0.3, 0.36), (-0.72, 0.42), (-0.4, 0.08))
    for i in range(3):
        pen.stroke(mix(pen.main, WHITE, 0.25), 0.02, (0.02 - i * 0.09, 0.2 - i * 0.08), (-0.55 + i * 0.05, 0.36 - i * 0.09))


def _fish(pen: Pen) -> None:
    deep, tail, fin = pen.trait(0.3, 0.38) + 0.22 * pen.has("deep"), pen.trait(0.26, 0.36), pen.trait(0.1, 0.18)
    web = mix(pen.second, pen.main, 0.4)
    pen.shape(web, (-0.5, 0.0), (-1.0, -tail), (-0.82, 0.0), (-1.0, tail), sharp=True)
    pen.shape(web, (0.4, -deep * 0.6), (0.2, -deep - fin), (-0.2, -deep - fin * 0.8), (-0.45, -deep * 0.4))
    pen.shape(web, (0.05, deep * 0.7), (-0.3, deep + fin * 0.8), (-0.45, deep * 0.3))
    back = ((0.86, 0.02), (0.5, -deep * 0.75), (0.1, -deep), (-0.35, -deep * 0.55), (-0.66, -0.08))
    pen.shape(pen.main, *back, (-0.66, 0.08), (-0.35, deep * 0.55), (0.1, deep), (0.5, deep * 0.75))
    pen.shape(pen.second, (0.7, 0.12), (-0.6, 0.06), (-0.3, deep * 0.5), (0.1, deep * 0.93), (0.45, deep * 0.72))
    for i in range(14 * pen.has("spots")):
        pen.oval(mix(pen.main, BLACK, 0.5), -0.5 + i * 0.07, -deep * (0.25 + 0.3 * (i % 3) / 2), 0.03, 0.03)
    if pen.has("deep"):
        pen.oval(mix(pen.main, BLACK, 0.5), -0.02, -0.02, 0.11, 0.12)
    pen.stroke(mix(pen.main, BLACK, 0.35), 0.025, (0.44, -deep * 0.5), (0.36, 0.0), (0.42, deep * 0.5))
    pen.shape(web, (0.28, 0.06), (-0.04, 0.26), (0.0, 0.06))
    pen.stroke(mix(pen.main, BLACK, 0.4), 0.022, (0.83, 0.06), (0.7, 0.09))
    pen.eye(0.6, -0.09, 0.07, WHITE)


def _snail(pen: Pen) -> None:
    foot, high = mix(pen.second, (150, 135, 110), 0.6), pen.trait(0.48, 0.58)
    for x in (0.72, 0.86):
        pen.stroke(foot, 0.04, (0.66, 0.35), (x + 0.06, -0.02))
        pen.oval(BLACK, x + 0.06, -0.03, 0.035, 0.035)
    pen.shape(foot, (-0.98, 0.66), (-0.4, 0.38), (0.35, 0.42), (0.62, 0.2), (0.86, 0.34), (0.74, 0.62), (0.5, 0.68))
    if pen.has("fig"):
        pen.shape(pen.main, (-0.78, 0.0), (-0.5, -0.34), (-0.1, -0.4), (0.3, -0.1), (0.72, 0.38), (0.1, 0.5), (-0.5, 0.4))
        for i in range(7):
            x = -0.62 + i * 0.14
            pen.stroke(pen.second + (150,), 0.03, (x, -0.24 + 0.09 * abs(i - 2)), (x - 0.08, 0.05), (x + 0.02, 0.36))
        return
    for i in range(8):
        size = high * 0.8**i
        shade = pen.second if i % 2 and pen.has("bands") else mix(pen.main, pen.second, 0.12 * i)
        pen.oval(shade, -0.12 - 0.1 * high * (1 - 0.8**i), -0.02 + 0.25 * high * (1 - 0.8**i), size, size * 0.93)


def _beetle(pen: Pen) -> None:
    wide, long, reach = pen.trait(0.36, 0.46), pen.trait(0.5, 0.6), pen.trait(0.36, 0.46)
    if pen.has("spots"):
        wide, long = wide + 0.16, long + 0.02
    neck = 0.14 - long
    limb = mix(pen.second, BLACK, 0.5)
    for side in (-1, 1):
        for y, rise in ((neck, -0.3), (0.05, 0.04), (0.34, 0.36)):
            knee = (side * (wide + reach * 0.5), y + rise * 0.5)
            pen.stroke(limb, 0.05, (side * wide * 0.7, y), knee, (side * (wide + reach), y + rise + 0.12))
        pen.stroke(limb, 0.03, (side * 0.08, neck - 0.3), (side * 0.24, neck - 0.5), (side * 0.4, neck - 0.54))
        if pen.has("jaws"):
            pen.stroke(limb, 0.1, (side * 0.1, neck - 0.3), (side * 0.3, neck - 0.55), (side * 0.08, neck - 0.8))
    pen.oval(limb, 0, neck - 0.24, wide * 0.45, 0.18)
    pen.oval(pen.second, 0, neck - 0.02, wide * 0.8, 0.22)
    pen.oval(pen.main, 0, 0.22, wide, long)
    pen.stroke(mix(pen.main, BLACK, 0.5), 0.022, (0, 0.24 - long), (0, 0.2 + long))
    for side in (-1, 1):
        pen.oval((*mix(pen.main, WHITE, 0.6), 90), side * wide * 0.45, 0.02, wide * 0.14, long * 0.4, side * 8)
        for x, y in ((0.5, 0.0), (0.55, 0.4), (0.28, 0.62)) if pen.has("spots") else ():
            pen.oval(pen.second, side * wide * x, y, 0.09, 0.09)
    if pen.has("spots"):
        pen.oval(pen.second, 0, 0.32 - long, 0.1, 0.09)


def _butterfly(pen: Pen) -> None:
    span, lift, low = pen.trait(0.9, 1.02), pen.trait(0.6, 0.74), pen.trait(0.55, 0.68)
    edge = pen.second if not pen.has("eyes") else mix(pen.main, WHITE, 0.3)
    for side in (-1, 1):
        hind = [(0.04, 0.0), (0.5, 0.02), (0.72, 0.3), (0.56, low), (0.3, low + 0.04), (0.08, 0.4)]
        if pen.has("tails"):
            hind[3:5] = [(0.5, low - 0.04), (0.42, low + 0.36), (0.34, low)]
        fore = [(0.04, -0.2), (0.5, -lift), (span, -lift - 0.06), (span - 0.1, -0.2), (0.6, 0.08), (0.08, 0.08)]
        if pen.has("ragged"):
            fore[3:4] = [(span - 0.22, -0.4), (span - 0.08, -0.22)]
        for wing, x, y in ((hind, 0.3, 0.22), (fore, 0.42, -0.24)):
            for shade, size in ((edge, 1.0), (pen.main, 0.84)):
                pen.shape(shade, *((side * (x + (a - x) * size), y + (b - y) * size) for a, b in wing))
            if pen.has("eyes"):
                pen.oval(pen.second, side * x * 1.2, y, 0.08, 0.08)
                pen.oval(WHITE, side * x * 1.2, y, 0.04, 0.04)
            for a, b in wing[1:-1] if pen.has("veins") else ():
                pen.stroke(edge, 0.022, (side * 0.1, 0.0), (side * (x + (a - x) * 0.9), y + (b - y) * 0.9))
            for i in range(4 * pen.has("ragged")):
                pen.oval(edge, side * (x - 0.12 + 0.11 * i), y - 0.06 + 0.1 * (i % 2), 0.04, 0.035)
        pen.stroke(BLACK, 0.02, (0, -0.4), (side * 0.1, -0.65), (side * 0.24, -0.84))
        pen.oval(BLACK, side * 0.24, -0.84, 0.03, 0.03)
    pen.oval(mix(pen.second, BLACK, 0.5), 0, 0.05, 0.07, 0.44)
    pen.oval(mix(pen.second, BLACK, 0.6), 0, -0.4, 0.08, 0.08)


def _fly(pen: Pen) -> None:
    wide, long, wing = pen.trait(0.2, 0.26), pen.trait(0.4, 0.5), pen.trait(0.62, 0.78)
    if pen.has("fur"):
        wide, long = wide + 0.12, long + 0.04
    for side in (-1, 1):
        for y, rise in ((-0.3, -0.35), (-0.15, 0.05), (0.0, 0.5)):
            pen.stroke(BLACK, 0.035, (0, y), (side * 0.42, y + rise * 0.4), (side * 0.56, y + rise))
        pen.stroke(BLACK, 0.025, (side * 0.06, -0.62), (side * 0.2, -0.84))
        pen.oval((225, 232, 240, 150), side * wing * 0.7, 0.12, wing * 0.5, 0.15, side * 28)
        pen.oval((225, 232, 240, 150), side * wing * 0.8, -0.12, wing * 0.62, 0.19, side * -8)
    pen.shape(pen.main, (0, 0.0), (wide, 0.24), (wide * 0.85, 0.5), (0, 0.3 + long), (-wide * 0.85, 0.5), (-wide, 0.24))
    for i in range(3 * pen.has("stripes")):
        reach = wide * (0.86 - 0.16 * i)
        pen.stroke(pen.second, 0.075, (-reach, 0.24 + i * 0.16), (0, 0.28 + i * 0.16), (reach, 0.24 + i * 0.16))
    pen.oval(pen.main if pen.has("fur") else pen.second, 0, -0.18, wide * 1.05, 0.28)
    pen.oval(mix(pen.second, BLACK, 0.3), 0, -0.52, 0.17, 0.15)
    for side in (-1, 1):
        pen.oval((120, 50, 40), side * 0.14, -0.54, 0.08, 0.12, side * -20)


def _mammal(pen: Pen) -> None:
    legs, ears, plump = pen.trait(0.42, 0.5), pen.trait(0.15, 0.22), pen.trait(0.26, 0.3)
    if pen.has("low"):
        legs, ears = legs - 0.22, ears - 0.08
    dark, foot = mix(pen.main, BLACK, 0.28), 0.3 + legs
    for x, shade in ((-0.52, dark), (0.2, dark), (-0.62, pen.main), (0.32, pen.main)):
        pen.stroke(shade, 0.12, (x, 0.15), (x - 0.03, 0.3 + legs * 0.4), (x + 0.02, foot))
    if pen.has("bush"):
        pen.shape(pen.main, (-0.6, -0.05), (-0.95, 0.0), (-1.2, 0.4), (-1.05, 0.5), (-0.8, 0.3), (-0.6, 0.12))
        pen.oval(pen.second, -1.14, 0.42, 0.09, 0.12, 30)
    else:
        end = (-0.84, 0.0) if pen.has("spots") or pen.has("antlers") else (-1.1, 0.34)
        pen.stroke(dark, 0.1, (-0.62, 0.0), (-0.8, 0.06), end)
    back = ((-0.78, 0.05), (-0.5, -plump), (0.0, -plump * 0.8), (0.4, -plump))
    pen.shape(pen.main, *back, (0.5, 0.1), (0.2, 0.26), (-0.2, 0.22), (-0.6, 0.28))
    pen.shape(pen.main, (0.1, -0.2), (0.5, -0.62), (0.72, -0.5), (0.6, -0.1), (0.46, 0.16))
    for i in range(12 * pen.has("spots")):
        pen.oval(mix(pen.main, BLACK, 0.6), -0.6 + 0.085 * i, -0.12 + 0.12 * (i % 3), 0.032, 0.028)
    for x in (0.46, 0.62):
        pen.shape(dark, (x - 0.08, -0.6), (x - 0.06, -0.7 - ears), (x + 0.08, -0.64), sharp=True)
        for y in (0.0, 0.16, 0.32) if pen.has("antlers") else ():
            pen.stroke(BARK, 0.035, (x, -0.66), (x - 0.14 - y / 2, -0.9 - y / 2), (x + 0.1 - y, -1.0 - y / 2))
    pen.shape(pen.main, (0.38, -0.52), (0.56, -0.72), (0.76, -0.62), (1.02, -0.44), (0.98, -0.34), (0.6, -0.3))
    pen.shape(pen.second, (0.62, -0.36), (1.0, -0.4), (0.96, -0.33), (0.66, -0.27))
    if pen.has("mask"):
        pen.stroke(pen.second, 0.08, (0.48, -0.66), (0.76, -0.56), (0.98, -0.44))
        pen.stroke(BLACK, 0.07, (0.46, -0.54), (0.72, -0.48), (0.94, -0.4))
    pen.oval(BLACK, 1.01, -0.43, 0.045, 0.04)
    pen.eye(0.7, -0.53, 0.04)


def _mushroom(pen: Pen) -> None:
    wide, thick, high = pen.trait(0.62, 0.78), pen.trait(0.13, 0.17), pen.trait(0.5, 0.62)
    pale = mix(pen.second, WHITE, 0.3)
    if pen.has("stout"):
        wide, thick = wide - 0.04, thick + 0.14
    if pen.has("tall"):
        wide, high = 0.34, 1.1
    base = 0.2 if pen.has("tall") else -0.1
    pen.shape(pale, (-thick, base - 0.1), (thick, base - 0.1), (thick * 1.15, 0.6), (0, 0.92), (-thick * 1.15, 0.6))
    if pen.has("funnel"):
        pen.shape(pen.second, (-wide, -0.4), (wide, -0.4), (thick, 0.2), (-thick, 0.2))
        pen.oval(pen.main, 0, -0.42, wide, 0.2)
        pen.oval(mix(pen.main, BLACK, 0.15), 0, -0.4, wide * 0.55, 0.1)
        return
    pen.oval(mix(pale, BLACK, 0.12), 0, base, wide * 0.96, 0.14)
    top = [(wide * math.cos(t), base - high * math.sin(t)) for t in np.linspace(0, math.pi, 9)]
    pen.shape(pen.main, *top, (-wide * 0.5, base + 0.07), (wide * 0.5, base + 0.07))
    if pen.has("dots"):
        pen.shape(pale, (-thick * 1.7, 0.22), (0, 0.1), (thick * 1.7, 0.22), (0, 0.3))
    for i in range(11 * (pen.has("dots") or pen.has("tall"))):
        x, y = -0.75 + 0.15 * i, (0.2, 0.55, 0.36, 0.7)[i % 4]
        pen.oval(pen.second, x * wide * (1.1 - y * 0.6), base - y * high, 0.06, 0.045)


def _flower(pen: Pen) -> None:
    size, count, width = pen.trait(0.46, 0.56), round(pen.trait(17, 23)), pen.trait(0.07, 0.09)
    if pen.has("giant"):
        size, width = size + 0.12, width + 0.03
    pen.stroke(STEM, 0.06, (0.02, -0.3), (0.06, 0.4), (-0.02, 1.15))
    for side, y in ((-1, 0.75), (1, 0.55)):
        pen.oval(LEAF, side * 0.3, y, 0.32, 0.1, -side * 28)
    if pen.has("umbel"):
        for i in range(9):
            x = (i - 4) * 0.2
            y = -0.62 + 0.022 * (i - 4) ** 2
            pen.stroke(STEM, 0.028, (0.02, 0.1), (x * 0.6, -0.3), (x, y))
            for j in range(7):
                pen.oval(pen.main, x + 0.1 * math.cos(j * 0.9), y + 0.07 * math.sin(j * 0.9), 0.05, 0.045)
        return
    if pen.has("spike"):
        for i in range(7):
            for side in (-1, 1):
                pen.oval(mix(pen.main, pen.second, (i % 2) * 0.5), side * 0.16, 0.1 - i * 0.15, 0.2, 0.09, -side * 35)
        pen.oval(pen.second, 0, -0.9, 0.14, 0.12)
        return
    if pen.has("cup"):
        count, width = 5, 0.32
    for ring in (1.0, 0.8):
        for i in range(count):
            turn = 360 / count * (i + ring)
            reach = size * ring * 0.62
            x, y = reach * math.cos(math.radians(turn)), reach * math.sin(math.radians(turn))
            pen.oval(mix(pen.main, BLACK, 0.12 * (ring == 1.0)), x, y - 0.35, size * 0.5 * ring, width, turn)
    middle = size * (0.5 if pen.has("giant") else 0.3)
    pen.oval(pen.second, 0, -0.35, middle, middle)
    for i in range(40):
        x, y = (middle * 0.85 * math.sqrt(i / 40) * f(i * 2.4) for f in (math.cos, math.sin))
        pen.oval(mix(pen.second, BARK, 0.5), x, y - 0.35, 0.012, 0.012)


def _branch(pen: Pen) -> None:
    long, wide, fruit = pen.trait(0.3, 0.36), pen.trait(0.14, 0.19), pen.trait(0.09, 0.12)
    pen.stroke(BARK, 0.07, (-1.3, 0.7), (-0.5, 0.3), (0.2, 0.0), (0.85, -0.5))
    for i in range(8):
        x, y = -0.9 + i * 0.24, 0.5 - i * 0.13
        turn = math.radians(-75 if i % 2 else 40)
        tip = (x + 2 * long * math.cos(turn), y + 2 * long * math.sin(turn))
        shade = mix(pen.main, (WHITE, BLACK)[i % 2], 0.1)
        across = (-math.sin(turn), math.cos(turn))
        sides = [[], []]
