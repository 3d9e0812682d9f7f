"""`report.html` of a run: one file that opens from disk, with all that people want to hear, see and know of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seqgan_music.files import check_writable
from seqgan_music.run_folders import write_text

FILE = "report.html"
SAMPLES = 3


def write(
    run: Path,
    *,
    out: Path | None = None,
    samples: int = SAMPLES,
    seed: int = 1,
    show: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write the report of a run into its folder, or to `out`, and return where it is.

    It has `samples` new pieces of `seed`, and shows the evaluation where there is one (`evaluation.json`). `show`
    is told what is being done. Raises RunError for a folder that cannot be used, OutputError.
    """
    from seqgan_music.report import listening, page
    from seqgan_music.report.sources import Sources

    path = out or run / FILE
    check_writable(path)
    sources = Sources.read(run)
    heard = listening.samples(run, samples, seed, show) if samples else []
    write_text(path, page.page(sources, heard))
    return path
