"""Files that another file names: buffers, materials, textures. The one gate they go through.

A mesh from somewhere must not make posetx read or copy what is no part of it. Only regular files
at or below the folder of the file that names them will do, of the kinds that it may name, and not
hidden; links count as what they lead to. Names are checked as they are meant, not as they are
spelt: whoever decodes percent signs does it before.
"""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

from posetx.errors import PosetxError

BUFFERS = (".bin", ".glbin")
MATERIALS = (".mtl",)
IMAGES = (
    ".png", ".jpg", ".jpeg", ".webp", ".ktx", ".ktx2", ".basis", ".dds", ".gif", ".bmp", ".tga",
    ".tif", ".tiff", ".hdr", ".exr", ".psd",
)  # fmt: skip


class NotBeside(PosetxError):
    """A name that is not followed; the message is why, as the end of a sentence."""


def relative_name(name: str, kinds: tuple[str, ...]) -> PurePosixPath:
    """The name as a path below a folder. Raises NotBeside for one that leads elsewhere."""
    pure = PurePosixPath(name.strip().strip('"').replace("\\", "/"))
    if not pure.parts or "\0" in name:
        raise NotBeside("is no file name")
    if pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0]:
        raise NotBeside("lies outside the folder")
    _check_kind(pure, kinds)
    return pure


def find_beside(folder: Path, name: str, kinds: tuple[str, ...]) -> Path:
    """The regular file, without links, that `name` means in a file that lies in `folder`.

    Raises NotBeside for whatever is none.
    """
    relative = relative_name(name, kinds)
    try:
        root = folder.resolve()
        found = (root / relative).resolve()
        mode = found.stat().st_mode
    except FileNotFoundError:
        raise NotBeside("is missing") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise NotBeside(f"cannot be looked at ({error})") from None
    if not found.is_relative_to(root):
        raise NotBeside("is a link that leads out of the folder")
    _check_kind(PurePosixPath(*found.relative_to(root).parts), kinds)
    if not stat.S_ISREG(mode):
        raise NotBeside("is not an ordinary file")
    return found


def _check_kind(path: PurePosixPath, kinds: tuple[str, ...]) -> None:
    if any(part.startswith(".") for part in path.parts):
        raise NotBeside("is a hidden file")
    if path.suffix.lower() not in kinds:
        raise NotBeside(f"is none of {' '.join(kinds)}")
