"""Whether a library works here, found out by importing it in a child process.

Native libraries that do not suit the machine crash or hang on import, so asking in this process
could end it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata

from posetx.errors import MissingError
from posetx.system.blender import INSTALL, find_blender

#: A first import from a cold, slow disk takes most of a minute for torch.
TIMEOUT_SECONDS = 120

TORCH_DEVICES = (
    "import torch;"
    "n = torch.cuda.device_count() if torch.cuda.is_available() else 0;"
    "names = [f'cuda:{i} {torch.cuda.get_device_name(i)}' for i in range(n)];"
    "names += ['mps'] if torch.backends.mps.is_available() else [];"
    "print('DETAIL', ', '.join([*names, f'cpu ({torch.get_num_threads()} threads)']))"
)


@dataclass(frozen=True)
class Dependency:
    """A library and what to do about it."""

    name: str
    required: bool
    used_for: str
    #: What the child runs; importing it, if empty. A line `DETAIL …` it prints is kept.
    code: str = ""
    #: The extra of posetx that brings it, if it does not come by itself.
    extra: str = ""

    @property
    def install(self) -> str:
        extra = f"'posetx[{self.extra}]'" if self.extra else self.name
        return f"pip install {extra} ({self.used_for})"


DEPENDENCIES = [
    Dependency("torch", True, "the network", TORCH_DEVICES),
    Dependency("numpy", True, "arrays"),
    Dependency("scipy", True, "cleaning, sampling", "import scipy.spatial"),
    Dependency("safetensors", True, "reading weights", "import safetensors.torch"),
    Dependency("trimesh", True, "reading and writing meshes"),
    Dependency("robust_laplacian", True, "detail restoration"),
    Dependency("cholespy", True, "detail restoration"),
    Dependency("pyvista", False, "pictures: --preview"),
    Dependency("pymeshlab", False, "files: DAE, 3DS, X3D, WRL, 3MF and CTM", extra="formats"),
    Dependency("anny", False, "making the body model's cache anew", extra="train"),
    Dependency("laspy", False, "scans: LAS and LAZ", extra="scanners"),
    Dependency("lazrs", False, "scans: LAZ", extra="scanners"),
    Dependency("pye57", False, "scans: E57", extra="scanners"),
    Dependency("ray", False, "many machines: --engine ray", extra="ray"),
    Dependency("onnxscript", False, "networks as ONNX: models export", extra="onnx"),
    Dependency("onnxruntime", False, "networks as ONNX: models export", extra="onnx"),
]

#: Shared libraries that wheels expect of the system: part of the name -> Debian package.
SYSTEM_LIBRARIES = {
    "libGL.so": "libgl1",
    "libEGL": "libegl1",
    "libgomp": "libgomp1",
    "libX11": "libx11-6",
    "libXrender": "libxrender1",
    "libSM": "libsm6",
    "libICE": "libice6",
    "libOpenGL": "libopengl0",
}


@dataclass(frozen=True)
class Finding:
    """What came of trying one dependency."""

    dependency: Dependency
    #: `ok`, `missing` or `fails`.
    state: str
    version: str = ""
    seconds: float = 0.0
    detail: str = ""
    trouble: str = ""
    hint: str = ""


def probe(dependency: Dependency, timeout: float = TIMEOUT_SECONDS) -> Finding:
    """Imports one library in a child process."""
    try:
        version = metadata.version(dependency.name)
    except metadata.PackageNotFoundError:
        return Finding(dependency, "missing", hint=dependency.install)
    start = time.monotonic()
    try:
        child = subprocess.run(
            [sys.executable, "-c", dependency.code or f"import {dependency.name}"],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        trouble = f"not imported after {timeout:.0f} s"
        return Finding(dependency, "fails", version, timeout, "", trouble, advise(dependency, ""))
    seconds = round(time.monotonic() - start, 2)
    if child.returncode == 0:
        detail = [line for line in child.stdout.splitlines() if line.startswith("DETAIL ")]
        return Finding(dependency, "ok", version, seconds, "".join(detail)[len("DETAIL ") :])
    trouble = last_line(child.stderr)
    if child.returncode < 0:
        trouble = f"crashes on import (signal {-child.returncode})"
    return Finding(
        dependency, "fails", version, seconds, "", trouble, advise(dependency, child.stderr)
    )


#: Blender, which is a program as well as a library.
BLENDER = Dependency("blender", False, "files: FBX, BLEND, USD", extra="blender")


def probe_blender(timeout: float = TIMEOUT_SECONDS) -> Finding:
    """Asks the Blender that would be used for its version."""
    try:
        blender = find_blender()
    except MissingError as error:
        return Finding(BLENDER, "missing", hint=str(error))
    start = time.monotonic()
    try:
        version = blender.version(timeout)
    except subprocess.TimeoutExpired:
        return Finding(BLENDER, "fails", trouble=f"{blender.path} says nothing", hint=INSTALL)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(BLENDER, "fails", trouble=f"{blender.path}: {error}", hint=INSTALL)
    return Finding(BLENDER, "ok", version, round(time.monotonic() - start, 2), blender.path)


def last_line(text: str) -> str:
    """Of a traceback, the line that says it."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "fails without a word"


def advise(dependency: Dependency, stderr: str) -> str:
    """What to do about a library that is installed and does not import."""
    for part, package in SYSTEM_LIBRARIES.items():
        if part in stderr:
            advice = f"apt-get install {package}"
            break
    else:
        advice = f"pip install --force-reinstall {dependency.name}"
    if dependency.required:
        return advice
    return f"{advice}; posetx works without it ({dependency.used_for})"
