"""Programs from npm that read glTF, for tests: Khronos' validator, three.js."""

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


def with_package(folder: Path, package: str) -> Path:
    """The folder, with a package in it; the test is skipped where that cannot be had."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not there")
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", package]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=180)
    except (subprocess.SubprocessError, OSError):
        pytest.skip(f"{package} cannot be had from npm")
    return folder


def with_validator(folder: Path) -> Path:
    """The folder, with the validator in it."""
    with_package(folder, "gltf-validator")
    (folder / "validate.js").write_text(VALIDATE)
    return folder


def validated(validator: Path, glb: Path) -> dict[str, Any]:
    """The report on a GLB of the validator in a folder."""
    command = ["node", str(validator / "validate.js"), str(glb)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=validator, timeout=120)
    report: dict[str, Any] = json.loads(done.stdout)
    return report
