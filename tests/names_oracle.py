"""The published normalisation written a second time: letter by letter, no regular expression.

Nothing here is shared with the product, and nothing is made fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

A_TO_Z = [chr(code) for code in range(ord("A"), ord("z") + 1)]


def normalise(raw: Sequence[str]) -> tuple[str, ...]:
    ranks = [first_step(rank) for rank in raw]
    ranks[6] = cut_species(ranks[6])
    if ranks[0] == "metazoa":
        ranks[0] = "animalia"
    if ranks[0] in ("archaeplastida", "chloroplastida"):
        ranks[0] = "plantae"
    ranks[5], ranks[6] = take_genus_out(ranks[5], ranks[6])
    ranks = [first_step(rank) for rank in ranks]
    return (*[rank.capitalize() for rank in ranks[:6]], ranks[6].lower())


def first_step(rank: str) -> str:
    rank = without_elements(rank).lower()
    if rank in ("(unidentified)", "unknown", "pleasehelp"):
        return ""
    return rank


def without_elements(text: str) -> str:
    while True:
        lines = [unwrap_line(line) for line in text.split("\n")]
        if "\n".join(lines) == text:
            return text
        text = "\n".join(lines)


def unwrap_line(line: str) -> str:
    """Each element of one line replaced by its text, from left to right; what came out is not read again."""
    done = ""
    while True:
        opens = line.find("<")
        opened = line.find(">", opens + 1)
        closes = line.find("</", opened + 1)
        closed = line.find(">", closes + 2)
        if -1 in (opens, opened, closes, closed):
            return done + line
        done += line[:opens] + line[opened + 1 : closes]
        line = line[closed + 1 :]


def cut_species(text: str) -> str:
    text = without_elements(text.lower()).strip()
    for matches in (
        literal("("),
        literal("ssp."),
        literal("subsp."),
        literal("var."),
        word_comma_word_and_word,
        word_and_word,
        lambda text, at: word_then(text, at, " ", four_digits),
        lambda text, at: word_then(text, at, ", ", four_digits),
        four_digits,
        blank_letter_stop,
        lambda text, at: text[at:].startswith("<br>") or text[at:].startswith("<br >"),
    ):
        for at in range(len(text)):
            if matches(text, at):
                text = text[:at].strip()
                break
    return text


Matches = Callable[[str, int], bool]


def literal(sign: str) -> Matches:
    return lambda text, at: text[at : at + len(sign)] == sign


def is_word_letter(letter: str) -> bool:
    return letter == "_" or letter.isalnum()


def word_ends(text: str, at: int) -> Iterable[int]:
    """Wherever a word that begins at ``at`` can be said to end."""
    while at < len(text) and is_word_letter(text[at]):
        at += 1
        yield at


def word_then(text: str, at: int, between: str, rest: Matches) -> bool:
    return any(
        text[end : end + len(between)] == between and rest(text, end + len(between)) for end in word_ends(text, at)
    )


def a_word(text: str, at: int) -> bool:
    return at < len(text) and is_word_letter(text[at])


def word_and_word(text: str, at: int) -> bool:
    return word_then(text, at, " & ", a_word)


def word_comma_word_and_word(text: str, at: int) -> bool:
    return word_then(text, at, ", ", word_and_word)


def four_digits(text: str, at: int) -> bool:
    return len(text[at : at + 4]) == 4 and all(digit.isdecimal() for digit in text[at : at + 4])


def blank_letter_stop(text: str, at: int) -> bool:
    return len(text) >= at + 3 and text[at] == " " and text[at + 1] in A_TO_Z and text[at + 2] == "."


def take_genus_out(genus: str, species: str) -> tuple[str, str]:
    first, *more = species.split() or [""]
    if more and first == genus:
        species = " ".join(more)
    elif more and genus == "":
        genus, species = first, " ".join(more)
    match species.split():
        case [one, other] if one == other:
            species = one
    return genus, species
