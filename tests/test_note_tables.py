"""Note tables straight from ids are those of the pieces that the tokenizer itself decodes, note for note."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pieces, tunes_with_returns

from seqgan_music import choices
from seqgan_music.music import note_tables, tokenizers
from seqgan_music.music.note_tables import NoteTable
from seqgan_music.music.notes import Note, Piece

MADE = [
    tokenizers.create("note_event", {}, 12),
    tokenizers.create("note_event", {"velocity_bins": 3}, 4),
    tokenizers.create("note_event", {"keys": True}, 12),
    tokenizers.create("note_event", {"keys": True, "returns": 16}, 12),
    tokenizers.create("note_event", {"returns": 3, "velocity_bins": 3}, 4),
    tokenizers.create("performance", {}, 12),
    tokenizers.create("performance", {"ticks_per_second": 8, "velocity_bins": 0}, 12),
    tokenizers.create("pitch_grid", {}, 12),
    tokenizers.create("pitch_grid", {"rest": False, "step_beats": 0.75}, 12),
]


def assert_equal(left: NoteTable, right: NoteTable) -> None:
    for field in fields(NoteTable):
        np.testing.assert_array_equal(getattr(left, field.name), getattr(right, field.name), err_msg=field.name)


def test_every_file_of_the_folder_is_a_tokenizers() -> None:
    assert set(choices.names(note_tables.__name__)) <= set(choices.names(tokenizers.__name__))


@pytest.mark.parametrize("tokenizer", MADE, ids=lambda t: f"{t.name}-{t.ticks_per_beat}")
@given(data=st.data())
def test_any_ids_give_the_table_of_their_pieces(tokenizer: tokenizers.Tokenizer, data: st.DataObject) -> None:
    """Rows of real music, cut off, spoilt in places, or mere noise of the kinds that are mostly in order."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    length = data.draw(st.integers(1, 60))
    names = np.array([name.partition("(")[0] for name in tokenizer.vocabulary])
    kinds = sorted(set(names))
    rows = [rng.integers(len(names), size=length)]
    for _ in range(3):  # every kind as likely as another, and few different tokens of a kind
        pool = np.concatenate([rng.choice(np.flatnonzero(names == kind), 3) for kind in kinds])
        rows.append(rng.choice(pool, length))
    piece = data.draw(st.one_of(pieces(), tunes_with_returns()))
    encoded = np.array([token for row in tokenizer.encode(piece) for token in row], dtype=np.int64)
    filling = 0 if tokenizer.end_id is None else tokenizer.end_id
    for spoilt in (0.0, 0.1):
        row = np.append(encoded, np.full(length, filling))[:length]
        rows.append(np.where(rng.random(length) < spoilt, rng.integers(len(names), size=length), row))
    ids = np.stack(rows)
    assert_equal(note_tables.of_ids(tokenizer, ids), note_tables.one_by_one(tokenizer, ids))


def test_held_notes_under_shorter_bars_and_the_last_bar_that_there_may_be() -> None:
    """Bars by the thousand in a hundred tokens: HOLDs in the longest bar, crossed in the shortest."""
    tokenizer = MADE[0]
    id_of = {name: index for index, name in enumerate(tokenizer.vocabulary)}
    long, short = [id_of["METER(8/4)"], id_of["BAR"]], [id_of["METER(1/16)"], id_of["BAR"]]
    note = [id_of["PITCH(60)"], id_of["END(1)"], *[id_of["HOLD"]] * 64]
    row = (long + note + short + [id_of["PITCH(62)"], id_of["END(1)"]]) * 14
    table = note_tables.of_ids(tokenizer, np.array([row]))
    assert_equal(table, note_tables.one_by_one(tokenizer, np.array([row])))
    assert len(table.row) == 23  # of 28: the limit is felt


def test_the_table_of_pieces_by_hand() -> None:
    piece = Piece((Note(0, 60, 12), Note(48, 64, 6), Note(54, 60, 3)))
    table = note_tables.of_pieces([piece, Piece(()), piece.transposed(1)], [True, False, True])
    assert table.row.tolist() == [0, 0, 0, 2, 2, 2]
    assert table.pitch.tolist() == [60, 64, 60, 61, 65, 61]
    assert table.bar.tolist() == [0, 1, 1, 0, 1, 1]
    assert table.position.tolist() == [0, 0, 6, 0, 0, 6]
    assert table.counts.tolist() == [3, 0, 3]
    assert table.whole.tolist() == [True, False, True]
    with pytest.raises(ValueError, match="different grids"):
        note_tables.of_pieces([piece, Piece((), ticks_per_beat=4)])
