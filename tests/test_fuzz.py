"""The fuzzer's short form: a few damaged files for every reader. The long form is `python tests/fuzz.py`."""

from __future__ import annotations

import signal

import pytest
from fuzz import fuzz
from fuzz_reader import Reader
from fuzz_readers import readers

CASES = 10

needs_timers = pytest.mark.skipif(
    not hasattr(signal, "SIGPROF"), reason="the fuzzer bounds a case's time by a signal that this system lacks"
)


@needs_timers
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # libraries that leave files open
@pytest.mark.parametrize("reader", readers(), ids=lambda reader: reader.name)
def test_what_is_damaged_is_read_or_refused_in_one_line(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQGAN_MUSIC_CACHE", "")
    broken = fuzz(CASES, 7, [reader], None, quiet=True)
    assert not broken, "\n".join(f"{one.what}\n{one.trace}" for one in broken)


def test_a_reader_that_breaks_the_law_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless(Reader):
        name = "careless"
        seeds = (b"0123456789" * 10,)  # type: ignore[assignment]

        def prepare(self, place, data):  # type: ignore[no-untyped-def]
            path = place / "case"
            path.write_bytes(data)
            return path

        def try_(self, path) -> str:  # type: ignore[no-untyped-def]
            return "read" if path.read_bytes().isdigit() else {}["missing"]

    broken = fuzz(40, 1, [Careless()], None, quiet=True)
    assert [one.what.split(":")[0] for one in broken] == ["KeyError"]
