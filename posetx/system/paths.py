"""Where the files that come with posetx lie: in an installed wheel and in an editable checkout."""

from __future__ import annotations

import os
from pathlib import Path

from posetx.errors import MissingError

PACKAGE = Path(__file__).resolve().parents[1]

#: Environment variable naming an extra folder of weights, searched before the shipped ones.
HOME_VARIABLE = "POSETX_HOME"


def weights_dir() -> Path:
    """The folder of weights that came with this posetx.

    `posetx/weights` in an installed wheel, `weights` beside the package in a checkout. The folder
    returned need not exist.
    """
    installed = PACKAGE / "weights"
    checkout = PACKAGE.parent
    # Without the pyproject.toml, "beside the package" would be some folder in site-packages.
    if not installed.is_dir() and (checkout / "pyproject.toml").is_file():
        return checkout / "weights"
    return installed


def weights_dirs() -> list[Path]:
    """All folders in which a model is looked for, in this order; those that exist."""
    extra = os.environ.get(HOME_VARIABLE)
    folders = [_expanded(extra)] if extra else []
    return [folder for folder in [*folders, weights_dir()] if folder.is_dir()]


def _expanded(name: str | os.PathLike[str]) -> Path:
    """The path without its ~; one of a user that is not known here stays as it is."""
    return Path(os.path.expanduser(name))


def find_model(name: str | os.PathLike[str]) -> Path:
    """The safetensors file of a model, by its name (`posemae`), its path or its training's folder.

    Raises
    ------
    MissingError
        If there is no such file.
    """
    path = _expanded(name)
    if path.is_dir() and (len(path.parts) > 1 or not _named(str(name))):
        return _model_in(path)
    if path.suffix == ".safetensors" or len(path.parts) > 1:
        if path.is_file():
            return path
        raise MissingError(f"{name}: no such weights file; `posetx models` lists the names known")
    found = _named(str(name))
    if found:
        return found
    known = sorted({p.stem for folder in weights_dirs() for p in folder.glob("*.safetensors")})
    raise MissingError(
        f"{name}: no such model; known are: {', '.join(known)}"
        if known
        else f"{name}: no model weights are here; looked in {PACKAGE / 'weights'}, "
        f"{weights_dir()} and ${HOME_VARIABLE}"
    )


def _named(name: str) -> Path | None:
    """The file of a model that lies in a folder of weights."""
    candidates = (folder / f"{name}.safetensors" for folder in weights_dirs())
    return next((path for path in candidates if path.is_file()), None)


def _model_in(folder: Path) -> Path:
    """The one model of a training's folder. Raises MissingError where there are none or several."""
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise MissingError(f"{folder}: has several models; name one of {names}")
    if (folder / "checkpoint.pt").exists():
        raise MissingError(
            f"{folder}: a training that has not written its model yet; stop it with Ctrl-C, or "
            "go on with `posetx train` and `resume`"
        )
    raise MissingError(f"{folder}: no model in this folder; `posetx models` lists the names known")
