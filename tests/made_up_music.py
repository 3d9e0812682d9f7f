"""Tunes with a form for tests of evaluation: what they share is a style, and each is new."""

from __future__ import annotations

import random

from seqgan_music.music.notes import Meter, Note, Piece
from seqgan_music.music.tokenizers import Tokenizer
from seqgan_music.tokenset import Splits, TokenSet

BAR = 48
_SCALE = [pitch for pitch in range(55, 85) if pitch % 12 in (0, 2, 4, 5, 7, 9, 11)]


def tune(seed: int, bars: int = 16) -> Piece:
    """Return a melody in the form A A B A, four bars each, that walks up and down a scale in three rhythms."""
    dice = random.Random(seed)
    rhythms = [dice.choice([(12, 12, 12, 12), (6, 6, 12, 24), (18, 6, 12, 12), (24, 12, 6, 6)]) for _ in range(2)]
    sections = {}
    for name in "AB":
        place, notes = dice.randrange(6, 12), []
        for bar in range(4):
            at = bar * BAR
            for length in rhythms[bar % 2]:
                place = min(max(place + dice.choice([-2, -1, -1, 1, 1, 2]), 0), len(_SCALE) - 1)
                notes.append(Note(at, _SCALE[place], length))
                at += length
        sections[name] = notes
    form = ("AABA" * -(-bars // 16))[: bars // 4]
    notes = [
        Note(note.onset + 4 * BAR * number, note.pitch, note.duration)
        for number, name in enumerate(form)
        for note in sections[name]
    ]
    return Piece(tuple(notes), 12, (Meter(0, 4, 4),))


def token_set(tokenizer: Tokenizer, seeds: range) -> TokenSet:
    """Return one tune for each seed."""
    rows = [row for seed in seeds for row in tokenizer.encode(tune(seed))]
    return TokenSet.from_rows(
        rows,
        vocabulary_size=len(tokenizer.vocabulary),
        start_id=tokenizer.start_id,
        end_id=tokenizer.end_id,
        units=[tokenizer.units(row) for row in rows],
        unit_name=tokenizer.unit_name,
        effects=tokenizer.effects(),
    )


def splits(tokenizer: Tokenizer, train: int = 60, held_out: int = 30) -> Splits:
    """Return splits of different tunes."""
    ends = (train, train + held_out, train + 2 * held_out)
    return Splits(*(token_set(tokenizer, range(a, b)) for a, b in zip((0, *ends), ends, strict=False)))
