"""The pose of a raw human scan, on any human-like mesh.

    import posetx

    posetx.transfer("scan.ply", "hero.glb", "out.glb")

The names are loaded when they are first used: `import posetx` alone costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is most of what importing this would cost
if TYPE_CHECKING:
    from typing import Any

    from posetx.api import Poser, Result, attack, load, read_scan, read_target, transfer

__all__ = ["Poser", "Result", "attack", "load", "read_scan", "read_target", "transfer"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'posetx' has no attribute {name!r}")
    from posetx import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
