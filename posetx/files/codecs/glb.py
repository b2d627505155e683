"""GLB, the container of a glTF: its JSON, its binary chunk and the others."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from posetx.files.checks import problem, truncated

MAGIC, JSON_CHUNK, BIN_CHUNK = b"glTF", 0x4E4F534A, 0x004E4942


def glb_chunks(data: bytes, path: Path) -> tuple[bytes, bytes | None, list[tuple[int, bytes]]]:
    """The JSON, the binary chunk, and the others."""
    if len(data) < 20:
        raise truncated(path, "it ends within its header")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise problem(path, f"is glTF {version}, not 2", "export it again as glTF 2.0")
    if length > len(data):
        raise truncated(path, f"it has {len(data)} of {length} bytes")
    chunks, at = [], 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", data, at)
        if at + 8 + size > length:
            raise truncated(path, "a chunk reaches beyond the end of the file")
        chunks.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    if not chunks or chunks[0][0] != JSON_CHUNK:
        raise problem(path, "its first chunk is not JSON", "export it again")
    binary = chunks.pop(1)[1] if len(chunks) > 1 and chunks[1][0] == BIN_CHUNK else None
    return chunks[0][1], binary, chunks[1:]


def encode_glb(
    document: dict[str, Any], binary: bytes | bytearray, chunks: list[tuple[int, bytes]]
) -> bytes:
    """A .glb: the JSON, the binary chunk, and whatever other chunks there were."""
    parts = [(JSON_CHUNK, encode_json(document), b" ")]
    if len(binary):
        parts.append((BIN_CHUNK, bytes(binary), b"\0"))
    parts += [(kind, content, b"\0") for kind, content in chunks]
    body = b""
    for kind, content, filler in parts:
        content += filler * (-len(content) % 4)
        body += struct.pack("<II", len(content), kind) + content
    return MAGIC + struct.pack("<II", 2, 12 + len(body)) + body


def encode_json(document: dict[str, Any]) -> bytes:
    """The document as compact UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
