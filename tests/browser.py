"""Headless Chromium, driven over a pipe by its DevTools protocol: opens a page, runs scripts, takes pictures."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--mute-audio",
)  # fmt: skip


class Page:
    """One tab. `events` keeps what the browser told: requests, errors, what the console got."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from, self._buffer, self._number = to_browser, from_browser, b"", 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer.get("result", {})  # type: ignore[no-any-return]

    def open(self, page: Path | str, *, width: int = 1000, height: int = 800, dark: bool = False) -> None:
        """Show a file from disk, or an address, in a window of that size, and wait until it has loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri() if isinstance(page, Path) else page)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._read()

    def wait_for_address(self, beginning: str) -> None:
        """Wait until the page that was opened has led on to an address that begins so; no script runs meanwhile."""
        while not any(
            event["method"] == "Page.frameNavigated" and event["params"]["frame"]["url"].startswith(beginning)
            for event in self.events
        ):
            self._read()

    def run(self, script: str) -> Any:
        """Run a script as if by a user's gesture, wait for what it promises, and return its value."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, x: float, y: float) -> None:
        """Click with the left button at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, code: int) -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def wait_until(self, condition: str, seconds: float = 120) -> None:
        """Wait for a condition of the page."""
        script = f"""(async () => {{
          const end = performance.now() + {1000 * seconds};
          while (performance.now() < end && !({condition})) await new Promise(done => setTimeout(done, 30));
          return Boolean({condition});
        }})()"""
        assert self.run(script), condition

    def drop_file(self, x: float, y: float, file: Path) -> None:
        """Drag a file over a place of the window and let it go there."""
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def choose_file(self, selector: str, file: Path) -> None:
        """Give a file to a field, as a person chooses one."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")["result"]
        self.call("DOM.setFileInputFiles", files=[str(file)], objectId=found["objectId"])

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write what is shown as PNG, the whole page or the window."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def problems(self, *own: str) -> list[str]:
        """Return requests for anything but the page's data and what is its `own`, errors, what the console got."""
        found = []
        for event in self.events:
            name, told = event["method"], event["params"]
            if name == "Network.requestWillBeSent":
                url = told["request"]["url"]
                if not url.startswith(own or ("file:", "data:")):
                    found.append(f"request {url[:200]}")
            elif name in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
                found.append(json.dumps(told)[:500])
        return found

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._from, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def chromium() -> Iterator[Page]:
    """Start Chromium with an empty profile and yield a tab; it ends with the block."""
    assert CHROMIUM is not None
    (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()

    def pipes() -> None:
        # Chromium reads commands from 3 and answers on 4.
        read, write = os.dup(in_read), os.dup(out_write)
        os.dup2(read, 3)
        os.dup2(write, 4)

    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=pipes,
            close_fds=False,
        )
        os.close(in_read)
        os.close(out_write)
        try:
            yield Page(in_write, out_read)
        finally:
            os.close(in_write)
            process.terminate()
            process.wait(120)
            os.close(out_read)
