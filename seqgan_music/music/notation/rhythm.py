"""One voice of one bar -> written values: notes and rests split where readers look for beats, tuplets, beams.

All ticks count from the bar's start, on a grid of g = 3 * 2^m ticks a beat. A position is binary (an eighth, a
sixteenth ...) where 3 divides it; others need a tuplet of 3 in the time of 2. Any position and length can be
written: in a tuplet every tick is a value, and what is not one value is several, tied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

TYPES = ("whole", "half", "quarter", "eighth", "16th", "32nd", "64th", "128th", "256th")
_EIGHTH = TYPES.index("eighth")


@dataclass(frozen=True)
class Node:
    """A span of a bar, ticks [start, end), and the equal or unequal beats that it is counted in."""

    start: int
    end: int
    children: tuple[Node, ...] = ()

    @property
    def length(self) -> int:
        """Ticks."""
        return self.end - self.start

    @property
    def edges(self) -> list[int]:
        """Where its children begin, and its end."""
        return [*(child.start for child in self.children), self.end]


@dataclass(frozen=True)
class Value:
    """A written note or rest: ticks [start, end), an index of TYPES, dots, and the tuplet's span it stands in."""

    start: int
    end: int
    type: int
    dots: int
    tuplet: tuple[int, int] | None = None


@dataclass(frozen=True)
class Beam:
    """What one beam does at a note: "start", "continue", "stop", "partial-left" or "partial-right"."""

    level: int
    kind: str


def meter_tree(numerator: int, denominator: int, ticks_per_beat: int) -> Node:
    """Return a bar as it is counted: 4/4 in halves, then quarters; 6/8 in dotted quarters; 7/8 as 2 + 2 + 3."""
    unit = 4 * ticks_per_beat // denominator
    if numerator % 3 == 0 and numerator > 3:
        groups = [3] * (numerator // 3)
    elif numerator <= 4:
        groups = [numerator]
    else:
        twos, three = divmod(numerator - 3 * (numerator % 2), 2)
        groups = [3, 2] if numerator == 5 else [2] * twos + [3] * (numerator % 2 + three)
    spans, at = [], 0
    for group in groups:
        units = [_halved(at + i * unit, at + (i + 1) * unit) for i in range(group)]
        spans.append(_paired(units))
        at += group * unit
    return _paired(spans)


def _paired(nodes: Sequence[Node]) -> Node:
    """Return one node over the nodes: by pairs where there are four, eight ..."""
    if len(nodes) == 1:
        return nodes[0]
    if len(nodes) in (4, 8):
        nodes = [Node(a.start, b.end, (a, b)) for a, b in zip(nodes[::2], nodes[1::2], strict=True)]
        return _paired(nodes)
    return Node(nodes[0].start, nodes[-1].end, tuple(nodes))


def _halved(start: int, end: int, least: int = 6) -> Node:
    middle = (start + end) // 2
    if end - start < least or (end - start) % 2:
        return Node(start, end)
    return Node(start, end, (_halved(start, middle, least), _halved(middle, end, least)))


def values(
    edges: Sequence[int], rests: Sequence[bool], tree: Node, ticks_per_beat: int
) -> list[tuple[int, list[Value]]]:
    """Write consecutive spans of a voice, each a note (or chord) or a rest.

    `edges` (N + 1,) are the ticks where the spans begin and where the last one ends, `rests` (N,) which are silent.
    Returns for each span its index and the values that it is written with, tied where it is a note.
    """
    spans = list(_tuplets(tree, sorted(set(edges)), ticks_per_beat))
    cuts = sorted({edge for span in spans for edge in (span.start, span.end)})
    found = []
    for index, (start, end) in enumerate(pairwise(edges)):
        written: list[Value] = []
        points = [start, *(cut for cut in cuts if start < cut < end), end]
        for a, b in pairwise(points):
            span = next((span for span in spans if span.start <= a and b <= span.end), None)
            within = span or tree
            for x, y in _parts(a, b, within, rests[index], ticks_per_beat, span is not None):
                kind, dots = _written(y - x, ticks_per_beat, span is not None) or (0, 0)
                written.append(Value(x, y, kind, dots, (span.start, span.end) if span else None))
        found.append((index, written))
    return found


def beams(written: Sequence[Value | None], tree: Node, ticks_per_beat: int) -> dict[int, list[Beam]]:
    """Return the beams of a voice's values, by index; None and rests between stand for what no beam crosses."""
    groups = _beam_groups(tree, ticks_per_beat)
    found: dict[int, list[Beam]] = {}
    for run in _runs(written, groups, {(node.start, node.end) for node in _nodes(tree)}, ticks_per_beat):
        levels = [value.type - _EIGHTH + 1 for i in run if (value := written[i]) is not None]
        for place, index in enumerate(run):
            found[index] = [
                Beam(level, _kind(levels, place, level, written[index])) for level in range(1, levels[place] + 1)
            ]
    return found


def _kind(levels: Sequence[int], place: int, level: int, value: Value | None) -> str:
    left = place > 0 and levels[place - 1] >= level
    right = place + 1 < len(levels) and levels[place + 1] >= level
    if left and right:
        return "continue"
    if left or right:
        return "stop" if left else "start"
    if place == 0:
        return "partial-right"
    if place + 1 == len(levels) or value is None:
        return "partial-left"
    # A lone sixteenth points to the note that it makes an eighth with.
    return "partial-left" if value.end % (2 * (value.end - value.start)) == 0 else "partial-right"


def _runs(
    written: Sequence[Value | None],
    groups: Sequence[tuple[int, int]],
    nodes: set[tuple[int, int]],
    ticks_per_beat: int,
) -> Iterator[list[int]]:
    """Yield the indices of values that share a beam: neighbours shorter than a quarter in one group."""
    runs: list[list[int]] = []
    group_of: list[int] = []
    for index, value in enumerate(written):
        if value is None or value.type < _EIGHTH:
            continue
        group = next((n for n, (start, end) in enumerate(groups) if start <= value.start < end), -1)
        before = written[runs[-1][-1]] if runs else None
        if runs and runs[-1][-1] == index - 1 and group_of[-1] == group and before and before.end == value.start:
            runs[-1].append(index)
        else:
            runs.append([index])
            group_of.append(group)
    runs = [run for run in _joined(runs, written, nodes, ticks_per_beat) if len(run) > 1]
    yield from runs


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _joined(
    runs: list[list[int]], written: Sequence[Value | None], nodes: set[tuple[int, int]], ticks_per_beat: int
) -> list[list[int]]:
    """Join two beats of plain eighths that fill a half of a bar in four: readers see half bars at once."""
    found: list[list[int]] = []
    for run in runs:
        start, end = written[run[0]], written[run[-1]]
        former = found[-1] if found else []
        first = written[former[0]] if former else None
        plain = all(
            (value := written[i]) is not None and (value.type, value.dots, value.tuplet) == (_EIGHTH, 0, None)
            for i in [*former, *run]
        )
        if (
            first is not None
            and start is not None
            and end is not None
            and plain
            and former[-1] + 1 == run[0]
            and len(former) == len(run) == 2
            and (first.start, end.end) in nodes
            and end.end - first.start == 2 * ticks_per_beat
        ):
            former.extend(run)
        else:
            found.append(list(run))
    return found


def _beam_groups(tree: Node, ticks_per_beat: int) -> list[tuple[int, int]]:
    """Return the spans that a beam may cover: the largest ones of at most a dotted quarter."""
    if tree.length * 2 <= ticks_per_beat * 3 or not tree.children:
        return [(tree.start, tree.end)]
    return [group for child in tree.children for group in _beam_groups(child, ticks_per_beat)]


def _tuplets(node: Node, points: Sequence[int], ticks_per_beat: int) -> Iterator[Node]:
    """Yield the spans of three in the time of two that a voice with these edges needs."""
    inside = [point for point in points if node.start < point < node.end]
    odd = [point for point in inside if point % 3]
    if not odd:
        return
    halves = len(node.children) == 2 and node.children[0].length == node.children[1].length
    if len(node.children) == 0 or (halves and node.length <= 2 * ticks_per_beat):
        middle = (node.start + node.end) // 2
        apart = bool(node.children) and middle in inside
        thirds = all((point - node.start) * 3 % node.length == 0 for point in odd)
        both = min(odd) < middle < max(odd)
        if not apart and (node.length <= ticks_per_beat or (thirds and both and len(inside) == len(odd))):
            third = node.length // 3
            edges = [node.start + i * third for i in range(4)]
            yield Node(node.start, node.end, tuple(_halved(a, b, 2) for a, b in pairwise(edges)))
            return
    children = list(node.children)
    while children:
        child = children.pop(0)
        if len(node.children) == 3 and children and node.length <= 2 * ticks_per_beat:
            # A triplet over two eighths of a dotted quarter.
            pair = list(_tuplets(Node(child.start, children[0].end, (child, children[0])), points, ticks_per_beat))
            if any(span.length > child.length for span in pair):
                yield from pair
                children.pop(0)
                continue
        yield from _tuplets(child, points, ticks_per_beat)


def _parts(
    start: int, end: int, node: Node, rest: bool, ticks_per_beat: int, tuplet: bool
) -> Iterable[tuple[int, int]]:
    """Yield the parts that a span is written in so that each is one value and beats can be seen."""
    crossed = [edge for edge in node.edges if start < edge < end]
    if not crossed and (start, end) != (node.start, node.end):
        for child in node.children:
            if child.start <= start and end <= child.end:
                yield from _parts(start, end, child, rest, ticks_per_beat, tuplet)
                return
    if _written(end - start, ticks_per_beat, tuplet) and _readable(start, end, node, rest):
        yield start, end
        return
    if not crossed:  # the whole node, of a length that no value has
        crossed = node.edges[1:-1]
    cut = crossed[0] if start not in node.edges else crossed[-1]
    yield from _parts(start, cut, node, rest, ticks_per_beat, tuplet)
    yield from _parts(cut, end, node, rest, ticks_per_beat, tuplet)


def _readable(start: int, end: int, node: Node, rest: bool) -> bool:
    """Say whether one value may stand for this span of the node without hiding its beats."""
    if (start, end) == (node.start, node.end) or not node.children:
        return True
    edges = node.edges
    ternary = len(node.children[0].children) == 3
    if rest:
        return not ternary and len(node.children) == 3 and start == node.start and end in edges
    if ternary:
        return start in edges and end in edges
    if start == node.start or end == node.end or (start in edges and end in edges):
        return True
    # An eighth, a quarter, an eighth: a note over a beat's edge, from the middle of one to that of the next.
    middles = [(child.start + child.end) // 2 for child in node.children]
    return (start, end) in pairwise(middles)


def _written(length: int, ticks_per_beat: int, tuplet: bool) -> tuple[int, int] | None:
    """Return the index of TYPES and the dots of a length in ticks; None where no single value has it."""
    whole = 4 * ticks_per_beat * 2  # doubled, so that a dot needs no fraction
    for dots, size in ((0, 2 * length), (1, 2 * length * 2 / 3)):
        scaled = size * 3 / 2 if tuplet else size
        for kind in range(len(TYPES)):
            if scaled * 2**kind == whole:
                return kind, dots
    return None
