"""Blender in a process of its own: a program, or the module `bpy` in this or another Python.

It is never imported here: it may crash, prints a lot, and holds one scene for the whole process.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from posetx.errors import MissingError
from posetx.system.child import Ended
from posetx.system.paths import PACKAGE

VARIABLE = "POSETX_BLENDER"
"""Names a Blender program, or a Python that has `bpy`."""

INSTALL = (
    "pip install 'posetx[blender]' on Python 3.11, or install Blender and have `blender` on PATH, "
    f"or name it (or a Python with bpy) in {VARIABLE}"
)

#: What runs in the child. It knows posetx by its folder, not by a search path: what else lies
#: beside posetx is made for this Python, not for Blender's.
BEGIN = (
    "import sys, types; door = types.ModuleType('posetx'); door.__path__ = [{package!r}]; "
    "sys.modules['posetx'] = door; from posetx.files.blender.inside import main; main()"
)
#: Of a Blender program: nothing of the user's own settings, no script of a file, no network.
OPTIONS = ("--background", "--factory-startup", "--disable-autoexec", "-noaudio", "--python-expr")
#: What Blender's own settings, scripts and Python are found by.
FORGOTTEN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "DISPLAY", "WAYLAND_DISPLAY")


@dataclass(frozen=True)
class Blender:
    """A way to run Blender: a program, or a Python with the module `bpy`."""

    path: str
    is_python: bool

    def command(self) -> list[str]:
        """What starts the child."""
        code = BEGIN.format(package=str(PACKAGE))
        # -I: no folder of the user's, and no working folder, in the search path
        return [self.path, *(("-I", "-c") if self.is_python else OPTIONS), code]

    def version(self, seconds: float) -> str:
        """The version that it says it has.

        Raises subprocess.SubprocessError or OSError, with its last words, where it says none.
        """
        ask = ["-I", "-c", "import bpy; print('Blender', bpy.app.version_string)"]
        words = [self.path, *(ask if self.is_python else ["--version"])]
        child = subprocess.run(words, capture_output=True, timeout=seconds, check=False)
        said = (child.stdout if child.returncode == 0 else child.stderr).decode(errors="replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no word"]
        if child.returncode == 0 and (found := [x for x in lines if x.startswith("Blender ")]):
            return found[-1].removeprefix("Blender ")
        raise subprocess.SubprocessError(lines[-1])

    def run(self, given: bytes, seconds: float) -> Ended:
        """Run the child with what it finds on stdin; it and all that it started end with us.

        Raises subprocess.TimeoutExpired if it did not end in time, OSError if it does not start.
        """
        with tempfile.TemporaryDirectory(prefix="posetx-") as home:
            environment = {k: v for k, v in os.environ.items() if k not in FORGOTTEN}
            # an empty folder for Blender's settings: the user's could hold anything
            environment["BLENDER_USER_RESOURCES"] = home
            child = subprocess.Popen(
                self.command(),
                env=environment,
                cwd=home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                answer, said = child.communicate(given, timeout=seconds)
            finally:
                _end(child)
        return Ended(child.returncode, answer, said.decode(errors="replace"))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child that still runs with all that it has started: it hears no Ctrl-C itself."""
    if child.poll() is None:
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
        child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        with suppress(OSError):
            if stream is not None:
                stream.close()


def find_blender() -> Blender:
    """The Blender that POSETX_BLENDER names, or this Python's, or the one on PATH.

    Raises MissingError where there is none, or what is named is no program.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = shutil.which(os.path.expanduser(named))
        if path is None:
            raise MissingError(f"{VARIABLE} names {named}, which is no program here; {INSTALL}")
        return Blender(path, "python" in Path(path).name.lower())
    if importlib.util.find_spec("bpy") is not None:
        return Blender(sys.executable, True)
    path = shutil.which("blender")
    if path is None:
        raise MissingError(f"Blender is not here; {INSTALL}")
    return Blender(path, False)
