"""What callers of the library give: checked against what each argument's annotation says, and made exactly that.

Numbers of numpy become Python's, `~` in a path the home folder, what can be gone through once a tuple. What an
argument cannot be is a `ConfigError` of one line that names it. Bounds are checked where they are known.
"""

from __future__ import annotations

import inspect
import os
import reprlib
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, ParamSpec, TypeAlias, TypeVar, Union

import numpy as np

from seqgan_music.errors import ConfigError

AnyPath: TypeAlias = str | os.PathLike[str]
"""A path as callers give it; the function gets a `Path`."""

P = ParamSpec("P")
R = TypeVar("R")

_MOST = 1_000_000  # items of one argument
_LONGEST_NAME = 255  # bytes, on every common file system
_NAMES: dict[Any, tuple[str, str]] = {
    bool: ("True or False", ""),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
    os.PathLike: ("a path (text or Path)", "paths"),
    Callable: ("a function", "functions"),
    Mapping: ("a mapping", "mappings"),
}
_TOLD = (str, bytes, Real, bool, type(None))
"""Whose values an error shows; of anything else it says what it is."""


class _UnfitError(Exception):
    """Raised with what does not fit, which may be an item of what was given, and perhaps with why not."""

    def __init__(self, item: Any, why: str = "") -> None:
        super().__init__(item)
        self.item, self.why = item, why


def checked(**examples: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a function's arguments checked and converted by their annotations.

    `examples` are texts that an argument may be, for errors. Raises ConfigError when the function is called.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            for name, value in bound.arguments.items():
                parameter = signature.parameters[name]
                if parameter.annotation is parameter.empty or parameter.kind is parameter.VAR_KEYWORD:
                    continue
                hint = _evaluated(function, parameter.annotation)
                if parameter.kind is parameter.VAR_POSITIONAL:
                    bound.arguments[name] = tuple(_taken(name, hint, item, examples) for item in value)
                else:
                    bound.arguments[name] = _taken(name, hint, value, examples)
            return function(*bound.args, **bound.kwargs)

        return call

    return decorated


def _evaluated(function: Callable[..., Any], annotation: Any) -> Any:
    return eval(annotation, vars(sys.modules[function.__module__])) if isinstance(annotation, str) else annotation


def _taken(name: str, hint: Any, value: Any, examples: Mapping[str, str]) -> Any:
    """Return a value as its function wants it. Raises ConfigError."""
    try:
        return _fitted(hint, value)
    except _UnfitError as error:
        example = f', as in {name}="{examples[name]}"' if name in examples else ""
        why = error.why or f"must be {_described(hint)}{example}, not {_shown(error.item)}"
        raise ConfigError(f"{name} {why}.") from None


def _fitted(hint: Any, value: Any) -> Any:
    """Return a value as the type says. Raises _UnfitError."""
    origin = typing.get_origin(hint) or hint
    if origin in (Union, UnionType):
        return _one_of(_options(hint), value)
    if origin is Any:
        return value
    if origin in (int, float):
        return _number(origin, value)
    if origin is os.PathLike:
        return _path(value)
    if _is_many(hint):
        return _several(typing.get_args(hint)[0], value)
    if origin is bool and isinstance(value, np.bool_):
        return bool(value)
    if not (callable(value) if origin is Callable else isinstance(value, origin)):
        raise _UnfitError(value)
    return value


def _number(kind: Any, value: Any) -> int | float:
    if not isinstance(value, Integral if kind is int else Real) or isinstance(value, bool):
        raise _UnfitError(value)
    try:
        number: int | float = kind(value)
    except OverflowError:
        raise _UnfitError(value) from None
    return number


def _one_of(options: list[Any], value: Any) -> Any:
    unfit = _UnfitError(value)
    for option in options:
        try:
            return _fitted(option, value)
        except _UnfitError as error:
            if error.why or error.item is not value:
                unfit = error  # an item tells more
    raise unfit


def _several(hint: Any, value: Any) -> tuple[Any, ...]:
    """Return the items of anything but text and mappings."""
    if isinstance(value, str | bytes | os.PathLike | Mapping):
        raise _UnfitError(value)
    try:
        items = tuple(islice(value, _MOST + 1))
    except TypeError:
        raise _UnfitError(value) from None
    if len(items) > _MOST:
        raise _UnfitError(value, f"has more than {_MOST:,} items")
    return tuple(_fitted(hint, item) for item in items)


def _path(value: Any) -> Path:
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or "\0" in text:
        raise _UnfitError(value)
    if not text:
        raise _UnfitError(value, "is empty: give a path")
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in text.split(os.sep)):
        raise _UnfitError(value, f"has a name longer than any file's: {reprlib.repr(text)}")
    return Path(os.path.expanduser(text))


def _options(hint: Any) -> list[Any]:
    """The types that a type allows: a union's, of which text is none where it stands for a path."""
    if (typing.get_origin(hint) or hint) not in (Union, UnionType):
        return [hint]
    options = list(typing.get_args(hint))
    paths = any(typing.get_origin(option) is os.PathLike for option in options)
    return [option for option in options if not (paths and option is str)]


def _described(hint: Any) -> str:
    """Return what a type is for people: "a path, a Piece or several of these"; None goes without saying."""
    options = [option for option in _options(hint) if option is not type(None)]
    single = [_name(option) for option in options if not _is_many(option)]
    many = [_names(typing.get_args(option)[0]) for option in options if _is_many(option)]
    *words, last = single + (["several of these"] if single and many else many)
    return f"{', '.join(words)} or {last}" if words else last


def _name(hint: Any) -> str:
    origin = typing.get_origin(hint) or hint
    return _NAMES[origin][0] if origin in _NAMES else f"a {origin.__name__}"


def _names(hint: Any) -> str:
    origin = typing.get_origin(hint) or hint
    return _NAMES[origin][1] if origin in _NAMES else f"several of these: {_described(hint)}"


def _is_many(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Iterable) and origin is not Mapping


def _shown(value: Any) -> str:
    if isinstance(value, _TOLD):
        return reprlib.repr(value)
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
