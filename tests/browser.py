"""A headless Chromium that tests look at pages with: what is to be read there, and a picture of it.

It is driven over its own debugging protocol; nothing but the browser itself is needed.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import connect
from websockets.sync.connection import Connection

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",  # which does not work as root, nor in most containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--window-size=1400,1000",
)


def find_browser() -> str | None:
    """Where the browser is; None if it is not installed."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


class Page:
    """A tab."""

    def __init__(self, connection: Connection, address: str) -> None:
        self._connection = connection
        self._address = address
        self._numbers = count(1)
        self._ask("Page.enable")  # without it, nothing is remembered

    @contextmanager
    def another_tab(self) -> Iterator["Page"]:
        """A second tab of the same browser, with the same cookies; both are as if looked at."""
        self._ask("Emulation.setFocusEmulationEnabled", enabled=True)
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        address = f"{self._address.rpartition('/')[0]}/{target}"
        with connect(address, max_size=None, ping_interval=None) as connection:
            yield Page(connection, address)
        self._ask("Target.closeTarget", targetId=target)

    def remember(self, key: str, value: str) -> None:
        """Put a value into the local storage of every page that is opened from now on."""
        source = f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)})"
        self._ask("Page.addScriptToEvaluateOnNewDocument", source=source)

    def open(self, url: str) -> None:
        """Go to an address."""
        self._ask("Page.navigate", url=url)

    def run(self, script: str) -> Any:  # noqa: ANN401  JSON
        """The value of an expression in the page."""
        told = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        return told["result"].get("value")

    @property
    def text(self) -> str:
        """What is to be read on the page."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def wait_for(self, *texts: str, seconds: float = 60.0) -> str:
        """Wait until all of these are to be read; returns the whole text.

        Raises:
            TimeoutError: One of them does not come; the message says what is there instead.
        """
        end = time.monotonic() + seconds
        while missing := [text for text in texts if text not in (shown := self.text)]:
            if time.monotonic() > end:
                raise TimeoutError(f"{missing} is not to be read in: {shown}")
            time.sleep(0.5)
        return shown

    def press(self, key: str) -> None:
        """Press and let go of a key, by its name in `KeyboardEvent.key`."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        same = {"key": key, "code": _code_of(key), "windowsVirtualKeyCode": _KEYS.get(key, 0)}
        self._ask("Input.dispatchKeyEvent", type="keyDown", **same, **text)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **same)

    def write(self, text: str) -> None:
        """Write into whatever has the focus."""
        self._ask("Input.insertText", text=text)

    def see(self, width: int, height: int, *, dark: bool = False) -> None:
        """Be a screen of that size, light or dark."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def wait_until(self, script: str, *, seconds: float = 60.0) -> Any:  # noqa: ANN401  JSON
        """Wait until an expression in the page is true there; returns its value.

        An element and an empty list are true to the page, and not to Python.

        Raises:
            TimeoutError: It is not.
        """
        end = time.monotonic() + seconds
        while not (found := self.run(f"[{script}].filter(Boolean)")):
            if time.monotonic() > end:
                raise TimeoutError(f"{script} is {self.run(script)!r}; the page: {self.text}")
            time.sleep(0.05)
        return found[0]

    def take_picture(self, path: Path) -> None:
        """Save what is seen as PNG."""
        told = self._ask("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(told["data"]))

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer: dict[str, Any] = json.loads(self._connection.recv(timeout=60))
            if answer.get("id") == number:  # the others are events
                break
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result


#: Keys that the browser itself acts on, by their number on Windows.
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39}


def _code_of(key: str) -> str:
    return f"Key{key.upper()}" if len(key) == 1 and key.isalpha() else key


@contextmanager
def browsing(folder: Path) -> Iterator[Page]:
    """A page of a browser with a profile of its own in *folder*; ended with the block."""
    browser = find_browser()
    assert browser is not None
    profile = folder / "profile"
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [browser, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        address = _address_of_page(profile)
        with connect(address, max_size=None, ping_interval=None) as connection:
            yield Page(connection, address)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _address_of_page(profile: Path, *, seconds: float = 60.0) -> str:
    """The address of the first tab's debugger, once the browser has written down its port."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            port = (profile / "DevToolsActivePort").read_text().splitlines()[0]
            tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=10).json()
            return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
        except (OSError, httpx.TransportError, StopIteration, IndexError):
            time.sleep(0.2)
    raise TimeoutError("the browser does not start")
