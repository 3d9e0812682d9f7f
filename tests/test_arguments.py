"""Arguments of public functions: checked and converted by what their annotations say."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from seqgan_music.arguments import AnyPath, checked
from seqgan_music.errors import ConfigError


class Song:
    """Something that has a class of its own."""


@checked(key="C major")
def ask(
    *paths: AnyPath,
    count: int = 1,
    share: float | None = None,
    keep: bool = True,
    critic: bool | int | None = None,
    key: str | None = None,
    bars: Iterable[int] = (),
    music: AnyPath | Song | Iterable[AnyPath | Song] = (),
    config: AnyPath | Mapping[str, Any] = "default",
    progress: Callable[[str], object] | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """Return what arrives."""
    return {name: value for name, value in locals().items() if value not in ((), None)}


def test_it_is_still_the_function_that_it_was() -> None:
    assert ask.__name__ == "ask"
    assert inspect.signature(ask).parameters["share"].annotation == "float | None"
    assert ask() == {"count": 1, "keep": True, "config": "default", "rest": {}}
    with pytest.raises(TypeError, match="positional"):
        checked()(lambda one: one)(1, 2)  # type: ignore[call-arg]


def test_what_arrives_is_what_the_annotation_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    song = Song()
    got = ask(
        "a.mid", PurePosixPath("~/b.mid"), count=np.uint8(3), share=Fraction(1, 4), keep=np.bool_(False), own=2
    )
    assert got["paths"] == (Path("a.mid"), Path("/home/me/b.mid"))
    assert [type(got[name]) for name in ("count", "share", "keep")] == [int, float, bool]
    assert (got["count"], got["share"], got["keep"], got["rest"]) == (3, 0.25, False, {"own": 2})
    assert ask(bars=(bar for bar in (1, 2)))["bars"] == (1, 2)
    assert ask(bars=np.array([3, 4]))["bars"] == (3, 4)
    assert ask(critic=True)["critic"] is True
    assert ask(critic=np.int64(4))["critic"] == 4
    assert ask(music="tune.mid")["music"] == Path("tune.mid")
    assert ask(music=["tune.mid", song])["music"] == (Path("tune.mid"), song)
    assert ask(config={"seed": 1})["config"] == {"seed": 1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"count": 1.0}, "count must be a whole number, not 1.0."),
        ({"count": True}, "count must be a whole number, not True."),
        ({"share": "a"}, "share must be a number, not 'a'."),
        ({"share": 10**400}, "share must be a number, not 10000"),
        ({"keep": 1}, "keep must be True or False, not 1."),
        ({"critic": "yes"}, "critic must be True or False or a whole number, not 'yes'."),
        ({"key": 3}, 'key must be text, as in key="C major", not 3.'),
        ({"bars": "1-4"}, "bars must be whole numbers, not '1-4'."),
        ({"bars": 4}, "bars must be whole numbers, not 4."),
        ({"bars": [1, None]}, "bars must be whole numbers, not None."),
        ({"bars": iter(range(10**9))}, "bars has more than 1,000,000 items."),
        ({"music": [Song(), []]}, "music must be a path (text or Path), a Song or several of these, not a list."),
        ({"music": b"tune.mid"}, "or several of these, not b'tune.mid'."),
        ({"music": ["a.mid", "b\0.mid"]}, "not 'b\\x00.mid'."),
        ({"config": 3}, "config must be a path (text or Path) or a mapping, not 3."),
        ({"config": ""}, "config is empty: give a path."),
        ({"config": "x" * 256}, "config has a name longer than any file's: 'xxxxxxxxx"),
        ({"progress": "print"}, "progress must be a function, not 'print'."),
    ],
)
def test_what_does_not_fit_is_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ask(**given)
    assert said in str(caught.value)
