"""Plays the first clip of a GLB by glTF's own rules, with nothing of what wrote it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from posetx.files.codecs.glb import encode_glb
from posetx.files.codecs.gltf import decode_gltf
from posetx.files.targets.gltf import GltfTarget


def keys(path: Path) -> np.ndarray:
    """The seconds (F,) of its keys."""
    gltf = decode_gltf(path.read_bytes(), path)
    sampler = gltf.document["animations"][0]["samplers"][0]
    return gltf.floats(sampler["input"]).ravel()


def played(path: Path, frame: int) -> np.ndarray:
    """The vertices (n, 3) in the world at one of the keys, in the file's order."""
    gltf = decode_gltf(path.read_bytes(), path)
    document = copy.deepcopy(gltf.document)
    animation = document["animations"][0]
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        values = gltf.floats(sampler["output"])
        rows = values.reshape(len(gltf.floats(sampler["input"])), -1)
        where = channel["target"]
        node = document["nodes"][where["node"]]
        assert "matrix" not in node
        node[where["path"]] = rows[frame].tolist()
    (buffer,) = gltf.buffers
    return GltfTarget(decode_gltf(encode_glb(document, buffer, []), path), path).vertices
