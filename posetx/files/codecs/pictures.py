"""Image files: which kind they are, what of them is see-through, and as what glTF can hold."""

from __future__ import annotations

import io
import warnings
from typing import Any

from posetx.files.dress import BLEND, MASK, OPAQUE

PNG, JPEG = "image/png", "image/jpeg"
#: First bytes, the kind, and the suffix of its files.
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", PNG, ".png"),
    (b"\xff\xd8\xff", JPEG, ".jpg"),
    (b"GIF8", "image/gif", ".gif"),
    (b"BM", "image/bmp", ".bmp"),
    (b"II*\0", "image/tiff", ".tif"),
    (b"MM\0*", "image/tiff", ".tif"),
    (b"\xabKTX 20\xbb\r\n\x1a\n", "image/ktx2", ".ktx2"),
    (b"DDS ", "image/vnd-ms.dds", ".dds"),
)
#: Of what is not wholly opaque, the share that may be half so where an image is one of holes with
#: edges made smooth, and not of glass or hair.
HALF = 0.1
#: The largest value of a byte.
FULL = 255
#: Pixels that any image may have, and further ones for a byte: those of faces pack to a tenth of a
#: byte, masks to a hundredth, and one colour alone to a thousandth.
FREE_PIXELS, PER_BYTE = 1 << 24, 400
#: A normal that stands up is (0.5, 0.5, 1): how blue images of them are in the mean, and by how
#: much more blue than red or green.
UP, APART = 0.7, 0.15
#: Of an image so many pixels wide and high that can be told.
SMALL = 64


def kind_of(data: bytes) -> tuple[str, str]:
    """The kind of an image by its first bytes, and the suffix of such files; "", "" of others."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp", ".webp"
    for first, kind, suffix in _KINDS:
        if data.startswith(first):
            return kind, suffix
    return "", ""


def png_or_jpeg(data: bytes) -> bytes | None:
    """The same bytes of PNG and JPEG, others made PNG; None of what is no image that can be read.

    What only begins as a PNG or a JPEG is none.
    """
    from PIL import Image

    kept = kind_of(data)[0] in (PNG, JPEG)
    try:
        with warnings.catch_warnings():
            # Of an image that unpacks beyond belief, which matters where it is unpacked.
            warnings.simplefilter("ignore" if kept else "error")
            image = _opened(data)
            if kept:
                return data
            clear = "A" in image.getbands() or "transparency" in image.info
            stream = io.BytesIO()
            image.convert("RGBA" if clear else "RGB").save(stream, format="PNG")
            return stream.getvalue()
    except Image.DecompressionBombError:
        return data if kept else None
    except Exception:  # Pillow's decoders raise whatever they like at damaged files
        return None


def transparency(data: bytes) -> str:
    """How an image's own opacity is to be drawn: OPAQUE, MASK or BLEND; OPAQUE of damaged ones."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = _opened(data)
            if "A" not in image.getbands() and "transparency" not in image.info:
                return OPAQUE
            shares = image.convert("RGBA").getchannel("A").histogram()
    except Exception:
        return OPAQUE
    clear, half = sum(shares[:255]), sum(shares[1:255])
    if not clear:
        return OPAQUE
    return MASK if half <= HALF * clear else BLEND


def with_opacity(color: bytes | None, opacity: bytes) -> bytes | None:
    """A PNG of an image's colours, white without one, as see-through as another image says.

    That is its own opacity where it has some, else how light it is. It has the size of the first
    one. None where one of them is no image that can be read, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            other = _opened(opacity)
            shares = other.convert("RGBA").getchannel("A")
            if shares.getextrema()[0] == FULL:
                shares = other.convert("L")
            image = _opened(color).convert("RGB") if color is not None else _white(other.size)
            image.putalpha(shares if shares.size == image.size else shares.resize(image.size))
            stream = io.BytesIO()
            image.save(stream, format="PNG")
            return stream.getvalue()
    except Exception:
        return None


def holds_normals(data: bytes) -> bool:
    """Whether an image has directions, most of them out of the surface, and not heights."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = _opened(data).convert("RGB")
            image.thumbnail((SMALL, SMALL))
    except Exception:
        return False
    red, green, blue = (sum(i * n for i, n in enumerate(band.histogram())) / sum(band.histogram())
                        for band in image.split())  # fmt: skip
    return bool(blue > UP * FULL and blue > max(red, green) + APART * FULL)


def _white(size: tuple[int, int]) -> Any:
    from PIL import Image

    return Image.new("RGB", size, (FULL, FULL, FULL))


def _opened(data: bytes) -> Any:
    from PIL import Image  # here, because its start-up time is felt

    image = Image.open(io.BytesIO(data))
    if image.width * image.height > FREE_PIXELS + PER_BYTE * len(data):
        raise Image.DecompressionBombError
    return image
