"""Laws of every tokenizer's `Filling`: whatever is written into the gaps, what is kept is kept to the note."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces
from test_tokenizers import TOKENIZERS, every_tokenizer, quick

from seqgan_music.compose import bars_of
from seqgan_music.music.notes import Note, Piece
from seqgan_music.music.tokenizers import Filling, Tokenizer

MOST_STEPS = 400


def held(tokenizer: Tokenizer, piece: Piece) -> tuple[list[int], Piece]:
    """Ids of a piece as a primer's, and the piece that they are."""
    ids = [token for row in tokenizer.encode(piece) for token in row if token != tokenizer.end_id]
    return ids, tokenizer.decode(ids).piece


def walk(filling: Filling, rng: np.random.Generator) -> list[int] | None:
    """Fill what is open by ids drawn evenly, with a liking for the end; None at a dead end."""
    ids: list[int] = []
    while not filling.done:
        stay, leave, wanted = filling.masks()
        assert not (wanted & ~stay).any()
        stay = wanted
        assert not (stay & leave).any()
        if leave.any() and (not stay.any() or rng.random() < 0.4):
            filling.advance(int(rng.choice(np.flatnonzero(leave))))
            assert filling.done
        elif stay.any() and len(ids) < MOST_STEPS:
            ids.append(int(rng.choice(np.flatnonzero(stay))))
            filling.advance(ids[-1])
        else:
            return None
    return ids


@every_tokenizer
@quick
@given(data=st.data())
def test_kept_notes_stay_and_new_ones_keep_to_their_gap(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids, piece = held(tokenizer, data.draw(pieces(most=20)))
    bars = bars_of(piece)[:60]
    if len(bars) < 2 or bars[-1].end < piece.end:
        return
    gaps = data.draw(st.sets(st.integers(0, len(bars) - 1), min_size=1))
    kept = [note for note in piece.notes if not any(bars[i].start <= note.onset < bars[i].end for i in gaps)]
    pitches = frozenset(data.draw(st.sampled_from([range(21, 109), range(60, 68), [60, 62, 64]])))
    filling, rng = tokenizer.filling(ids), np.random.default_rng(data.draw(st.integers(0, 99)))
    whole, end, bounds = [], bars[-1].end, {}
    for _, group in groupby(sorted(gaps), key=lambda i: i - sorted(gaps).index(i)):
        own = list(group)
        bound = min((note.onset for note in kept if note.onset >= bars[own[-1]].end), default=end)
        for index in own:
            bounds[index] = bound
            whole += filling.keep(bars[index].start)
            filling.open(
                bars[index].end,
                bound=bound,
                pitches=pitches,
                heard_after=bars[index].start,
                closes=index == own[-1],
                last=index == len(bars) - 1,
            )
            written = walk(filling.copy(), rng)
            if written is None:
                return
            for token in written:
                filling.advance(token)
            if not filling.done:
                filling.advance(int(np.flatnonzero(filling.masks()[1])[0]))
            whole += written
    whole += filling.keep(end, last=True)
    new = filling.new_notes()
    decoded = tokenizer.decode(whole)
    assert decoded.dropped.total() == 0
    assert {note.pitch for note in new if not note.drum} <= pitches
    for note in new:
        (place,) = [index for index, bar in enumerate(bars) if bar.start <= note.onset < bar.end]
        assert place in gaps
        assert note.end <= bounds[place]
    if tokenizer.end_id is not None:
        assert sorted([*kept, *new]) == list(decoded.piece.notes)
    else:  # notes of one pitch that touch are one to a grid
        assert steps(decoded.piece.notes) == steps([*kept, *new])


def steps(notes: list[Note] | tuple[Note, ...]) -> set[tuple[int, int]]:
    return {(tick, note.pitch) for note in notes for tick in range(note.onset, note.end)}


@every_tokenizer
@quick
@given(piece=pieces(most=20))
def test_without_gaps_the_piece_is_what_it_was(tokenizer: Tokenizer, piece: Piece) -> None:
    ids, whole = held(tokenizer, piece)
    kept = tokenizer.filling(ids).keep(whole.end, last=True) if ids else []
    assert kept[: len(ids)] == ids[: len(kept)]
    assert tokenizer.decode(kept).piece == whole
    assert (kept[-1:] == [tokenizer.end_id]) == (bool(ids) and tokenizer.end_id is not None)


def test_every_tokenizer_says_where_its_last_bar_is() -> None:
    piece = Piece(tuple(Note(12 * beat, 60 + beat % 5, 12) for beat in range(9)))
    for tokenizer in TOKENIZERS:
        if tokenizer.ticks_per_beat == 12 and tokenizer.name == "note_event":
            ids, _ = held(tokenizer, piece)
            opening = tokenizer.vocabulary.index("BAR")
            assert tokenizer.last_bar(ids) == (96, 48)
            assert tokenizer.last_bar(ids[: ids.index(opening) + 1]) == (0, 48)
            assert tokenizer.last_bar(ids[: ids.index(opening)])[1] == tokenizer.last_bar([])[1] == 0
