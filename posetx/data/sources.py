"""Where training batches come from: synthetic bodies in poses, or the user's own meshes."""

from __future__ import annotations

from posetx.bodies.body import BodyModel
from posetx.data.folder import FolderStream, MeshFolder
from posetx.data.groups import GroupStream, MeshGroups
from posetx.data.poses import PoseBank
from posetx.data.stream import BodyStream, StreamSettings

PoseSource = PoseBank | MeshFolder | MeshGroups
Stream = BodyStream | FolderStream | GroupStream

#: what a run was begun with, by its stream
TOLD = {
    "BodyStream": "without `data`",
    "FolderStream": "with `data`",
    "GroupStream": "with `data` and `unsupervised`",
}


def make_stream(body: BodyModel, source: PoseSource, settings: StreamSettings, seed: int) -> Stream:
    """The batches that a run learns from."""
    if isinstance(source, MeshFolder):
        return FolderStream(source, settings, seed)
    if isinstance(source, MeshGroups):
        return GroupStream(source, settings, seed)
    return BodyStream(body, source, settings, seed)
