"""The taxa of the demo tree and how each one is drawn.

Names, lineages and English names are those of real taxa. The pictures are drawings: a body plan per group, in
the colours of the table, with proportions that follow from the species' name, so that a species looks alike
from picture to picture and its individuals differ a little.
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
BLACK, WHITE, BARK, LEAF = (24, 22, 26), (250, 249, 244), (121, 92, 66), (94, 142, 74)


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


# Plan and features | order, family, genus, species (a dot: not known) | English name | two colours.
_SPECIES = """
Animalia Chordata Aves
bird | Passeriformes Muscicapidae Erithacus rubecula | European robin | 8a7456 e0702e
bird | Passeriformes Muscicapidae Oenanthe oenanthe | northern wheatear | 8f9aa6 e8c79a
bird | Passeriformes Prunellidae Prunella modularis | dunnock | 85603f 8b929c
bird | Passeriformes Emberizidae Emberiza aureola | yellow-breasted bunting | 7a4630 f0cf4a
bird bill | Coraciiformes Alcedinidae Alcedo atthis | common kingfisher | 1f86b8 e58a3a
bird stout | Psittaciformes Strigopidae Strigops habroptila | kākāpō | 6f9440 b9bf6a
Animalia Chordata Actinopterygii
fish spots | Salmoniformes Salmonidae Salmo trutta | brown trout | 9a7a42 e8d29a
fish | Cypriniformes Cyprinidae Carassius auratus | goldfish | ee7f22 fbc65a
fish deep | Zeiformes Zeidae Zeus faber | John Dory | a89a5c dcd2a0
Animalia Chordata Mammalia
mammal bush | Carnivora Canidae Vulpes vulpes | red fox | cf6a2c f4ece0
mammal low mask | Carnivora Mustelidae Meles meles | European badger | 85837e f2efe6
mammal low | Carnivora Mustelidae Lutra lutra | Eurasian otter | 7a583e d6c3a4
mammal spots | Carnivora Felidae Lynx pardinus | Iberian lynx | c08a54 efe4d0
mammal antlers | Artiodactyla Cervidae Cervus elaphus | red deer | 9a5f38 d9b98c
Animalia Arthropoda Insecta
insect spots | Coleoptera Coccinellidae Coccinella septempunctata | seven-spot ladybird | d8342a 1c1a1e
insect jaws | Coleoptera Lucanidae Lucanus cervus | European stag beetle | 6a3524 33241f
insect | Coleoptera Scarabaeidae Cetonia aurata | rose chafer | 3f9a58 2c7448
insect wings | Hymenoptera Apidae Apis mellifera | western honey bee | c98a34 4a3020
insect wings fur | Hymenoptera Apidae Bombus affinis | rusty patched bumble bee | f0cd52 2a2420
insect wings | Diptera Syrphidae Episyrphus balteatus | marmalade hoverfly | f0a630 3a2a20
butterfly veins | Lepidoptera Nymphalidae Danaus plexippus | monarch | ee8424 241c1a
butterfly blots | Lepidoptera Nymphalidae Polygonia c-album | comma | d9772e 5a3620
butterfly tails veins | Lepidoptera Papilionidae Papilio machaon | Old World swallowtail | f3dc72 2a2832
butterfly tails eyes | Lepidoptera Saturniidae Actias luna | luna moth | b4dba4 b4788c
Fungi Basidiomycota Agaricomycetes
mushroom dots | Agaricales Amanitaceae Amanita muscaria | fly agaric | d3302a f6f0e0
mushroom tall dots | Agaricales Agaricaceae Coprinus comatus | shaggy ink cap | f1ebdf b09a80
mushroom stout | Boletales Boletaceae Boletus edulis | penny bun | 94602e ecd9b0
mushroom | Russulales Russulaceae Lactarius deliciosus | saffron milk cap | e28a3c eab27a
Plantae Tracheophyta Magnoliopsida
flower spike | Lamiales Lamiaceae Prunella vulgaris | self-heal | 8a5cb8 5c4478
flower umbel | Apiales Apiaceae Oenanthe crocata | hemlock water-dropwort | f7f7ee d8e2b4
flower cup | Ranunculales Papaveraceae Papaver rhoeas | common poppy | dc2f26 2a1c22
flower | Asterales Asteraceae Bellis perennis | daisy | fbfaf5 f2c132
flower giant | Asterales Asteraceae Helianthus annuus | common sunflower | f6c024 5e3a20
"""

# What barcoded insects are mostly known to: a family, sometimes a genus, seldom a species.
_BARCODED = """
Animalia Arthropoda Insecta
insect wings | Diptera Cecidomyiidae . . | | b08a70 6a4a3c
insect wings | Diptera Chironomidae . . | | 8f9a58 4c5430
insect wings | Diptera Phoridae Megaselia . | | 9a7440 54402c
insect wings | Hymenoptera Braconidae . . | | a8642c 3a2a26
insect | Coleoptera Staphylinidae . . | | 5a3a2c 3a2824
insect spots | Coleoptera Coccinellidae Coccinella septempunctata | | d8342a 1c1a1e
"""

# How some EOL labels are spelt in the raw lookup; normalised they say what the table says, empty ranks apart.
RAW_SPELLINGS: dict[str, dict[str, str]] = {
    "Alcedo atthis": {"kingdom": "Metazoa", "species": "Alcedo atthis (Linnaeus, 1758)"},
    "Bellis perennis": {"kingdom": "Chloroplastida", "species": "perennis L."},
    "Bombus affinis": {"species": "Bombus affinis Cresson, 1863"},
    "Cetonia aurata": {"genus": "<i>Cetonia</i>", "species": "<i>Cetonia aurata</i>"},
    "Coprinus comatus": {"order": "", "species": "<i>Coprinus comatus</i> (O.F. Müll.) Pers."},
    "Helianthus annuus": {"genus": "", "species": "Helianthus annuus L."},
    "Lutra lutra": {"species": "Lutra lutra lutra"},
    "Lynx pardinus": {"kingdom": "Metazoa", "species": "pardinus (Temminck, 1827)"},
    "Salmo trutta": {"class": "", "species": "trutta Linnaeus, 1758"},
    "Zeus faber": {"family": "(unidentified)", "species": "Zeus faber"},
}


def _read(table: str) -> Iterable[Taxon]:
    above = ""
    for line in table.strip().splitlines():
        if "|" not in line:
            above = line
            continue
        drawn, names, common, colours = (part.strip() for part in line.split("|"))
        plan, *features = drawn.split()
        main, second = (tuple(bytes.fromhex(colour)) for colour in colours.split())
        lineage = tuple(name.strip(".") for name in f"{above} {names}".split())
        yield Taxon(plan, frozenset(features), lineage, common, (main, second))


SPECIES: tuple[Taxon, ...] = tuple(_read(_SPECIES))
BARCODED: tuple[Taxon, ...] = tuple(_read(_BARCODED))


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """The colour that lies ``share`` of the way from one to the other."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def draw_specimen(taxon: Taxon, size: tuple[int, int], rng: random.Random, *, plate: bool) -> Image.Image:
    """A drawing of one individual, on plain paper (``plate``) or in the open.

    ``size`` is width and height in pixels; ``rng`` is what sets it apart from others of its species.
    """
    draw, top, bottom = _PLANS[taxon.plan]
    if plate:
        top, bottom = (244, 243, 238), (222, 222, 218)
    small = Image.new("RGB", (48, 48))
    paint = ImageDraw.Draw(small)
    for y in range(48):
        paint.line([(0, y), (47, y)], fill=mix(top, bottom, y / 47))
    for _ in range(0 if plate else 14):
        x, y, r = rng.randrange(48), rng.randrange(48), rng.randint(2, 8)
        light = mix(mix(top, bottom, y / 47), rng.choice((WHITE, LEAF)), 0.2)
        paint.ellipse((x - r, y - r, x + r, y + r), fill=light)
    if taxon.plan in ("mammal", "mushroom"):
        paint.ellipse((-12, 37, 60, 70), fill=mix(bottom, BARK, 0.35))
    # Drawn at twice the size and halved: that smooths the edges.
    soft = small.filter(ImageFilter.GaussianBlur(1.4))
    canvas = soft.resize((size[0] * 2, size[1] * 2), Image.Resampling.BICUBIC)
    draw(Pen(canvas, taxon, rng))
    return canvas.reduce(2)


class Pen:
    """Draws one specimen in its own frame: x to the right, y down, about -1 to 1 both ways."""

    def __init__(self, canvas: Image.Image, taxon: Taxon, rng: random.Random) -> None:
        self._draw = ImageDraw.Draw(canvas, "RGBA")
        # A string seeds by its SHA-512: the species looks the same in every process.
        self._species = random.Random(f"tol-db demo {taxon.plan} {' '.join(taxon.lineage)}")
        self._rng = rng
        self.has = taxon.features.__contains__
        tint, share = rng.choice((BLACK, WHITE)), rng.uniform(0.0, 0.1)
        self.main, self.second = (mix(colour, tint, share) for colour in taxon.colours)
        self._unit = min(canvas.size) * rng.uniform(0.36, 0.42)
        turn = rng.gauss(0.0, 0.25 if taxon.plan in ("fish", "insect", "butterfly") else 0.07)
        turned = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        self._frame = np.diag([rng.choice((-1.0, 1.0)), 1.0]) @ turned * self._unit
        self._middle = np.array(canvas.size) / 2 + [rng.gauss(0.0, 0.04) * self._unit for _ in "xy"]

    def trait(self, low: float, high: float) -> float:
        """A proportion of the species, with a little of the individual."""
        return self._species.uniform(low, high) + self._rng.gauss(0.0, 0.08) * (high - low)

    def stroke(self, colour: Colour, width: float, *points: Point) -> None:
        """A rounded line through the points."""
        line = _smooth(np.array(points) @ self._frame + self._middle, closed=False)
        pixels = max(2, round(width * self._unit))
        self._draw.line(line, fill=colour, width=pixels, joint="curve")
        for x, y in (line[0], line[-1]):
            self._draw.circle((x, y), pixels / 2, fill=colour)

    def shape(self, colour: Colour, *points: Point) -> None:
        """A round outline through the points, filled, and edged in a darker tone."""
        line = _smooth(np.array(points) @ self._frame + self._middle, closed=True)
        self._draw.polygon(line, fill=colour)
        edge = mix(colour[:3], BLACK, 0.35) + colour[3:]
        self._draw.line([*line, line[0]], fill=edge, width=max(1, round(0.014 * self._unit)), joint="curve")

    def oval(self, colour: Colour, x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> None:
        """An ellipse about (x, y), turned by an angle in radians."""
        a, b = math.cos(turn), math.sin(turn)
        ring = [(rx * math.cos(t), ry * math.sin(t)) for t in np.linspace(0, math.tau, 16, endpoint=False)]
        self.shape(colour, *((x + a * u - b * v, y + b * u + a * v) for u, v in ring))

    def eye(self, x: float, y: float, size: float) -> None:
        """A dark eye with a glint in it."""
        self.oval(BLACK, x, y, size, size)
        self.oval(WHITE, x + size * 0.3, y - size * 0.3, size * 0.3, size * 0.3)


def _smooth(points: Any, *, closed: bool) -> list[Point]:
    """A Catmull-Rom curve through the points, six steps from each to the next."""
    if closed:
        corners = [np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2)]
    else:
        ends = np.concatenate([points[:1], points, points[-1:]])
        corners = [ends[:-3], ends[1:-2], ends[2:-1], ends[3:]]
    before, start, end, after = (corner[:, None, :] for corner in corners)
    t = np.arange(6)[None, :, None] / 6
    bend = 2 * before - 5 * start + 4 * end - after + t * (3 * (start - end) + after - before)
    curve = (start + t / 2 * (end - before + t * bend)).reshape(-1, 2)
    return [(x, y) for x, y in (curve if closed else np.concatenate([curve, points[-1:]])).tolist()]


def _bird(p: Pen) -> None:
    bill, plump = p.trait(0.12, 0.2) + 0.26 * p.has("bill"), p.trait(0.94, 1.08) + 0.16 * p.has("stout")
    dark, low = mix(p.main, BLACK, 0.3), 0.5 * plump
    p.stroke(BARK, 0.09, (-2.5, 1.0), (-0.4, 0.76), (0.4, 0.8), (2.5, 0.5))
    for x in (-0.06, 0.14):
        p.stroke(mix(BARK, BLACK, 0.4), 0.04, (x, 0.4), (x + 0.03, 0.76))
    p.shape(dark, (-0.3, -0.02), (-0.98, 0.5), (-0.9, 0.62), (-0.3, 0.32))
    p.shape(p.main, (-0.56, 0.14), (-0.2, -0.25), (0.2, -0.4), (0.46, 0), (0.36, 0.36), (-0.05, low), (-0.4, 0.4))
    p.shape(p.second, (0.24, -0.3), (0.48, 0), (0.38, 0.34), (0.02, low - 0.03), (0.08, 0.1))
    p.shape(mix(BARK, BLACK, 0.4), (0.5, -0.48), (0.62 + bill, -0.38), (0.5, -0.32))
    p.oval(p.main, 0.34, -0.42, 0.29, 0.27 * plump)
    p.oval(p.second, 0.43, -0.3, 0.16, 0.13)
    p.eye(0.43, -0.48, 0.065)
    p.shape(dark, (0.14, -0.12), (0.1, 0.2), (-0.3, 0.36), (-0.76, 0.44), (-0.4, 0.08))
    for i in range(3):
        far = (-0.55 + i * 0.05, 0.36 - i * 0.09)
        p.stroke(mix(p.main, WHITE, 0.25), 0.02, (-i * 0.09, 0.2 - i * 0.08), far)


def _fish(p: Pen) -> None:
    d, tail, fin = p.trait(0.3, 0.38) + 0.22 * p.has("deep"), p.trait(0.28, 0.38), p.trait(0.12, 0.2)
    web, mark = mix(p.second, p.main, 0.5), mix(p.main, BLACK, 0.45)
    p.shape(web, (-0.5, 0), (-0.98, -tail), (-0.86, 0), (-0.98, tail))
    p.shape(web, (0.4, -d * 0.6), (0.2, -d - fin), (-0.2, -d - fin * 0.8), (-0.45, -d * 0.4))
    p.shape(web, (0.05, d * 0.7), (-0.3, d + fin * 0.8), (-0.45, d * 0.3))
    back = [(0.5, -d * 0.75), (0.1, -d), (-0.35, -d * 0.55), (-0.66, -0.08)]
    p.shape(p.main, (0.86, 0.02), *back, *((x, -y) for x, y in reversed(back)))
    belly = ((-0.6, 0.05), (-0.3, d * 0.5), (0.1, d * 0.93), (0.45, d * 0.72))
    p.shape(p.second, (0.72, 0.12), (0.1, 0.2 * d), *belly)
    for i in range(14 * p.has("spots")):
        p.oval(mark, -0.5 + i * 0.065, -d * (0.15 + 0.2 * (i * 2 % 3)), 0.03, 0.03)
    p.stroke(mark, 0.025, (0.44, -d * 0.5), (0.36, 0), (0.42, d * 0.5))
    p.shape(web, (0.28, 0.06), (-0.04, 0.26), (0, 0.06))
    p.stroke(mark, 0.022, (0.83, 0.06), (0.7, 0.09))
    p.oval(WHITE, 0.6, -0.09, 0.085, 0.085)
    p.eye(0.61, -0.09, 0.06)


def _insect(p: Pen) -> None:
    wings, wide, long = p.has("wings"), p.trait(0.34, 0.42), p.trait(0.48, 0.58)
    wide = wide * (0.95 if p.has("fur") else 0.6) if wings else wide + 0.16 * p.has("spots")
    neck, limb = 0.14 - long, mix(p.second, BLACK, 0.5)
    for side in (-1, 1):
        for y, rise in ((neck, -0.34), (0, 0), (0.2, 0.4)):
            knee = (side * (wide + 0.2), y + rise * 0.4)
            p.stroke(limb, 0.045, (0, y), knee, (side * (wide + 0.44), y + rise + 0.12))
        p.stroke(limb, 0.03, (side * 0.08, neck - 0.3), (side * 0.24, neck - 0.5), (side * 0.4, neck - 0.54))
        if p.has("jaws"):
            p.stroke(limb, 0.1, (side * 0.1, neck - 0.3), (side * 0.32, neck - 0.55), (side * 0.06, neck - 0.8))
        for x, y, rx, turn in ((0.58, 0.14, 0.4, 0.5), (0.66, -0.1, 0.54, -0.15)) if wings else ():
            p.oval((228, 234, 242, 150), side * x, y, rx, rx * 0.34, side * turn)
    p.oval(limb, 0, neck - 0.24, wide * 0.55, 0.17)
    p.oval(p.main, 0, 0.22, wide, long)
    p.oval(p.main if p.has("fur") else p.second, 0, neck - 0.02, wide * (1 if wings else 0.8), 0.24)
    for y, reach in ((0.1, 0.88), (0.29, 0.92), (0.48, 0.72)) if wings else ():
        p.stroke(p.second, 0.08, (-reach * wide, y), (0, y + 0.05), (reach * wide, y))
    if not wings:
        p.stroke(mix(p.main, BLACK, 0.5), 0.022, (0, 0.24 - long), (0, 0.2 + long))
    for side in (-1, 1):
        if wings:
            p.oval((118, 52, 42), side * wide * 0.45, neck - 0.28, 0.08, 0.12, side * -0.35)
            continue
        p.oval((*mix(p.main, WHITE, 0.6), 90), side * wide * 0.45, 0.02, wide * 0.14, long * 0.4, side * 0.14)
        for x, y in ((0, -0.2), (0.5, 0), (0.55, 0.4), (0.28, 0.62)) if p.has("spots") else ():
            p.oval(p.second, side * wide * x, y, 0.09, 0.09)


def _butterfly(p: Pen) -> None:
    span, lift, low = p.trait(0.9, 1.02), p.trait(0.6, 0.74), p.trait(0.55, 0.68)
    edge = mix(p.main, WHITE, 0.35) if p.has("eyes") else p.second
    hind = [(0.04, 0), (0.5, 0.02), (0.72, 0.3), (0.56, low), (0.3, low + 0.04), (0.08, 0.4)]
    fore = [(0.04, -0.2), (0.5, -lift), (span, -lift - 0.06), (span - 0.1, -0.2), (0.6, 0.08), (0.08, 0.08)]
    if p.has("tails"):
        hind[3:5] = [(0.5, low - 0.04), (0.42, low + 0.36), (0.32, low)]
    for side in (-1, 1):
        for wing, x, y in ((hind, 0.3, 0.22), (fore, 0.42, -0.24)):
            for shade, size in ((edge, 1.0), (p.main, 0.84)):
                p.shape(shade, *((side * (x + (a - x) * size), y + (b - y) * size) for a, b in wing))
            for a, b in wing[1:-1] if p.has("veins") else ():
                p.stroke(edge, 0.022, (side * 0.1, 0), (side * (x + (a - x) * 0.9), y + (b - y) * 0.9))
            for i in range(4 * p.has("blots") + p.has("eyes")):
                p.oval(p.second, side * (x - 0.02 + 0.11 * i), y - 0.06 + 0.1 * (i % 2), 0.05, 0.045)
        p.stroke(BLACK, 0.025, (0, -0.4), (side * 0.1, -0.65), (side * 0.24, -0.84))
    p.oval(mix(p.second, BLACK, 0.5), 0, 0, 0.075, 0.48)


def _mammal(p: Pen) -> None:
    low, plump = p.has("low"), p.trait(0.27, 0.31)
    legs, ears = p.trait(0.42, 0.5) - 0.24 * low, p.trait(0.15, 0.22) - 0.1 * low
    dark = mix(p.main, BLACK, 0.28)
    for x, shade in ((-0.52, dark), (0.22, dark), (-0.64, p.main), (0.34, p.main)):
        p.stroke(shade, 0.13, (x, 0.1), (x - 0.03, 0.3 + legs * 0.4), (x + 0.02, 0.3 + legs))
    if p.has("bush"):
        p.shape(p.main, (-0.6, -0.05), (-0.95, 0), (-1.2, 0.4), (-1.05, 0.5), (-0.8, 0.3), (-0.6, 0.12))
        p.oval(p.second, -1.14, 0.42, 0.09, 0.12, 0.5)
    else:
        p.stroke(dark, 0.1, (-0.62, 0), (-0.78, 0.04), (-1.1, 0.34) if low else (-0.86, 0.12))
    p.shape(p.main, (-0.78, 0.05), (-0.5, -plump), (0.4, -plump), (0.5, 0.1), (0.2, 0.26), (-0.6, 0.28))
    p.shape(p.main, (0.1, -0.2), (0.5, -0.62), (0.72, -0.5), (0.6, -0.1), (0.46, 0.16))
    for i in range(12 * p.has("spots")):
        p.oval(mix(p.main, BLACK, 0.6), -0.6 + 0.085 * i, -0.1 + 0.11 * (i * 2 % 3), 0.032, 0.028)
    for x in (0.46, 0.62):
        p.shape(dark, (x - 0.08, -0.58), (x - 0.06, -0.7 - ears), (x + 0.08, -0.62))
        if p.has("antlers"):
            p.stroke(BARK, 0.045, (x, -0.66), (x - 0.2, -0.9), (x - 0.1, -1.2))
            p.stroke(BARK, 0.04, (x - 0.19, -0.88), (x + 0.04, -1.02))
    p.shape(p.main, (0.38, -0.52), (0.56, -0.72), (0.76, -0.62), (1.02, -0.44), (0.98, -0.34), (0.6, -0.3))
    p.shape(p.second, (0.62, -0.36), (1, -0.4), (0.96, -0.33), (0.66, -0.27))
    if p.has("mask"):
        p.stroke(p.second, 0.08, (0.48, -0.66), (0.76, -0.57), (0.98, -0.44))
        p.stroke(BLACK, 0.08, (0.46, -0.54), (0.72, -0.49), (0.94, -0.4))
    p.oval(BLACK, 1.01, -0.43, 0.045, 0.04)
    p.eye(0.7, -0.53, 0.04)


def _mushroom(p: Pen) -> None:
    wide, thick = p.trait(0.62, 0.78), p.trait(0.13, 0.17) + 0.14 * p.has("stout")
    high, base, pale = p.trait(0.46, 0.6), -0.1, mix(p.second, WHITE, 0.3)
    if p.has("tall"):
        wide, high, base = 0.34, 1.1, 0.25
    p.shape(pale, (-thick, base), (thick, base), (thick * 1.15, 0.6), (0, 0.92), (-thick * 1.15, 0.6))
    p.oval(mix(pale, BLACK, 0.12), 0, base, wide * 0.96, 0.14)
    top = [(wide * math.cos(t), base - high * math.sin(t)) for t in np.linspace(0, math.pi, 9)]
    p.shape(p.main, *top, (-wide * 0.5, base + 0.07), (wide * 0.5, base + 0.07))
    for i in range(11 * p.has("dots")):
        x, y = -0.75 + 0.15 * i, (0.2, 0.55, 0.36, 0.7)[i % 4]
        p.oval(p.second, x * wide * (1.1 - y * 0.6), base - y * high, 0.06, 0.045)


def _flower(p: Pen) -> None:
    size, count, width = p.trait(0.46, 0.54) + 0.12 * p.has("giant"), round(p.trait(17, 23)), 0.08
    p.stroke(LEAF, 0.06, (0.02, -0.3), (0.06, 0.4), (-0.02, 2.5))
    for side, y in ((-1, 0.75), (1, 0.55)):
        p.oval(LEAF, side * 0.3, y, 0.32, 0.1, side * -0.5)
    for i in range(9 * p.has("umbel")):
        x, y = (i - 4) * 0.2, -0.62 + 0.022 * (i - 4) ** 2
        p.stroke(LEAF, 0.028, (0.02, 0.1), (x * 0.6, -0.3), (x, y))
        for j in range(7):
            p.oval(p.main, x + 0.1 * math.cos(j * 0.9), y + 0.07 * math.sin(j * 0.9), 0.05, 0.045)
    for i in range(14 * p.has("spike")):
        side, shade = i % 2 * 2 - 1, mix(p.main, p.second, i // 2 % 2 * 0.5)
        p.oval(shade, side * 0.16, 0.1 - i // 2 * 0.15, 0.2, 0.09, side * -0.6)
    if p.has("umbel") or p.has("spike"):
        return
    if p.has("cup"):
        count, width = 5, 0.32
    middle = size * (0.5 if p.has("giant") else 0.3)
    for ring, shade in ((1.0, mix(p.main, BLACK, 0.12)), (0.8, p.main)):
        for turn in np.linspace(ring, ring + math.tau, count, endpoint=False):
            x, y = (size * ring * 0.62 * f(turn) for f in (math.cos, math.sin))
            p.oval(shade, x, y - 0.35, size * 0.5 * ring, width, turn)
    p.oval(p.second, 0, -0.35, middle, middle)
    for i in range(40):
        x, y = (middle * 0.85 * math.sqrt(i / 40) * f(i * 2.4) for f in (math.cos, math.sin))
        p.oval(mix(p.second, BARK, 0.5), x, y - 0.35, 0.012, 0.012)


# How each plan is drawn, and its backdrop from top to bottom.
_PLANS: dict[str, tuple[Callable[[Pen], None], Colour, Colour]] = {
    "bird": (_bird, (206, 228, 242), (186, 208, 176)),
    "fish": (_fish, (158, 212, 224), (44, 104, 138)),
    "insect": (_insect, (232, 240, 208), (160, 192, 134)),
    "butterfly": (_butterfly, (226, 238, 226), (170, 200, 160)),
    "mammal": (_mammal, (240, 230, 206), (146, 172, 116)),
    "mushroom": (_mushroom, (216, 208, 182), (116, 100, 72)),
    "flower": (_flower, (216, 232, 240), (146, 184, 128)),
}
