"""Damage to files: bytes, words of a text, fields of a protobuf. All of it follows from a generator."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

_NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    64,
    127,
    128,
    255,
    256,
    4096,
    32767,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
_WIDE = (2**33, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_TOKEN = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|[A-Za-z_][\w.$]*|\"[^\"]*\"|\s+|.", re.DOTALL)
_NUMBER = re.compile(rb"-?\d")


def damage_bytes(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One to six changes; never empty-handed, but two changes may undo each other."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        _BYTE_CHANGES[rng.randrange(len(_BYTE_CHANGES))](out, rng, others)
    return bytes(out)


def _place(out: bytearray, rng: random.Random) -> int:
    # The start of a file decides most.
    end = len(out) if rng.random() < 0.7 else min(len(out), 256)
    return rng.randrange(end) if end else 0


def _flip(out: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    if out:
        out[_place(out, rng)] ^= 1 << rng.randrange(8)


def _set_byte(out: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    if out:
        out[_place(out, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _set_word(out: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    size = rng.choice((2, 4, 8))
    place = _place(out, rng) // size * size if rng.random() < 0.8 else _place(out, rng)
    if place + size <= len(out):
        old = int.from_bytes(out[place : place + size], "little")
        value = rng.choice(
            (*_NUMBERS, *_WIDE, old + 1, old - 1, old * 2, old ^ (1 << rng.randrange(8 * size)))
        )
        out[place : place + size] = (value % 256**size).to_bytes(size, "little")


def _cut(out: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    start = _place(out, rng)
    del out[start : start + rng.choice((1, 2, 4, 8, rng.randrange(1, 257)))]


def _shorten(out: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    del out[_place(out, rng) :]


def _insert(out: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    start = _place(out, rng)
    out[start:start] = rng.randbytes(rng.choice((1, 2, 4, 8, 40)))


def _repeat(out: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    start, size, target = _place(out, rng), rng.choice((1, 4, 8, 16, 64, 200)), _place(out, rng)
    part = bytes(out[start : start + size])
    if rng.random() < 0.5:
        out[target:target] = part
    else:
        out[target : target + len(part)] = part


def _graft(out: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    if others and out:
        other = rng.choice(others)
        start, size, target = _place(bytearray(other), rng), rng.randrange(1, 257), _place(out, rng)
        out[target : target + size] = other[start : start + size]


_BYTE_CHANGES: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    _flip, _flip, _set_byte, _set_byte, _set_word, _set_word, _set_word, _cut, _shorten, _insert,
    _repeat, _graft,
)  # fmt: skip


def damage_text(text: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Other numbers and words in place of some, lines twice, missing or exchanged; sometimes plain bytes."""
    if rng.random() < 0.1:
        return damage_bytes(text, rng, others)
    # Only a window is taken into words: a text can be long.
    start = rng.randrange(max(1, len(text) - 2000)) if len(text) > 2000 else 0
    head, middle, tail = text[:start], text[start : start + 2000], text[start + 2000 :]
    tokens = _TOKEN.findall(middle)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not tokens:
            break
        solid = [i for i, token in enumerate(tokens) if not token.isspace()] or [0]
        at = rng.choice(solid)
        kind = rng.random()
        if kind < 0.35:
            numbers = [i for i in solid if _NUMBER.match(tokens[i])]
            if numbers:
                value = rng.choice(
                    (*_NUMBERS, *_WIDE, *(-n for n in _NUMBERS), 1.5, "nan", "1e400", "0x7fc00000")
                )
                tokens[rng.choice(numbers)] = str(value).encode()
        elif kind < 0.5:
            del tokens[at]
        elif kind < 0.65:
            tokens.insert(at, tokens[rng.choice(solid)])
        elif kind < 0.8:
            tokens[at] = tokens[rng.choice(solid)]
        elif kind < 0.9 and others:
            foreign = _TOKEN.findall(rng.choice(others)[:4000])
            tokens[at] = rng.choice(foreign) if foreign else b""
        else:
            lines = b"".join(tokens).split(b"\n")
            first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
            change = rng.randrange(3)
            if change == 0:
                lines.insert(first, lines[second])
            elif change == 1:
                lines[first], lines[second] = lines[second], lines[first]
            else:
                del lines[first]
            tokens = _TOKEN.findall(b"\n".join(lines))
    return head + b"".join(tokens) + tail


def damage_message(message: Any, rng: random.Random) -> None:
    """Change one to four fields of a protobuf message, anywhere in it."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        part = message
        while True:
            children = [
                child
                for field, value in part.ListFields()
                if field.message_type is not None
                for child in (value if _repeated(field) else [value])
            ]
            if not children or rng.random() < 0.25:
                break
            part = rng.choice(children)
        _damage_field(part, rng)


def _repeated(field: Any) -> bool:
    return bool(getattr(field, "is_repeated", None) if hasattr(field, "is_repeated") else field.label == 3)


def _damage_field(part: Any, rng: random.Random) -> None:
    # Mostly fields that are there; one of the others makes unions hold two things.
    fields = [field for field, _ in part.ListFields()] or list(part.DESCRIPTOR.fields)
    if rng.random() < 0.15:
        fields = list(part.DESCRIPTOR.fields)
    field = rng.choice(fields)
    value = getattr(part, field.name)
    if _repeated(field):
        size = len(value)
        kind = rng.randrange(4)
        if kind == 0 and size:
            del value[rng.randrange(size)]
        elif field.message_type is not None:
            if size:
                value.add().CopyFrom(value[rng.randrange(size)])
            else:
                value.add()
        elif kind == 1 or not size:
            value.append(_scalar(field, None, rng))
        else:
            at = rng.randrange(size)
            value[at] = _scalar(field, value[at], rng)
    elif field.message_type is not None:
        if rng.random() < 0.5:
            part.ClearField(field.name)
        else:
            getattr(part, field.name).SetInParent()
    elif rng.random() < 0.2:
        part.ClearField(field.name)
    else:
        setattr(part, field.name, _scalar(field, value, rng))


def _scalar(field: Any, old: Any, rng: random.Random) -> Any:
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return damage_bytes(bytes(old or b"\0\0\0\0"), rng)
        words = ("", "x", "y", "Conv", "ai.onnx", "%", '"', "\n", "a" * 300, "é", "../x", "\0")
        return rng.choice((*words, f"{old}{old}", str(old)[: len(str(old)) // 2]))
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice(
            (0.0, -0.0, 1.0, -1.0, 1e38, -1e38, 1e-45, float("inf"), float("-inf"), float("nan"), 0.5)
        )
    if kind == field.CPPTYPE_BOOL:
        return not old
    if kind == field.CPPTYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    old = int(old or 0)
    signed = kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64)
    bits = 64 if kind in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64) else 32
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    candidates = (
        *_NUMBERS,
        *_WIDE,
        *(-n for n in _NUMBERS),
        old + 1,
        old - 1,
        -old,
        2 * old,
        rng.randrange(30),
    )
    return rng.choice([n for n in candidates if low <= n <= high])
