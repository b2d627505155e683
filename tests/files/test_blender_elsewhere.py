"""FBX, BLEND and USD by the real Blender: what comes out is what was meant, and all else is there.

Blender is the `bpy` of PyPI in a Python of its own, which ``POSETX_BPY_PYTHON`` names.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from examples.make.rigged import Convention, write_skinned
from posetx.cli import app
from posetx.errors import PosetxError, UsageError
from posetx.files.codecs import blender as codec
from posetx.files.scans import read_scan
from posetx.files.targets import Target, read_target
from posetx.files.targets.gltf import GltfTarget
from posetx.files.targets.sidecars import check_others
from posetx.geometry.rig import Rig, RigPose
from posetx.system.blender import VARIABLE, find_blender
from tests.files.blender_made import PYTHON, blender, make, shown
from tests.pipeline.test_own_skeleton import HOW, of_body

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="POSETX_BPY_PYTHON names no Python with bpy"),
]

#: where Blender has a vertex and where it was meant to be, as a share of the size
SAME = 1e-4
GAME = Convention("game", root=True, twist=True, fingers=True, bone_axes=True, hat=True, parts=2)
Z_UP = Convention("z up", z_up=True, bone_axes=True)
#: what is made: from which convention, with what; Mixamo's is the first
CHARACTERS = {
    "mixamo.fbx": (HOW, "key lamp"),
    "game.blend": (GAME, "lamp subdivided held"),
    "up.usdz": (Z_UP, "lamp"),
}


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, PYTHON)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The characters, and a picture that they wear."""
    folder = tmp_path_factory.mktemp("made")
    Image.new("RGB", (32, 16), (200, 150, 120)).save(folder / "skin.png")
    for name, (how, more) in CHARACTERS.items():
        write_skinned(folder / "hero.glb", of_body(), how)
        make(folder / "hero.glb", folder / name, folder / "skin.png", more)
    return folder


def bent(target: Target) -> tuple[Rig, RigPose, np.ndarray]:
    """The target's skeleton with every joint turned, and where that puts its vertices."""
    rig, why = target.rig(np.ones(len(target.vertices), dtype=bool))
    assert rig is not None, why
    turns, shifts = rig.still.turns, rig.still.shifts
    angles = np.random.default_rng(0).normal(size=(int(rig.joints.sum()), 3)) * 0.2
    turns[rig.joints] = Rotation.from_rotvec(angles).as_matrix()
    size = np.ptp(target.vertices, axis=0).max()
    row = int(np.flatnonzero(rig.roots)[0])
    above = np.linalg.inv(rig.above(row, rig.worlds(rig.still)))
    shifts[row] = above @ np.array([0.1, 0.0, 0.05]) * size
    pose = RigPose(turns, shifts)
    places = rig.skinned(rig.worlds(pose))
    return rig, pose, np.where(rig.moved[:, None], places, target.vertices)


def near(found: dict, wanted: np.ndarray) -> None:
    """The same points, in whatever order formats have brought them, and no others."""
    every = np.concatenate(list(found["places"].values()))
    size = np.ptp(wanted, axis=0).max()
    for one, other in ((every, wanted), (wanted, every)):
        assert cKDTree(one).query(other)[0].max() < SAME * size


def plain(name: str) -> str:
    """A bone's name as a USD has it, without the number of a copy."""
    return re.sub(r"\W", "_", name)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *(("mixamo.fbx", suffix) for suffix in (".fbx", ".blend", ".usdc", ".usdz", ".glb")),
        *(("game.blend", suffix) for suffix in (".fbx", ".blend", ".usda", ".glb")),
        *(("up.usdz", suffix) for suffix in (".fbx", ".usdz")),
    ],
)
def test_a_posed_skeleton(folder: Path, tmp_path: Path, name: str, suffix: str) -> None:
    source, output = folder / name, tmp_path / f"out{suffix}"
    target = read_target(source)
    rig, pose, wanted = bent(target)
    notes = target.save_posed(output, wanted, rig, pose)
    assert not any("elsewhere" in note for note in notes), notes
    before, after = shown(source), shown(output)
    if suffix == ".glb":  # whose clip hides the pose in Blender
        written = read_target(output)
        y_up = wanted[:, [0, 2, 1]] * [1, 1, -1]
        near({"places": {"": written.vertices}}, y_up)
    else:
        near(after, wanted)
    assert set(map(plain, after["bones"])) == set(map(plain, before["bones"]))
    assert after["groups"] >= before["groups"]
    assert after["uvs"] == before["uvs"] and [32, 16] in after["pictures"]
    # 0.01, where the file has centimetres
    if suffix in (".fbx", ".blend", ".glb"):
        np.testing.assert_allclose(after["scales"], before["scales"], rtol=1e-4)
    assert after["keys"] == before["keys"]
    assert ("LIGHT" in after["objects"].values()) == ("LIGHT" in before["objects"].values())
    clips = bool(before["clips"]) and not suffix.startswith(".usd")
    assert bool(after["clips"]) == clips and (suffix == ".glb" or not after["active"])
    if suffix == ".blend" and name.endswith(".blend"):
        assert after["modifiers"] == before["modifiers"]
        assert any("constraints" in note and "LeftHand" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        *(("mixamo.fbx", suffix) for suffix in (".fbx", ".usdc", ".obj")),
        *(("game.blend", suffix) for suffix in (".blend", ".glb", ".obj")),
        ("up.usdz", ".usdz"),
    ],
)
def test_moved_vertices(folder: Path, tmp_path: Path, name: str, suffix: str) -> None:
    source, output = folder / name, tmp_path / f"out{suffix}"
    target = read_target(source)
    _, _, wanted = bent(target)
    notes = target.save(output, wanted)
    assert any("skinned" in note for note in notes) == (suffix != ".obj")
    after = shown(output)
    assert [32, 16] in after["pictures"]
    if suffix == ".glb":
        near({"places": {"": read_target(output).vertices}}, wanted[:, [0, 2, 1]] * [1, 1, -1])
    elif not (suffix == ".obj" and "subdivided" in CHARACTERS[name][1]):
        near(after, wanted)
    if suffix == ".obj":
        names = {p.name for p in tmp_path.iterdir()} - {"out.json"}
        assert names == {"out.obj", "out.mtl", "skin.png"}


@pytest.mark.parametrize("suffix", [".fbx", ".glb"])
def test_the_clip_still_plays(folder: Path, tmp_path: Path, suffix: str) -> None:
    """Half a second into it the arm is up, as before."""
    source, output = folder / "mixamo.fbx", tmp_path / f"out{suffix}"
    target = read_target(source)
    rig, pose, wanted = bent(target)
    target.save_posed(output, wanted, rig, pose)
    before, after = shown(source, 1, 13), shown(output, 1, 13)
    assert len(before["clips"]) == len(after["clips"]) > 0
    size = np.ptp(wanted, axis=0).max()
    assert np.abs(before["moving"][0] - before["moving"][1]).max() > 0.1 * size
    for one, other in zip(before["moving"], after["moving"], strict=True):
        assert cKDTree(one).query(other)[0].max() < 5e-4 * size
        assert cKDTree(other).query(one)[0].max() < 5e-4 * size


def test_an_fbx_keeps_its_axes_and_its_names(folder: Path, tmp_path: Path) -> None:
    """Again and again: no clip gets a longer name, no bone other axes."""
    source = folder / "mixamo.fbx"
    first, names = shown(source), []
    for number in range(2):
        target = read_target(source)
        rig, _, _ = bent(target)
        source = tmp_path / f"{number}.fbx"
        target.save_posed(source, target.vertices, rig, rig.still)
        found = shown(source)
        assert found["bones"] == first["bones"]
        np.testing.assert_allclose(found["rolls"], first["rolls"], atol=1e-4)
        near(found, target.vertices)
        names.append(found["clips"])
    assert names[0] == names[1]


@pytest.mark.parametrize("suffix", [".fbx", ".blend", ".usdz"])
def test_other_formats_become_blender_s(tmp_path: Path, suffix: str) -> None:
    """A skinned GLB in a pose, with its clip; and an OBJ, with its quads and picture."""
    write_skinned(tmp_path / "hero.glb", of_body(), HOW)
    target = read_target(tmp_path / "hero.glb")
    rig, pose, wanted = bent(target)
    target.save_posed(tmp_path / f"a{suffix}", wanted, rig, pose)
    found = shown(tmp_path / f"a{suffix}")
    near(found, wanted[:, [0, 2, 1]] * [1, -1, 1])
    assert bool(found["clips"]) == (suffix != ".usdz")
    example = read_target(Path(__file__).parents[2] / "examples" / "target.obj")
    example.save(tmp_path / f"b{suffix}", example.vertices)
    found = shown(tmp_path / f"b{suffix}")
    near(found, example.vertices[:, [0, 2, 1]] * [1, -1, 1])
    assert found["pictures"] and found["polygons"] < 0.6 * len(example.faces)


def test_a_mirrored_half_is_made_whole(folder: Path, tmp_path: Path) -> None:
    write_skinned(tmp_path / "hero.glb", of_body(), Convention("plain"))
    make(tmp_path / "hero.glb", tmp_path / "half.blend", folder / "skin.png", "half")
    target = read_target(tmp_path / "half.blend")
    assert any("mirror" in note for note in target.notes)
    left, right = (target.vertices[:, 0] * sign > 0.01 for sign in (1, -1))
    assert left.sum() == right.sum() > 1000
    wanted = target.vertices + [0, 0.5, 0] * left[:, None]
    target.save(tmp_path / "out.blend", wanted)
    found = shown(tmp_path / "out.blend")
    near(found, wanted)
    assert "MIRROR" not in found["modifiers"]


def test_meshes_that_share_their_data_come_apart(folder: Path, tmp_path: Path) -> None:
    write_skinned(tmp_path / "hero.glb", of_body(), Convention("plain"))
    make(tmp_path / "hero.glb", tmp_path / "two.blend", folder / "skin.png", "twice")
    target = read_target(tmp_path / "two.blend")
    figure = target.vertices[:, 0] < 1.5
    wanted = target.vertices + np.array([0, 0.3, 0]) * figure[:, None]
    target.save(tmp_path / "out.blend", wanted)
    near(shown(tmp_path / "out.blend"), wanted)


def test_a_clip_of_posetx_on_the_skeleton_of_an_fbx(folder: Path) -> None:
    """What `posetx animate` takes of it: the same figure, with its skeleton, as a GLB."""
    target = read_target(folder / "mixamo.fbx")
    own = target.for_clips()
    assert isinstance(own, GltfTarget)
    near({"places": {"": own.vertices}}, target.vertices[:, [0, 2, 1]] * [1, 1, -1])
    rig, why = own.rig(np.ones(len(own.vertices), dtype=bool))
    assert rig is not None and int(rig.joints.sum()) == 27, why


def test_an_fbx_is_a_scan(folder: Path) -> None:
    scan = read_scan(folder / "mixamo.fbx")
    assert scan.faces is not None and np.ptp(scan.points[:, 2]) > 1.5


def test_a_blender_program(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that takes a program's options, says what Blender says, and is `bpy`."""
    program = tmp_path / "blender"
    program.write_text(
        "#!/bin/sh\n[ $# = 6 ] && [ $5 = --python-expr ] || exit 9\necho Blender 4.5.0\n"
        f'exec {PYTHON} -c "$6"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    assert not find_blender().is_python
    target = read_target(folder / "mixamo.fbx")
    assert len(target.vertices) > 10000


SCRIPTED = """
import sys
import bpy

bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
text = bpy.data.texts.new("at_start.py")
text.write(f"open({sys.argv[3]!r}, 'a').write('script')")
text.use_module = True
part = next(o for o in bpy.data.objects if o.type == "MESH")
curve = part.driver_add("location", 2)
curve.driver.type = "SCRIPTED"
curve.driver.expression = f"len(str(open({sys.argv[3]!r}, 'a').write('driver')))"
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2])
"""


TRUSTING = """
import sys
import bpy

bpy.ops.wm.open_mainfile(filepath=sys.argv[1], use_scripts=True)
bpy.context.view_layer.update()
"""


def test_no_script_of_a_file_runs(folder: Path, tmp_path: Path) -> None:
    """As it would, were it trusted."""
    trace = tmp_path / "trace"
    blender(SCRIPTED, folder / "game.blend", tmp_path / "bad.blend", trace)
    blender(TRUSTING, tmp_path / "bad.blend")
    assert "script" in trace.read_text() and "driver" in trace.read_text()
    trace.unlink()
    target = read_target(tmp_path / "bad.blend")
    target.save(tmp_path / "out.blend", target.vertices)
    assert not trace.exists()


LINKING = """
import sys
import bpy

bpy.ops.wm.read_factory_settings(use_empty=True)
with bpy.data.libraries.load(sys.argv[1], link=True, relative=True) as (there, here):
    here.objects = there.objects
for o in here.objects:
    bpy.context.collection.objects.link(o)
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2])
# again, as links are relative to where the file is
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2], relative_remap=True)
"""


def test_meshes_of_other_files(folder: Path, tmp_path: Path) -> None:
    """Linked from elsewhere: refused; from beside: of another file, which is said."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "game.blend").write_bytes((folder / "game.blend").read_bytes())
    (inner / "game.blend").write_bytes((folder / "game.blend").read_bytes())
    blender(LINKING, tmp_path / "game.blend", inner / "out.blend")
    with pytest.raises(PosetxError, match=r"links .*game\.blend, which lies outside its folder"):
        read_target(inner / "out.blend")
    blender(LINKING, inner / "game.blend", inner / "in.blend")
    with pytest.raises(PosetxError, match="belong to other files"):
        read_target(inner / "in.blend")


PICTURED = """
import sys
import bpy

bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
for image in bpy.data.images:
    image.filepath = sys.argv[3]
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2], relative_remap=False)
"""


@pytest.mark.parametrize("suffix", [".fbx", ".glb", ".usdc", ".obj"])
def test_pictures_from_elsewhere_do_not_come_along(
    folder: Path, tmp_path: Path, suffix: str
) -> None:
    inner, out = tmp_path / "inner", tmp_path / "out"
    inner.mkdir()
    out.mkdir()
    secret = tmp_path / "secret.png"
    Image.effect_noise((64, 64), 90).save(secret)
    blender(PICTURED, folder / "game.blend", inner / "a.blend", secret)
    target = read_target(inner / "a.blend")
    notes = target.save(out / f"o{suffix}", target.vertices)
    assert any("secret.png" in n and "lies outside its folder" in n for n in notes), notes
    content = secret.read_bytes()[100:200]
    for path in out.rglob("*"):
        assert path.suffix != ".png" and (path.is_dir() or content not in path.read_bytes())
    assert not shown(out / f"o{suffix}")["pictures"]


def test_a_blend_still_names_its_pictures(folder: Path, tmp_path: Path) -> None:
    """They are beside the input, to which the result's names lead from another folder."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "skin.png").write_bytes((folder / "skin.png").read_bytes())
    blender(PICTURED, folder / "game.blend", inner / "a.blend", "//skin.png")
    target = read_target(inner / "a.blend")
    (tmp_path / "out").mkdir()
    target.save(tmp_path / "out" / "b.blend", target.vertices)
    assert shown(tmp_path / "out" / "b.blend")["pictures"] == [[32, 16]]


@pytest.mark.parametrize("suffix", [".obj", ".usdc", ".blend"])
@pytest.mark.parametrize("name", ["packed.fbx", "named.blend", "target.obj"])
def test_files_beside_a_result_are_known(
    folder: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    """Nothing else that a command writes may take their place, nor that of what they are of."""
    source = tmp_path / "in" / name
    source.parent.mkdir()
    (tmp_path / "out" / "textures").mkdir(parents=True)
    own = {source.with_name("skin.png")}
    if name == "packed.fbx":
        source.write_bytes((folder / "mixamo.fbx").read_bytes())
        own = set()
    elif name == "named.blend":
        (source.parent / "skin.png").write_bytes((folder / "skin.png").read_bytes())
        blender(PICTURED, folder / "game.blend", source, "//skin.png")
    else:
        write_obj_of_skin(source, folder / "skin.png")
    target, output = read_target(source), tmp_path / "out" / f"o{suffix}"
    beside = target.beside(output)
    assert own <= beside and output not in beside
    if name == "named.blend":
        assert own <= target.for_clips().beside(tmp_path / "out" / "o.glb")
    target.save(output, target.vertices)
    written = {path for path in output.parent.rglob("*") if path.is_file()} - {output}
    assert bool(written) == (suffix != ".blend")
    for path in written:
        with pytest.raises(UsageError, match="is a file of the target's; choose another `preview`"):
            check_others(beside, {"preview": path})
    check_others(beside, {"preview": output.with_name("other.png")})


def write_obj_of_skin(path: Path, picture: Path) -> None:
    path.with_name("skin.png").write_bytes(picture.read_bytes())
    path.with_name("skin.mtl").write_text("newmtl skin\nmap_Kd skin.png\n")
    lines = ["mtllib skin.mtl", "v 0 0 0", "v 1 0 0", "v 0 1 0", "v 0 0 1"]
    lines += ["vt 0 0", "vt 1 0", "vt 0 1", "usemtl skin"]
    path.write_text("\n".join([*lines, "f 1/1 2/2 3/3", "f 1/1 3/2 4/3"]) + "\n")


@pytest.mark.parametrize(
    ("output", "preview"), [("o.obj", "skin.png"), ("o.usda", "textures/skin.png")]
)
def test_a_preview_in_the_place_of_a_texture_is_refused(
    folder: Path, tmp_path: Path, output: str, preview: str
) -> None:
    (tmp_path / "textures").mkdir()
    np.save(tmp_path / "scan.npy", np.random.default_rng(0).normal(size=(2000, 3)))
    words = ["transfer", "scan.npy", folder / "mixamo.fbx", "-o", output, "--preview", preview]
    where = [word if word in words[:1] or str(word)[0] in "-/" else tmp_path / word
             for word in words]  # fmt: skip
    run = CliRunner().invoke(app, list(map(str, where)))
    assert run.exit_code == 2 and "choose another --preview" in run.stderr, run.output
    assert {path.name for path in tmp_path.rglob("*")} == {"textures", "scan.npy"}


def test_layers_of_a_usd_from_elsewhere_are_refused(folder: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    target = read_target(folder / "up.usdz")
    target.save(tmp_path / "secret.usda", target.vertices)
    target.save(inner / "own.usda", target.vertices)
    for name, fine in (("../secret.usda", False), ("own.usda", True)):
        text = f'#usda 1.0\ndef Xform "a" (\n    references = @{name}@</root>\n)\n{{\n}}\n'
        (inner / "a.usda").write_text(text)
        if fine:
            found = read_target(inner / "a.usda")
            assert len(found.vertices) == len(target.vertices)
            assert inner / "own.usda" in found.beside(tmp_path / "o.usda")
        else:
            with pytest.raises(PosetxError, match=r"secret\.usda as well, which lies outside"):
                read_target(inner / "a.usda")


@pytest.mark.parametrize("name", [*CHARACTERS, "up.usdc", "up.usda"])
def test_damaged_files_are_one_line(folder: Path, tmp_path: Path, name: str) -> None:
    if not (folder / name).exists():
        target = read_target(folder / "up.usdz")
        target.save(folder / name, target.vertices)
    data = (folder / name).read_bytes()
    path = tmp_path / name
    noise = np.random.default_rng(0)
    damaged = [data[: len(data) // 2], data[:200]]
    for _ in range(2):
        changed = bytearray(data)
        for at in noise.integers(30, len(data), 60).tolist():
            changed[at] = int(noise.integers(256))
        damaged.append(bytes(changed))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            read_target(path)
        except PosetxError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            refused += 1
    assert refused >= 1


def test_a_hang_in_blender_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "SECONDS", 0.1)
    monkeypatch.setattr(codec, "SECONDS_PER_MEGABYTE", 0.0)
    with pytest.raises(PosetxError, match="did not end within"):
        read_target(folder / "mixamo.fbx")
