"""Real files, damaged: what disks, networks, other programs and people who mean harm make of them.

Every function is one of a `random.Random`'s choices, so that a seed gives the same bytes again.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

LARGEST = 200_000
"""Bytes of a case: enough for any damage, and quick to read."""

_EXTREMES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
_NUMBERS = (
    *(b"0", b"-1", b"1", b"127", b"128", b"256", b"65536", b"2147483648", b"99999999999999999999", b"9" * 400),
    *(b"9" * 5000, b"1e309", b"-1e309", b"1e-320", b"nan", b"NaN", b"inf", b"Infinity", b"0.5", b"1/0", b"0x10"),
)
_NESTS = (b"[", b"{", b"(", b"<a>", b"[[", b'{"a":', b"<note>", b"<part>", b"a.", b"&lt;", b"|:", b"[a=")
_WORDS = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\n\n", b'"', b"'", b"\\", b"\x1b[31m"),
    *("\u202e".encode(), "é".encode(), b"%s%n", b"../../etc/passwd", b"null", b"true", b"[]", b"{}", b"-", b"<!--"),
    *(b"<!ENTITY a 'b'>", b"&a;", b"]]>", b"MTrk", b"MThd", b"X:1\n", b"K:C\n", b"V:2\n", b"*-\n", b"**kern\t"),
)


def damaged(data: bytes, dice: Random, others: Sequence[bytes] = ()) -> bytes:
    """Return the bytes after one to eight blows; `others` are files of the same kind to splice with."""
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        data = dice.choice(_BLOWS)(data or b"\0", dice, others)[:LARGEST]
    return data


def _flip(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 4, 32))):
        made[dice.randrange(len(made))] ^= 1 << dice.randrange(8)
    return bytes(made)


def _cut(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    return dice.choice((data[:at], data[at:]))


def _drop(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    start, stop = _part(data, dice)
    return data[:start] + data[stop:]


def _swap(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    (a, b), (c, d) = sorted((_part(data, dice), _part(data, dice)))
    return data if c < b else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _repeat(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    start, stop = _part(data, dice)
    return data[:stop] + data[start:stop] * dice.choice((1, 2, 10, 300)) + data[stop:]


def _splice(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    other = dice.choice(others) if others else data
    start, stop = _part(other or b"\0", dice)
    at = dice.randrange(len(data) + 1)
    return data[:at] + other[start:stop] + data[dice.choice((at, min(len(data), at + stop - start))) :]


def _lie(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    """Overwrite what may be a length, an offset or a count."""
    size = dice.choice((1, 2, 4, 8))
    at = dice.randrange(max(1, len(data) - size + 1))
    value = dice.choice(_EXTREMES) & (256**size - 1)
    return data[:at] + value.to_bytes(size, dice.choice(("big", "little"))) + data[at + size :]


def _number(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    """Replace a number that is written in digits."""
    found = list(re.finditer(rb"\d+", data[:LARGEST]))
    if not found:
        return _lie(data, dice, others)
    one = dice.choice(found)
    return data[: one.start()] + dice.choice(_NUMBERS) + data[one.end() :]


def _nest(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.choice(_NESTS) * dice.choice((1, 50, 5_000)) + data[at:]


def _word(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.choice(_WORDS) + data[at:]


def _noise(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    noise = dice.randbytes(dice.choice((1, 4, 100)))
    return data[:at] + noise + data[dice.choice((at, at + len(noise))) :]


_Blow = Callable[[bytes, Random, Sequence[bytes]], bytes]
_BLOWS: tuple[_Blow, ...] = (
    *(_flip, _flip, _cut, _drop, _swap, _repeat, _splice, _lie, _lie, _number, _number, _nest, _word, _noise),
)


def _part(data: bytes, dice: Random) -> tuple[int, int]:
    start = dice.randrange(len(data))
    return start, min(len(data), start + dice.choice((1, 2, 4, 16, 100, 2_000)))


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 127, 10**6, 2**31, 2**63, 2**70, 10**400, 0.0, 0.5, -0.5, 1e308, -1e308),
    *(float("nan"), float("inf"), -float("inf"), "", "x", "é\u202e\n\x1b[31m", "../../x", "0", "nan", "a" * 10_000),
    *([], {}, [None], [[]], [0] * 1000, {"a": {}}, {"": None}, [1, "x", None], ["a" * 5000]),
)


def odd_document(document: Any, dice: Random) -> Any:
    """Return a plain document with one to four of its values replaced, removed, doubled, moved or deepened."""
    made = copy.deepcopy(document)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        holder, key = _place(made, dice)
        if holder is None:
            return dice.choice(ODD_VALUES)
        match dice.randrange(8):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[dice.choice(("", "x", "name", "method", f"{key}s", "é\n", "a" * 3000))] = holder[key]
            case 2 if isinstance(holder, list):
                holder.extend([copy.deepcopy(holder[key])] * dice.choice((1, 100)))
            case 3:
                other, place = _place(made, dice)
                holder[key] = copy.deepcopy(other[place]) if other is not None else None
            case 4:
                for _ in range(dice.choice((1, 30, 2000))):
                    holder[key] = dice.choice(([holder[key]], {"a": holder[key]}))
            case 5 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
                holder[key] = dice.choice((-holder[key], holder[key] * 1000, holder[key] + 1, str(holder[key])))
            case _:
                holder[key] = copy.deepcopy(dice.choice(ODD_VALUES))
    return made


def _place(document: Any, dice: Random) -> tuple[Any, Any]:
    """Return a table or list in the document and one of its keys; (None, None) where there is none."""
    holder, key, here = None, None, document
    while isinstance(here, dict | list) and here and (holder is None or dice.random() < 0.75):
        holder = here
        key = dice.choice(list(here)) if isinstance(here, dict) else dice.randrange(len(here))
        here = here[key]
    return holder, key


def odd_json(data: bytes, dice: Random, others: Sequence[bytes] = ()) -> bytes:
    """Return JSON that says something else, or damaged JSON."""
    if dice.random() < 0.3:
        return damaged(data, dice, others)
    try:
        return json.dumps(odd_document(json.loads(data), dice)).encode()
    except RecursionError:
        return b"[" * 20_000
