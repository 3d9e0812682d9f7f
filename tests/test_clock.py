"""The clock shows the bar and the place that the tokenizer's own grammar has, and the generator is told so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_music import tune
from strategies import BANDS, pieces, tunes_with_returns
from torch import Tensor

from seqgan_music.config import GeneratorConfig
from seqgan_music.learning.clock import LAGS, NEW, VOICES, Clock, Time, TimeEmbedding, When, lag_of
from seqgan_music.learning.generator import Generator, Stepper
from seqgan_music.learning.sampling import sample
from seqgan_music.music import tokenizers
from seqgan_music.music.notes import LOWEST_PITCH, PROGRAMS, Piece
from seqgan_music.tokenset import Effect
from seqgan_music.training import check

NOTE_EVENT = tokenizers.create("note_event", {}, 12)
LOUD = tokenizers.create("note_event", {"velocity_bins": 4, "keys": True}, 12)
BAND = tokenizers.create("ensemble", {"velocity_bins": 2, "keys": True}, 12)
FORM = tokenizers.create("note_event", {"returns": 8, "keys": True}, 12)


def by_bar(piece: Piece) -> dict[int, list[tuple[int, int, int]]]:
    """Notes of each bar of a piece in one meter, as (place, pitch, duration); bars without notes have no entry."""
    ticks = piece.meters[0].bar_ticks(piece.ticks_per_beat)
    found: dict[int, list[tuple[int, int, int]]] = {}
    for note in piece.notes:
        found.setdefault(note.onset // ticks, []).append((note.onset % ticks, note.pitch, note.duration))
    return found


def clock_of(tokenizer: tokenizers.Tokenizer) -> Clock:
    return Clock(len(tokenizer.vocabulary) + 2, tokenizer.effects())


def onsets_by_the_clock(tokenizer: tokenizers.Tokenizer, ids: list[int]) -> list[tuple[int, int, int]]:
    """(bar, place, pitch) of each PITCH token, as the clock tells when it has been read."""
    clock, found = clock_of(tokenizer), []
    now = clock.start(1)
    for token in ids:
        now = clock.advance(torch.tensor([token]), now)
        name = tokenizer.vocabulary[token]
        if name.startswith("PITCH"):
            found.append((int(now.cycle), int(now.onset), int(name[6:-1])))
    return found


def onsets_by_the_decoder(tokenizer: tokenizers.Tokenizer, ids: list[int]) -> list[tuple[int, int, int]]:
    """The same from the grammar that `decode` follows."""
    grammar = tokenizer.grammar()
    found = []
    for token in ids:
        grammar.advance(token)
        name = tokenizer.vocabulary[token]
        if name.startswith("PITCH"):
            place = grammar.onset - grammar.bar_start  # type: ignore[attr-defined]
            found.append((grammar._bar, place, int(name[6:-1])))  # type: ignore[attr-defined]
    return found


@settings(deadline=None)
@given(pieces(), st.sampled_from([NOTE_EVENT, LOUD, FORM, BAND]))
def test_the_clock_tells_bar_and_place_of_every_note(piece: Piece, tokenizer: tokenizers.Tokenizer) -> None:
    for ids in tokenizer.encode(piece):
        assert onsets_by_the_clock(tokenizer, ids) == onsets_by_the_decoder(tokenizer, ids)


@given(st.integers(0, 10_000), st.sampled_from([NOTE_EVENT, BAND]))
def test_it_does_so_in_whatever_the_grammar_allows(seed: int, tokenizer: tokenizers.Tokenizer) -> None:
    rng, grammar, ids = np.random.default_rng(seed), tokenizer.grammar(), []
    while len(ids) < 60 and not grammar.finished:
        ids.append(int(rng.choice(np.flatnonzero(grammar.allowed()))))
        grammar.advance(ids[-1])
    assert onsets_by_the_clock(tokenizer, ids) == onsets_by_the_decoder(tokenizer, ids)


@given(st.lists(st.integers(0, len(NOTE_EVENT.vocabulary) + 1), max_size=40))
def test_no_ids_stop_it(ids: list[int]) -> None:
    clock = clock_of(NOTE_EVENT)
    now = clock.start(1)
    for token in ids:
        now = clock.advance(torch.tensor([token]), now)
        assert int(now.cursor) >= 0
        assert -1 <= int(now.cycle) <= 96 * len(ids)


def test_a_melody_by_hand() -> None:
    names = [
        "METER(3/4)",
        "BAR",
        "PITCH(67)",
        "END(12)",
        "PITCH(60)",
        "PITCH(64)",
        "END(36)",
        "AT(12)",
        "PITCH(72)",
    ]
    names += ["END(6)", "HOLD", "BAR", "BAR", "AT(24)"]
    ids = torch.tensor([[NOTE_EVENT.vocabulary.index(name) for name in names]])
    clock = clock_of(NOTE_EVENT)
    time, _ = clock.follow(ids, clock.start(1))
    assert time.cycle.tolist() == [[-1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 2, 2, 2]]
    assert time.place.tolist() == [[0, 0, 0, 12, 12, 12, 0, 12, 12, 6, 6, 6, 6, 24]]


def test_lags_and_phrases() -> None:
    period = torch.full((4,), 48)
    now = Time(
        torch.tensor([9, 9, 9, 50]),
        torch.tensor([0, 6, 6, 0]),
        period,
        torch.tensor([1, 1, 8, NEW]),
        period * 0 + 7,
        torch.tensor([41, 41, 41, 41 + VOICES]),
    )
    then = When(
        torch.tensor([1, 9, 8, 2]),
        torch.tensor([0, 6, 0, 0]),
        torch.tensor([7, 8, 5, 7]),
        torch.tensor([41, 43, 41, 41]),
    )
    assert lag_of(now, then).tolist() == [LAGS + 8, LAGS, 1, 2 * LAGS - 1]
    assert lag_of(now, then, returns=True).tolist() == [3 * LAGS + 2, LAGS, 3 * LAGS, 3 * LAGS - 1]
    assert lag_of(now, then, voices=True).tolist() == [4 * LAGS + 8, LAGS, 2 * LAGS + 1, 2 * LAGS - 1]
    both = lag_of(now, then, returns=True, voices=True).tolist()
    assert both == [5 * LAGS + 4, LAGS, 5 * LAGS + 2, 2 * LAGS - 1]
    time = Time(torch.tensor([-1, 0, 9, 1000]), period, period, torch.tensor([NEW, NEW, 1, 2]), period, now.voice)
    number, phrase, _, _ = TimeEmbedding(2).rows(time)
    assert (number.tolist(), phrase.tolist()) == ([0, 0, 1, 0], [8, 8, 9, 23])
    back = TimeEmbedding(2, returns=True).rows(time)[-1]
    assert (back - back[0]).tolist() == [0, 0, 8, LAGS - 1]
    name, player = TimeEmbedding(2, voices=True).rows(time)[-2:]
    assert (name - name[0]).tolist() == [0, 0, 0, 0]
    assert (player - name).tolist() == [VOICES - 41] * 3 + [VOICES - 40]


@settings(deadline=None)
@given(pieces())
def test_the_clock_tells_whose_part_is_open(piece: Piece) -> None:
    for ids in BAND.encode(piece):
        grammar, clock = BAND.grammar(), clock_of(BAND)
        now = clock.start(1)
        for token in ids:
            grammar.advance(token)
            now = clock.advance(torch.tensor([token]), now)
            if grammar.meters:  # the header is over
                part = grammar.instrument if grammar.part >= 0 else None  # type: ignore[attr-defined]
                expected = 0 if part is None else part % PROGRAMS + 1 + part // PROGRAMS * VOICES
                assert int(now.voice) == expected


@settings(deadline=None)
@given(tunes_with_returns())
def test_the_clock_tells_the_bar_that_comes_again(piece: Piece) -> None:
    piece, _ = FORM.normalise(piece)
    if not piece.notes:
        return
    (ids,) = FORM.encode(piece)
    assert FORM.decode(ids).piece == piece
    time, _ = clock_of(FORM).follow(torch.tensor([ids]), clock_of(FORM).start(1))
    bars = by_bar(piece)
    said = set()
    for cycle, source in zip(time.cycle[0].tolist(), time.source[0].tolist(), strict=True):
        if source != NEW:
            assert bars[cycle] == bars[source]
            assert 1 <= cycle - source <= 8
            said.add(cycle)
    again = {bar for bar, notes in bars.items() if notes in [bars.get(bar - k) for k in range(1, min(bar, 8) + 1)]}
    assert said == again


def timed(memory: int = 512, heads: int = 2, tokenizer: tokenizers.Tokenizer = NOTE_EVENT) -> Generator:
    config = GeneratorConfig(
        8,
        12,
        dropout=0.0,
        heads=heads,
        head_size=5,
        memory=memory,
        clock=True,
        returns=tokenizer is FORM,
        voices=tokenizer is BAND,
        summary=True,
    )
    size = len(tokenizer.vocabulary)
    generator = Generator(size, size, config, tokenizer.effects())
    rng = torch.Generator().manual_seed(0)
    generator.initialise(rng)
    for name, parameter in generator.named_parameters():  # zeros would hide a lag that is told wrongly
        if name.endswith("lag_bias") or name.startswith("time"):
            torch.nn.init.normal_(parameter, generator=rng)
    return generator


def rows(count: int = 4, length: int = 60, tokenizer: tokenizers.Tokenizer = NOTE_EVENT) -> Tensor:
    made = quartet if tokenizer is BAND else tune
    return torch.tensor([tokenizer.encode(made(seed))[0][:length] for seed in range(count)])


def quartet(seed: int) -> Piece:
    """A tune for each of four players."""
    parts = [replace(note, instrument=own) for own in BANDS[1] for note in tune(seed + own).notes]
    return replace(tune(seed), notes=tuple(sorted(parts)))


def test_a_bar_said_to_come_again_is_what_attention_looks_at() -> None:
    """With a score for the source alone, all weight lies on the states of the bar that RETURN names."""
    generator = timed(heads=1, tokenizer=FORM)
    attention = generator.attention
    assert attention is not None
    assert attention.cycle_lag_bias is not None
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        attention.value.weight.normal_(generator=torch.Generator().manual_seed(3))
        attention.cycle_lag_bias[:, 3 * LAGS :] = 30.0
    bar = " ".join(f"PITCH({pitch}) END({end})" for pitch, end in ((60, 12), (62, 24), (64, 36), (65, 48)))
    other = bar.replace("6", "7")
    text = f"KEY(C) METER(4/4) BAR {bar} {other} {other} RETURN(3) PITCH(60)"
    ids = torch.tensor([[FORM.vocabulary.index(token) for token in text.split()]])
    hidden = torch.zeros(1, ids.shape[1], generator.config.hidden)
    time, _ = generator.clock.follow(ids, generator.clock.start(1))  # type: ignore[union-attr]
    context, _ = attention(hidden, generator.embedding(ids), None, time)
    said = (time.cycle[0] == 0).nonzero()[
        :, 0
    ]  # states of the source, each answering for the token that follows it
    expected = attention.values(generator.embedding(ids))[0, 0, said + 1].mean(0)
    torch.testing.assert_close(context[0, -1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokenizer", [NOTE_EVENT, FORM, BAND], ids=["plain", "returns", "voices"])
@pytest.mark.parametrize("heads", [0, 2])
@pytest.mark.parametrize("memory", [7, 512])
def test_stepping_and_windows_give_the_logits_of_the_whole(
    memory: int, heads: int, tokenizer: tokenizers.Tokenizer
) -> None:
    generator, ids = timed(memory, heads, tokenizer), rows(tokenizer=tokenizer)
    assert bool((ids >= tokenizer.vocabulary.index("RETURN(1)")).any()) if tokenizer is FORM else True
    whole, _ = generator(generator.inputs_for(ids))
    state, parts = None, []
    for start, end in ((0, 1), (1, 8), (8, 60)):
        part, state = generator(generator.inputs_for(ids)[:, start:end], state)
        parts.append(part)
        state = state.detached()
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    stepper = Stepper(generator, torch.float32)
    steps = stepper.start(len(ids), ids.shape[1])
    for step, column in enumerate(generator.inputs_for(ids).unbind(1)):
        stepper.advance(column, steps)
        logits = stepper.logits(steps)[:, : generator.vocabulary_size]
        torch.testing.assert_close(logits, whole[:, step], rtol=1e-4, atol=1e-4)


def test_rows_taken_from_a_state_go_on_with_their_own_clock() -> None:
    generator, ids = timed(), rows(2, 40)
    stepper = Stepper(generator, torch.float32)
    state = stepper.start(2, 40)
    for column in ids[:, :30].unbind(1):
        stepper.advance(column, state)
    twice = state.rows(torch.tensor([1, 1, 0]))
    stepper.advance(ids[[1, 1, 0], 30], twice)
    stepper.advance(ids[:, 30], state)
    torch.testing.assert_close(twice.h[0], state.h[0][[1, 1, 0]])
    assert twice.clock is not None
    assert state.clock is not None
    assert twice.clock.cycle.tolist() == state.clock.cycle[[1, 1, 0]].tolist()


def test_a_bar_that_comes_later_is_told() -> None:
    generator = timed(heads=0)
    bar = NOTE_EVENT.vocabulary.index("BAR")
    pitch = NOTE_EVENT.vocabulary.index(f"PITCH({LOWEST_PITCH + 40})")
    early, late = torch.tensor([[bar, pitch]]), torch.tensor([[bar, pitch]])
    _, state = generator(torch.full((1, 3), bar))
    lstm = state.lstm
    _, fresh = generator(torch.full((1, 1), pitch))
    assert state.reading is not None
    assert fresh.reading is not None
    fresh.lstm = lstm
    assert not torch.equal(generator(late, state)[0], generator(early, fresh)[0])


def test_samples_are_reproduced_and_effects_survive_the_checkpoint() -> None:
    generator = timed()
    again = Generator(generator.vocabulary_size, generator.start_id, generator.config)
    again.load_state_dict(generator.state_dict())
    first, second = (sample(Stepper(g), 3, 30, torch.Generator().manual_seed(1)) for g in (generator, again))
    assert torch.equal(first, second)
    assert again.clock is not None
    assert int(again.clock.effects[0, NOTE_EVENT.vocabulary.index("BAR")]) == Effect.NEXT


def test_tokens_without_bars_refuse_it() -> None:
    from seqgan_music import config
    from seqgan_music.errors import ConfigError

    made = config.load("paper-music", ["generator.clock=true"])
    with pytest.raises(ConfigError, match="tokenizer 'pitch_grid' has none"):
        check(made)
    with pytest.raises(ConfigError, match=r"returns needs tokens that say so\. Set tokenizer\.returns"):
        check(config.load("quick", ["generator.returns=true", "tokenizer.returns=0"]))
    with pytest.raises(ConfigError, match=r"voices needs tokens that say so\. Set tokenizer\.name"):
        check(config.load("quick", ["generator.voices=true"]))
    with pytest.raises(ConfigError, match="voices needs clock"):
        config.load("ensemble", ["generator.voices=true", "generator.clock=false"])
    with pytest.raises(ConfigError, match="returns needs clock"):
        config.load("quick", ["generator.returns=true", "generator.clock=false"])
