"""Lay out a scan for people: what is kept, what is not and why, and what kind of music it is. 80 columns, ASCII."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WIDTH = 80
_LABEL = 14
EXAMPLES = 3
_SIXTEENTHS = 4
_TIME = 48  # the grid of what is learnt in time and not in beats
"""Ticks a beat of the coarsest grid."""
# Names of counts that do not explain themselves; the others are said as they are.
_COUNTED = {
    "moved_by_octaves": "notes moved by octaves onto the 88 keys",
    "out_of_range_dropped": "notes outside the 88 keys dropped",
    "below_top_line_dropped": "notes below the top line dropped",
    "cut_by_top_line": "notes cut by a higher one",
    "overlaps_trimmed": "notes cut where the same pitch begins again",
    "unended_notes": "notes without an end, ended",
    "clipped_values": "values out of bounds, clipped",
    "undecodable_events": "events that cannot be decoded, ignored",
    "tempos_clamped": "impossible tempos, made possible",
}


def table(scan: Mapping[str, Any]) -> str:
    """Return the text for what `Scan.summary` gives (or a `scan.json` holds)."""
    return "\n".join(_lines(scan))


def examples(scan: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return the first few (name, detail) that each reason kept out; `scan.json` once told them file by file."""
    if "examples" in scan:
        return {reason: [(name, detail) for name, detail in some] for reason, some in scan["examples"].items()}
    found: dict[str, list[tuple[str, str]]] = {}
    for file in scan["files"]:
        for entry in file["pieces"] or [{**file, "name": file["path"]}]:
            if entry["reason"] is not None:
                found.setdefault(entry["reason"], []).append((entry["name"], entry["detail"]))
    return {reason: some[:EXAMPLES] for reason, some in found.items()}


def _lines(scan: Mapping[str, Any]) -> Iterator[str]:
    totals = scan["totals"]
    yield from _row("Folder", scan["folder"])
    if scan["written"]:
        yield from _row("", scan["written"])
    skipped = totals["files"] - totals["kept_files"]
    yield from _row("Files", f"{totals['kept_files']:,} kept, {skipped:,} skipped")
    others = [f"{count:,} {suffix}" for suffix, count in scan["other_files"].items()]
    if others:
        yield from _row("", f"not music by their suffix: {_some(others)}")
    if totals["resource_forks"]:
        yield from _row("", f"{totals['resource_forks']:,} leftovers of macOS ignored (._*, __MACOSX)")
    if scan["unreadable_folders"]:
        yield from _row("", f"folders that cannot be listed: {_some(scan['unreadable_folders'])}")
    versions = totals["pieces"] - totals["different_tunes"]
    yield from _row(
        "Pieces", f"{totals['pieces']:,}" + (f", {versions:,} of them versions of others" if versions else "")
    )
    yield from _skipped(scan)
    yield from _changed(scan)
    yield from _off_the_beat(scan)
    yield from _tracks(scan)
    if totals["pieces"]:
        yield from _music(scan)
    yield from _related(scan["related"])


def _skipped(scan: Mapping[str, Any]) -> Iterator[str]:
    found = examples(scan)
    if found:
        yield ""
        yield "Skipped"
    for reason, count in scan["reasons"].items():
        yield f"{count:>8,}  {reason}"
        for name, detail in found[reason]:
            yield from _wrapped(example(name, detail), " " * 12)
        if count > EXAMPLES:
            yield f"{'':12}and {count - EXAMPLES:,} more"


def example(name: str, detail: str) -> str:
    """Return what is said of a file or piece that is not used."""
    return f"{name}: {detail}" if detail else name


def _changed(scan: Mapping[str, Any]) -> Iterator[str]:
    if scan["counts"]:
        yield ""
        yield "Changed or left out"
    for name, count in scan["counts"].items():
        files = scan["files_with_counts"][name]
        text = _COUNTED.get(name, name.replace("_", " "))
        yield from _wrapped(f"{text}, in {files:,} {'file' if files == 1 else 'files'}", " " * 10, f"{count:>8,}  ")


def _off_the_beat(scan: Mapping[str, Any]) -> Iterator[str]:
    """Say what to do with music that was played rather than written: on a fine grid its rhythms are noise."""
    grid = scan.get("settings", {}).get("reading", {}).get("ticks_per_beat", _SIXTEENTHS)
    moved, notes = scan["counts"].get("onsets_moved_to_grid", 0), scan["totals"]["notes"]
    if _SIXTEENTHS < grid < _TIME and 2 * moved > notes:
        yield ""
        yield from _wrapped(
            "Most onsets lie beside the grid, as in performances. Where the files know their beats, rhythms are"
            f" learnt better from sixteenths: --set corpus.reading.ticks_per_beat={_SIXTEENTHS}. Where they are"
            " recordings whose beats mean nothing, piano is learnt better in time: --config performance",
            "",
        )


def _tracks(scan: Mapping[str, Any]) -> Iterator[str]:
    if "tracks" in scan:
        count, taken = scan["tracks"]["count"], scan["tracks"]["examples"]
    else:
        taken = [f"{file['path']}: {file['track']}" for file in scan["files"] if file["track"]]
        count = len(taken)
    if taken:
        yield ""
        yield "Tracks taken"
        for line in taken[:EXAMPLES]:
            yield from _wrapped(line, " " * 12)
        if count > EXAMPLES:
            yield f"{'':12}and {count - EXAMPLES:,} more (--json lists all)"


def _music(scan: Mapping[str, Any]) -> Iterator[str]:
    totals, spread = scan["totals"], scan["notes_a_piece"]
    yield ""
    yield "Music"
    yield from _row(
        "  Notes",
        f"{totals['notes']:,}; a piece {spread['least']:,} to {spread['most']:,}, median {spread['median']:,.0f}",
    )
    yield from _row("  Length", f"{_duration(totals['seconds'])}, {totals['beats']:,.0f} beats")
    yield from _row("  Polyphony", f"{totals['chords'] / totals['onsets']:.1%} of onsets have more than one note")
    meters = [f"{meter} {count / totals['pieces']:.0%}" for meter, count in scan["meters"].items()]
    yield from _row("  Meters", _some(meters, 6))
    yield from _row("  Pitches", f"{_pitch(totals['lowest'])} to {_pitch(totals['highest'])}")
    typical = scan["typical"]
    yield from _row("  Typical", f"{typical['qpm']:.0f} beats a minute, General MIDI program {typical['program']}")


def _related(groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not groups:
        return
    yield ""
    yield "Versions of one tune, kept together on one side of the split"
    for kind, what in (("transposed", "transposed only"), ("near", "half or more in common")):
        some = [group["pieces"] for group in groups if group["kind"] == kind]
        if some:
            yield f"{len(some):>8,}  {what}"
            for pieces in some[:EXAMPLES]:
                yield from _wrapped(_some(pieces), " " * 12)
            if len(some) > EXAMPLES:
                yield f"{'':12}and {len(some) - EXAMPLES:,} more"


def _some(names: Sequence[str], most: int = EXAMPLES) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _pitch(number: int) -> str:
    """Name a MIDI pitch as musicians do, C4 being middle C."""
    name = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")[number % 12]
    return f"{name}{number // 12 - 1} ({number})"


def _duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _row(label: str, text: str) -> list[str]:
    return _wrapped(text, " " * _LABEL, f"{label:<{_LABEL}}")


def _wrapped(text: str, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
