"""A headless Chromium to look at pages with, spoken to through two pipes: no driver is needed."""

from __future__ import annotations

import base64
import io
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

#: Names of the program; POSETX_BROWSER names another one.
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: WebGL by the processor alone; the pipe; no folder of its own in the user's home.
FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--use-gl=angle",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars", "--no-first-run",
    "--disable-dev-shm-usage", "--disable-extensions", "--mute-audio",
)  # fmt: skip
#: Seconds after which a page that does not answer has failed.
PATIENCE = 120


def find_browser() -> str | None:
    """The path of a Chromium; None where there is none."""
    named = os.environ.get("POSETX_BROWSER")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page in a browser; a context. ``size`` in pixels, ``touch`` for a phone."""

    def __init__(
        self,
        size: tuple[int, int] = (1280, 800),
        touch: bool = False,
        dark: bool = False,
        sharp: float = 1.0,
    ) -> None:
        self.size, self.touch, self.dark, self.sharp = size, touch, dark, sharp
        self.errors: list[str] = []
        self.asked: list[str] = []
        self._next = 0

    def __enter__(self) -> Browser:
        program = find_browser()
        assert program
        self._home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        read_by_it, self._out = os.pipe()
        self._in, written_by_it = os.pipe()

        def take_pipes() -> None:
            # it reads from 3 and writes to 4; numbers may be each other's at first
            one, other = os.dup(read_by_it), os.dup(written_by_it)
            os.dup2(one, 3)
            os.dup2(other, 4)

        self._program = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self._home.name}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=take_pipes,
        )
        os.close(read_by_it)
        os.close(written_by_it)
        self._heard = b""
        page = next(t for t in self.ask("Target.getTargets")["targetInfos"] if t["type"] == "page")
        told = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = told["sessionId"]
        for name in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{name}.enable")
        width, height = self.size
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=self.sharp, mobile=self.touch,
        )  # fmt: skip
        if self.touch:
            self.ask("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._program.kill()
        self._program.wait()
        os.close(self._in)
        os.close(self._out)
        self._home.cleanup()

    _session: str | None = None

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; what else the browser says meanwhile is noted."""
        self._next += 1
        told: dict[str, Any] = {"id": self._next, "method": method, "params": parameters}
        if self._session:
            told["sessionId"] = self._session
        os.write(self._out, json.dumps(told).encode() + b"\0")
        while True:
            heard = json.loads(self._line())
            if heard.get("id") == self._next:
                assert "error" not in heard, heard["error"]
                result: dict[str, Any] = heard["result"]
                return result
            self._note(heard)

    def _line(self) -> bytes:
        """What it says next; fails where it says nothing for too long."""
        while b"\0" not in self._heard:
            ready, _, _ = select.select([self._in], [], [], PATIENCE)
            assert ready, f"the browser said nothing for {PATIENCE} s"
            more = os.read(self._in, 1 << 20)
            assert more, "the browser has ended"
            self._heard += more
        line, self._heard = self._heard.split(b"\0", 1)
        return line

    def _note(self, heard: dict[str, Any]) -> None:
        method, told = heard.get("method"), heard.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.errors.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            # of the software renderer that the tests ask for
            if "swiftshader" not in told["entry"]["text"].lower() + told["entry"].get("url", ""):
                self.errors.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])

    def open(self, path: Path) -> None:
        """Open a page from disk, and wait until it has begun; a slow machine draws it all the same.

        Pages draw coarsely while pictures come slowly, which here they may at any time.
        """
        self.ask("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.documentElement && document.documentElement.dataset.ready")
        if self.value("!!window.posetxView"):
            self.value("posetxView.stage.pace.set(false), posetxView.stage.pace.tick = () => {}")
            self.settle()

    def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        told = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Until an expression is true, and what it is then."""
        until = time.monotonic() + PATIENCE
        while not (found := self.value(expression)):
            assert time.monotonic() < until, f"never: {expression}"
            time.sleep(0.05)
        return found

    def settle(self) -> None:
        """Until what was asked for is drawn and the camera rests, or it plays."""
        self.value(
            "new Promise((done) => { let last = -1, same = 0; const look = () => {"
            " const now = posetxView.framesDrawn(); same = now === last ? same + 1 : 0; last = now;"
            " same > 3 || posetxView.bar.playing ? done(1) : requestAnimationFrame(look);"
            " }; look(); })"
        )

    def picture(self) -> np.ndarray:
        """The page as it looks, (h, w, 3) uint8."""
        data = base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def key(self, key: str, code: str = "") -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=code, **text)
        self.settle()

    def click(self, selector: str) -> None:
        """Click, or tap where there is touch, in the middle of an element."""
        x, y = self.value(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        if self.touch:
            self.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            self.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        else:
            for kind in ("mousePressed", "mouseReleased"):
                self.ask(
                    "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
                )
        self.settle()

    def drag(self, way: list[tuple[float, float]], fingers: int = 1) -> None:
        """Move the mouse or fingers along a way; a second finger goes the opposite way."""
        middle = way[0]

        def points(at: tuple[float, float]) -> list[dict[str, float]]:
            found = [{"x": at[0], "y": at[1], "id": 0}]
            if fingers == 2:
                mirrored = {"x": 2 * middle[0] - at[0] + 40, "y": at[1], "id": 1}
                found.append(mirrored)
            return found

        if self.touch:
            self.ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=points(way[0]))
            for at in way[1:]:
                self.ask("Input.dispatchTouchEvent", type="touchMove", touchPoints=points(at))
            self.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        else:
            kinds = ["mousePressed", *["mouseMoved"] * (len(way) - 1), "mouseReleased"]
            for kind, (x, y) in zip(kinds, [*way, way[-1]], strict=True):
                self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1)
        self.settle()
