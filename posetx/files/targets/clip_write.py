"""A target with a clip, as one GLB: by a skeleton, its own or a new one, or by morph targets.

Whatever format the target came in, all that it wears is in the file: a glTF is changed as little as
a clip needs, and others become a GLB first, as :mod:`posetx.files.targets.dressed` makes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.arrays import Indices
from posetx.errors import PosetxError, UsageError
from posetx.files.codecs.gltf import decode_gltf
from posetx.files.dress import Dress
from posetx.files.targets.base import Target
from posetx.files.targets.clip import Clip, MorphClip, RigClip
from posetx.files.targets.dressed_glb import glb_and_rows
from posetx.files.targets.gltf import GltfTarget
from posetx.files.targets.gltf_morphs import add_morphs
from posetx.files.targets.gltf_rig_clip import add_rig_clip
from posetx.files.targets.gltf_skeleton import add_skeleton

SUFFIX = ".glb"


def check_clip_suffix(path: Path) -> None:
    """Refuse an animated target's file that is no GLB. Raises UsageError."""
    if path.suffix.lower() != SUFFIX:
        raise UsageError(f"{path}: an animated target is written as {SUFFIX}; name it so")


def write_clip(path: Path, target: Target, clip: Clip) -> list[str]:
    """Write the target with the clip, whole or not at all, over what is there.

    The clip is the first of the file's, which is what viewers play.

    Returns
    -------
    what a user should know of how it was written, a line each

    Raises
    ------
    UsageError : the path is not of a GLB
    PosetxError : the target's file is damaged, or the output cannot be written
    """
    check_clip_suffix(path)
    gltf, rows, notes = as_gltf(target)
    if isinstance(clip, MorphClip):
        return notes + gltf.save_edited(path, lambda edit: add_morphs(edit, gltf, rows, clip))
    if isinstance(clip, RigClip):
        return notes + gltf.save_edited(path, lambda edit: add_rig_clip(edit, clip))
    return notes + gltf.save_edited(path, lambda edit: add_skeleton(edit, gltf, rows, clip))


def as_gltf(target: Target) -> tuple[GltfTarget, Indices, list[str]]:
    """The target as a glTF, which of its vertices each of the glTF's is (k,), and notes."""
    if isinstance(target, GltfTarget):
        return target, np.arange(len(target.vertices)), []
    notes: list[str] = []
    dress = None
    try:
        dress = target.dress(target.vertices)
    except PosetxError as error:  # what it wears is damaged, the mesh is not
        notes.append(str(error))
    dress = dress or Dress()
    data, told, rows = glb_and_rows(target.vertices, target.faces, dress)
    name = target.path.with_suffix(SUFFIX)
    gltf = GltfTarget(decode_gltf(data, name), name)
    return gltf, rows, [*notes, *dress.notes, *told]
