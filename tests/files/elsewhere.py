"""Khronos' validator of glTF, from npm, for tests that have it check what was written."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

VALIDATE = """
const validator = require('gltf-validator'), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])))
  .then((report) => console.log(JSON.stringify(report)));
"""


def with_validator(folder: Path) -> Path:
    """The folder, with the validator in it; the test is skipped where that cannot be had."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not there")
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "gltf-validator"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=180)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("gltf-validator cannot be had from npm")
    (folder / "validate.js").write_text(VALIDATE)
    return folder


def validated(validator: Path, glb: Path) -> dict[str, Any]:
    """The report on a GLB of the validator in a folder."""
    command = ["node", str(validator / "validate.js"), str(glb)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=validator, timeout=120)
    report: dict[str, Any] = json.loads(done.stdout)
    return report
