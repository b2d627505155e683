"""Images as a page holds them: what browsers show, no larger than a screen needs."""

from __future__ import annotations

import base64
import io
import warnings

from PIL import Image

#: Formats that every browser shows, by Pillow's names.
SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}

#: Pixels of the longer side, and bytes, up to which an image stays as it is.
LARGEST_SIDE, LARGEST_BYTES = 2048, 1_500_000


def page_image(data: bytes) -> dict[str, str] | None:
    """An image as the page has it, kind and base64; None for what is no image that can be read.

    Large ones are made smaller, formats that browsers do not know are made PNG or JPEG.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of an image that unpacks beyond belief
            image = Image.open(io.BytesIO(data))
            small = max(image.size) <= LARGEST_SIDE and len(data) <= LARGEST_BYTES
            if not (small and image.format in SHOWN):
                data, kind = _smaller(image)
            else:
                image.load()
                kind = SHOWN[str(image.format)]
    except Exception:  # Pillow's decoders raise whatever they like at damaged files
        return None
    return {"kind": kind, "data": base64.b64encode(data).decode("ascii")}


def _smaller(image: Image.Image) -> tuple[bytes, str]:
    """The image's bytes and kind, at most `LARGEST_SIDE` wide and high."""
    clear = "A" in image.getbands() or "transparency" in image.info
    image = image.convert("RGBA" if clear else "RGB")
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if clear:
        image.save(stream, format="PNG", optimize=True)
        return stream.getvalue(), SHOWN["PNG"]
    image.save(stream, format="JPEG", quality=88)
    return stream.getvalue(), SHOWN["JPEG"]
