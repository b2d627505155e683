"""MTL, the material libraries of OBJ files: what is read of them, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from posetx.files.codecs.tokens import is_number

#: Texture options of MTL that take one value; -o, -s and -t take up to three numbers.
_ONE_VALUE = {
    "-blendu", "-blendv", "-boost", "-texres", "-clamp", "-bm", "-imfchan", "-type", "-cc",
}  # fmt: skip
_NUMBERS = {"-mm": 2, "-o": 3, "-s": 3, "-t": 3}
_TEXTURE_WORDS = re.compile(r"^(map_\w+|bump|disp|decal|refl|norm)$", re.IGNORECASE)
#: The numbers with which options that shift and scale an image do nothing.
_USUAL = {"-o": 0.0, "-t": 0.0, "-s": 1.0}
#: Letters of a line, at most: names of files have 4,096.
LONGEST_LINE = 1 << 14
#: Shininess, Ns, of a surface that is not rough at all: how Blender has it.
SHINIEST = 1000.0


@dataclass
class MtlEntry:
    """A material of a library; images are named from the library's folder.

    `color` is None where the file says nothing of it; `shine` is Ns. `normal_image` is what `norm`
    names, `bump_image` what `bump` does, heights or, in many files, normals as well; `bump` is how
    much of them counts. `lost` is what else it has.
    """

    name: str
    color: tuple[float, float, float] | None = None
    opacity: float = 1.0
    shine: float | None = None
    image: str = ""
    opacity_image: str = ""
    normal_image: str = ""
    bump_image: str = ""
    bump: float = 1.0
    lost: list[str] = field(default_factory=list)


def mtl_entries(text: str) -> Iterator[MtlEntry]:
    """Each material of a library; what stands before the first is none."""
    entry: MtlEntry | None = None
    for line in _lines(text):
        words = line.split()
        if len(words) < 2:
            continue
        if words[0] == "newmtl":
            if entry is not None:
                yield entry
            entry = MtlEntry(line.strip().split(None, 1)[1])
        elif entry is not None:
            _say(entry, words, line)
    if entry is not None:
        yield entry


def _lines(text: str) -> list[str]:
    """The lines, without those that are longer than any with a name of a file."""
    return [line for line in text.splitlines() if len(line) <= LONGEST_LINE]


def _say(entry: MtlEntry, words: list[str], line: str) -> None:
    """What one line says of a material."""
    word, values = words[0], words[1:4]
    numbers = [_share(float(value)) for value in values if is_number(value)]
    if word == "Kd" and len(numbers) == 3:
        entry.color = numbers[0], numbers[1], numbers[2]
    elif word in ("d", "Tr") and is_number(words[-1]):
        share = _share(float(words[-1]))  # the last word: `d -halo 0.5`
        entry.opacity = share if word == "d" else 1.0 - share
    elif word == "Ns" and is_number(words[1]):
        entry.shine = float(words[1])
    elif word == "Ke" and any(numbers):
        entry.lost.append("light of its own")
    elif word == "Ks" and any(numbers):
        entry.lost.append("the colour of highlights")
    elif word.lower() == "map_kd":
        entry.image = texture_name(line)
        if _laid_on(words):
            entry.lost.append("how a texture is shifted, scaled or cut")
    elif word.lower() == "map_d":
        entry.opacity_image = texture_name(line)
    elif word.lower() == "norm":
        entry.normal_image = texture_name(line)
    elif word.lower() in ("bump", "map_bump"):
        entry.bump_image = texture_name(line)
        entry.bump = _option(words, "-bm", entry.bump)
    elif _TEXTURE_WORDS.match(word):
        entry.lost.append("other textures than of colour and normals")


def _laid_on(words: list[str]) -> bool:
    """Whether a texture's options change how it is laid on."""
    for place, word in enumerate(words):
        values = list(takewhile(is_number, words[place + 1 : place + 4]))
        usual = _USUAL.get(word)
        if usual is not None and any(float(value) != usual for value in values):
            return True
    return "-clamp on" in " ".join(words)


def _option(words: list[str], name: str, otherwise: float) -> float:
    """The number after a texture's option."""
    after = words[words.index(name) + 1 :] if name in words else []
    return float(after[0]) if after and is_number(after[0]) else otherwise


def textures_named(text: str) -> list[str]:
    """The images of all kinds that a library names."""
    names = []
    for line in _lines(text):
        words = line.split()
        if len(words) < 2 or not _TEXTURE_WORDS.match(words[0]):
            continue
        if name := texture_name(line):
            names.append(name)
    return names


def texture_name(line: str) -> str:
    """The image's name in a line such as `map_Kd -s 1 1 1 a name.png`; "" if there is none."""
    words = line.split()
    at = 1
    while at < len(words) and (words[at] in _ONE_VALUE or words[at] in _NUMBERS):
        numbers = _NUMBERS.get(words[at])
        at += 1
        if numbers is None:
            at += 1
            continue
        for _ in range(numbers):
            if at + 1 < len(words) and is_number(words[at]):
                at += 1
    # Spaces inside the name stay as they stand in the line.
    return line[line.index(words[at], len(words[0])) :].strip() if at < len(words) else ""


def roughness(shine: float | None) -> float:
    """0 to 1, of a material's Ns."""
    if shine is None:
        return 1.0
    return float(1.0 - _share(shine / SHINIEST) ** 0.5)


def shine(rough: float) -> float:
    """Ns of a roughness, 0 to 1."""
    return float(SHINIEST * (1.0 - _share(rough)) ** 2)


def mtl_lines(entry: MtlEntry) -> list[str]:
    """The lines of a material whose name and images' names have no spaces."""
    red, green, blue = entry.color or (1.0, 1.0, 1.0)
    lines = [f"newmtl {entry.name}", f"Kd {red:.6g} {green:.6g} {blue:.6g}"]
    lines += [f"Ns {entry.shine or 0.0:.6g}", f"d {entry.opacity:.6g}"]
    if entry.image:
        lines.append(f"map_Kd {entry.image}")
    if entry.opacity_image:
        lines.append(f"map_d {entry.opacity_image}")
    if entry.normal_image:
        # The second is what Blender and others read normals from.
        lines.append(f"norm {entry.normal_image}")
        lines.append(f"map_Bump -bm {entry.bump:.6g} {entry.normal_image}")
    return lines


def _share(value: float) -> float:
    """Between 0 and 1, whatever it is."""
    return min(max(value, 0.0), 1.0) if value == value else 0.0
