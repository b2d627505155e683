"""Damage to files: to any bytes, and aimed at what a reader of a format looks at."""

from __future__ import annotations

import copy
import gzip
import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from posetx.files.codecs.glb import encode_glb
from tests.files.test_scans import lzf

#: What stands in a JSON document instead of what should.
WRONG = [None, True, -1, 0, 0.5, 1e308, 2**31, 2**63, "", "x", "../x", "%2Fetc%2Fpasswd", "data:,",
         "data:;base64,!", [], {}, [0], [None], {"a": 1}, [[]], [1] * 100_000]  # fmt: skip
ODD = [b"-1", b"nan", b"1e999", b"99999999999", b"4294967295", b"\xff\xff\xff\xff", b"\0", b"//",
       b"\n", b"\\\n", b"{", b"[", b'"', b"null", b"#", b"-", b"", b"0" * 400]  # fmt: skip
#: What stands in a text instead of a word: counts, types, names of files, brackets.
WORDS = [b"-1", b"0", b"1", b"0.5", b"1e999", b"nan", b"2147483648", b"1000000000", b"9" * 30,
         b"float64", b"list", b"uchar", b"int64", b"F", b"U", b"../x", b"/etc/passwd", b"%2e%2e/x",
         b".x.mtl", b"a.png", b"{" * 300, b"}", b"[" * 300, b"(((", b"\xff\xfe", b"1,5", b"0x10",
         b"1//", b"1/2/3/4", b"True", b"'|O'", b"\\", b"Xposition", b"Zrotation"]  # fmt: skip
JSON = (".glb", ".gltf", ".vrm")
#: Files whose text ends where their numbers begin, after a line with this in it.
LAST_LINE = {".ply": b"end_header", ".pcd": b"DATA"}


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`data` cut, with flipped bytes, with odd tokens, with pieces doubled, swapped or gone."""
    generator = np.random.default_rng(seed)
    for step in range(count):
        out = bytearray(data)
        for _ in range(int(generator.integers(1, 4))):
            at = int(generator.integers(0, max(len(out), 1)))
            length = int(generator.integers(1, 20))
            kind = (step + int(generator.integers(0, 2))) % 6
            if kind == 0:
                del out[at:]
            elif kind == 1:
                for _ in range(length):
                    if out:
                        out[int(generator.integers(0, len(out)))] = int(generator.integers(0, 256))
            elif kind == 2:
                odd = ODD[int(generator.integers(0, len(ODD)))]
                out[at : at + len(odd) * int(generator.integers(0, 2))] = odd
            elif kind == 3:
                out[at:at] = out[at : at + length]
            elif kind == 4:
                del out[at : at + length]
            else:  # a digit becomes another: counts and indices go wrong while the form stays
                digits = [i for i, b in enumerate(out[:3000]) if 48 <= b <= 57]
                if digits:
                    out[digits[int(generator.integers(0, len(digits)))]] = int(
                        generator.integers(48, 58)
                    )
        yield bytes(out)


def aimed(name: str, data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`data` of a format with one or two things wrong that its reader looks at.

    Counts, types, offsets and names of files, nesting, what is in packed data.
    """
    suffix = Path(name).suffix
    if suffix == ".gz":
        for inner in words(gzip.decompress(data), count, seed):
            yield gzip.compress(inner, 1)
    elif suffix == ".npy":
        yield from npy(data, count, seed)
    elif suffix == ".npz":
        yield from npz(data, count, seed)
    elif suffix == ".pcd" and b"binary_compressed" in data:
        yield from packed_pcd(data, count, seed)
    elif suffix == ".stl" and not data.startswith(b"solid"):
        yield from stl(data, count, seed)
    elif suffix in (".glb", ".vrm"):
        yield from glb(data, count, seed)
    elif suffix == ".gltf":
        for document in spoilt(json.loads(data), count, seed):
            yield json.dumps(document).encode()
    else:
        yield from words(data, count, seed, end_of_text(data, suffix))


def end_of_text(data: bytes, suffix: str) -> int:
    """Where the binary part of a file begins."""
    last = LAST_LINE.get(suffix)
    return len(data) if last is None else data.index(b"\n", data.index(last)) + 1


def words(data: bytes, count: int, seed: int, end: int | None = None) -> Iterator[bytes]:
    """A text, up to `end`, with words and lines of it exchanged, gone or there too often."""
    generator = np.random.default_rng(seed)
    text, rest = (data, b"") if end is None else (data[:end], data[end:])
    pieces = re.split(rb"(\s+)", text)
    spots = [i for i, piece in enumerate(pieces) if piece.strip()]
    # the first lines say how the others are meant
    weights = 1 / (5 + np.arange(len(spots)))
    own = sorted({pieces[i] for i in spots})
    for _ in range(count):
        wrong = list(pieces)
        for _ in range(int(generator.integers(1, 3))):
            spot = spots[int(generator.choice(len(spots), p=weights / weights.sum()))]
            how = int(generator.integers(6))
            if how < 2:
                wrong[spot] = WORDS[int(generator.integers(len(WORDS)))]
            elif how == 2:
                wrong[spot] = own[int(generator.integers(len(own)))]
            elif how == 3:
                wrong[spot] = b""
            elif how == 4:
                some = b"".join(pieces[spot : spot + int(generator.integers(2, 12))])
                wrong[spot] = (some + b"\n") * int(generator.integers(2, 400))
            else:
                wrong[spot] += b"\n"
        yield b"".join(wrong) + rest


def npy(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """An array whose head says another shape, type or order, or has another version."""
    generator = np.random.default_rng(seed)
    (length,) = struct.unpack_from("<H", data, 8)
    head, rest = data[10 : 10 + length], data[10 + length :]
    spaced = re.sub(rb"([(){},:'])", rb" \1 ", head)
    for text in words(spaced, count, seed):
        version = bytes([int(generator.integers(1, 4)) if generator.random() < 0.2 else 1, 0])
        size = struct.pack("<H", len(text) % 2**16) if version[0] == 1 else struct.pack("<I", 2**31)
        yield data[:6] + version + size + text.replace(b" ", b"") + rest


def npz(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Archives of damaged arrays, packed; some that lie about sizes, names and the packing."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        array = archive.read(archive.namelist()[0])
    members = ("points", "normals", "faces")
    kinds = [mutations(array, count, seed), npy(array, count, seed)]
    generator = np.random.default_rng(seed)
    for step in range(count):
        stream = io.BytesIO()
        inner = next(kinds[step % 2])
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for at, member in enumerate(members):
                archive.writestr(f"{member}.npy", inner if step % 3 == at else array)
        out = bytearray(stream.getvalue())
        if step % 4 == 3:
            head = [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"][int(generator.integers(3))]
            at = out.index(head) + int(generator.integers(4, 30))
            out[min(at, len(out) - 1)] = int(generator.integers(256))
        yield bytes(out)


def packed_pcd(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Packed points of which the head, the sizes or the packed data lie."""
    end = end_of_text(data, ".pcd")
    packed, raw = struct.unpack_from("<II", data, end)
    body = data[end + 8 :]
    heads, inner = words(data, count, seed, end), mutations(body, count, seed + 1)
    generator = np.random.default_rng(seed)
    for step in range(count):
        if step % 3 == 0:
            yield next(heads)
        elif step % 3 == 1:
            wrong = next(inner)
            yield data[:end] + struct.pack("<II", len(wrong), raw) + wrong
        else:
            sizes = [packed, raw, 0, 1, raw - 1, 2**31, 2**32 - 1, 480 * 1000]
            one, other = (sizes[int(generator.integers(len(sizes)))] for _ in range(2))
            more = lzf(bytes(int(generator.integers(0, 2000))))
            yield data[:end] + struct.pack("<II", one, other) + body + more


def stl(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Binary triangles with another number of them, or with the first word of a text."""
    generator = np.random.default_rng(seed)
    (triangles,) = struct.unpack_from("<I", data, 80)
    for wrong in mutations(data[84:], count, seed):
        head = b"solid x".ljust(80) if generator.random() < 0.3 else data[:80]
        numbers = [0, 1, triangles - 1, triangles, triangles + 1, 2**31, 2**32 - 1]
        number = numbers[int(generator.integers(len(numbers)))]
        yield head + struct.pack("<I", number) + (wrong if generator.random() < 0.5 else data[84:])


def glb(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Values in the document exchanged; chunks that lie, are missing, doubled or turned about."""
    generator = np.random.default_rng(seed)
    length = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + length])
    chunk = data[28 + length :][: document["buffers"][0]["byteLength"]]
    first, second = data[12 : 20 + length], data[20 + length :]
    for step, wrong in enumerate(spoilt(document, count, seed)):
        if step % 4 < 3:
            yield encode_glb(wrong, chunk, [])
            continue
        parts = [
            [first], [second, first], [first, first, second], [first, second] * 3, [first, second],
        ][int(generator.integers(5))]  # fmt: skip
        out = bytearray(data[:12] + b"".join(parts))
        if generator.random() < 0.7:  # magic, version, length, the chunk's length, its kind
            at = 4 * int(generator.integers(1, 5))
            out[at : at + 4] = struct.pack(
                "<I", [0, 1, 2, 20, 2**31, 2**32 - 1][int(generator.integers(6))]
            )
        yield bytes(out)


def spoilt(document: Any, count: int, seed: int) -> Iterator[Any]:
    """Copies of a JSON document, each with one or two values spoilt."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        wrong = copy.deepcopy(document)
        for _ in range(int(generator.integers(1, 3))):
            spoil(wrong, generator)
        yield wrong


def spoil(document: Any, generator: np.random.Generator) -> None:
    """Replace, drop or double one value somewhere in a JSON document."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                walk(value[key])

    walk(document)
    if not places:
        return
    holder, key = places[int(generator.integers(len(places)))]
    how = int(generator.integers(8))
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, list):
        holder.extend([copy.deepcopy(holder[key])] * 50)
    elif how == 2:  # as deep as no document is
        for _ in range(300):
            holder[key] = [holder[key]]
    else:
        holder[key] = copy.deepcopy(WRONG[int(generator.integers(len(WRONG)))])


def huge_counts(data: bytes, binary: bool) -> Iterator[bytes]:
    """`data` with each number of its head, one at a time, far beyond what the file can hold."""
    for match in list(re.finditer(rb"\d+", data[:3000]))[:80]:
        for huge in (b"1000000000", b"4294967295", b"99999999999999999999"):
            yield data[: match.start()] + huge + data[match.end() :]
    if binary:
        for at in range(min(len(data) - 4, 400)):
            for huge in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\xca\x9a\x3b"):
                yield data[:at] + huge + data[at + 4 :]
