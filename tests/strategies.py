"""Hypothesis strategies for music: pieces as files hold them, with everything that a tokenizer must cope with."""

from __future__ import annotations

from hypothesis import strategies as st

from seqgan_music.music.notes import (
    DRUMS,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    PROGRAMS,
    TICKS_PER_BEAT,
    UNSAID,
    Meter,
    Note,
    Piece,
    Tempo,
)

USUAL_METERS = [(4, 4), (3, 4), (2, 4), (6, 8), (2, 2), (9, 8), (12, 8), (5, 8), (1, 4), (3, 16)]
ODD_METERS = [(9, 4), (13, 16), (1, 16), (17, 8), (3, 1), (255, 64), (7, 32)]
GRIDS = [TICKS_PER_BEAT, 4, 24, 10, 480, 1]
# One that is not said, a quartet of which one is missing, more than there may be, drums.
BANDS = [(UNSAID,), (40, 40 + PROGRAMS, 42), (UNSAID, DRUMS), (0, 30 + 3 * PROGRAMS, 127 + 40 * PROGRAMS, DRUMS)]


def notes(
    *,
    most: int = 40,
    beats: int = 40,
    ticks_per_beat: int = TICKS_PER_BEAT,
    lowest: int = LOWEST_PITCH,
    highest: int = HIGHEST_PITCH,
    instruments: tuple[int, ...] = (UNSAID,),
) -> st.SearchStrategy[tuple[Note, ...]]:
    """Notes sorted as in a Piece: few pitches and onsets, so that chords, repeats and overlaps are common."""
    grid = ticks_per_beat
    onsets = st.one_of(
        st.integers(0, 4 * beats).map(lambda sixteenth: sixteenth * max(1, grid // 4)), st.integers(0, beats * grid)
    )
    durations = st.one_of(
        st.sampled_from([max(1, grid // 4), max(1, grid // 2), grid, 4 * grid]),
        st.integers(1, 3 * grid),
        st.integers(1, 300 * grid),
    )
    note = st.builds(
        Note,
        onset=onsets,
        pitch=st.one_of(st.integers(60, 67), st.integers(lowest, highest)),
        duration=durations,
        velocity=st.integers(1, 127),
        instrument=st.sampled_from(instruments),
    )
    return st.lists(note, max_size=most).map(lambda some: tuple(sorted(some)))


@st.composite
def pieces(draw: st.DrawFn, *, most: int = 40, lowest: int = LOWEST_PITCH, highest: int = HIGHEST_PITCH) -> Piece:
    """A piece of up to `most` notes on any grid, in meters that change anywhere, at tempos that do."""
    grid = draw(st.sampled_from(GRIDS))
    beats = draw(st.sampled_from([4, 40, 400]))
    kinds = st.one_of(st.sampled_from(USUAL_METERS), st.sampled_from(ODD_METERS))
    changes = sorted(draw(st.sets(st.integers(1, beats * grid), max_size=4)))
    meters = tuple(Meter(onset, *draw(kinds)) for onset in [0, *changes])
    slower = sorted(draw(st.sets(st.integers(1, beats * grid), max_size=3)))
    tempos = tuple(Tempo(onset, draw(st.floats(30, 300))) for onset in [0, *slower])
    return Piece(
        notes=draw(
            notes(
                most=most,
                beats=beats,
                ticks_per_beat=grid,
                lowest=lowest,
                highest=highest,
                instruments=draw(st.sampled_from(BANDS)),
            )
        ),
        ticks_per_beat=grid,
        meters=meters,
        tempos=tempos,
        program=draw(st.integers(0, 127)),
        name=draw(st.text(max_size=8)),
    )


@st.composite
def tunes_with_returns(draw: st.DrawFn) -> Piece:
    """A piece in one meter whose bars are drawn from a few, rests and held notes among them."""
    meter = Meter(0, *draw(st.sampled_from([(4, 4), (3, 4), (6, 8)])))
    ticks = meter.bar_ticks(TICKS_PER_BEAT)
    bar = st.lists(
        st.tuples(
            st.integers(0, ticks // 6 - 1).map(lambda place: 6 * place),
            st.integers(60, 64),
            st.sampled_from([6, 12, 12, 24, ticks, 2 * ticks + 6]),
        ),
        max_size=4,
        unique_by=lambda note: note[:2],
    )
    kinds = [[(place, 67, 12) for place in range(0, ticks, 12)], *draw(st.lists(bar, min_size=1, max_size=3))]
    form = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=14))
    notes = sorted(
        Note(number * ticks + place, pitch, duration)
        for number, some in enumerate(form)
        for place, pitch, duration in some
    )
    return Piece(tuple(notes), TICKS_PER_BEAT, (meter,))
