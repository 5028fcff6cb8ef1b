"""A real Chromium without a window, driven by its own protocol (chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request
from collections.abc import Sequence
from typing import Any

import websocket

from tests.interop.tree import CACHE
from tests.servers import PrivateServer, ServerError

#: Seconds for a page, on a machine that has other work.
PATIENCE = 60
#: What accessibility is held to; `script/interop` fetches it.
AXE = CACHE / "axe/axe_playwright_python/axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_KEYS = {"Enter": (13, "\r"), "Tab": (9, "")}


class Chromium(PrivateServer):
    """The browser; what it knows is thrown away at the end."""

    def page(self, language: str = "en", scheme: str = "light", size: tuple[int, int] = (1280, 800)) -> Page:
        """Return a new empty page.

        Args:
            language: what its user reads.
            scheme: `light` or `dark`, which its user prefers.
            size: width and height in CSS pixels.
        """
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310  (our own)
            page = Page(json.load(answer)["webSocketDebuggerUrl"])
        width, height = size
        page.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        # As a telephone's, which take no room.
        page.ask("Emulation.setScrollbarsHidden", hidden=True)
        page.ask("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
        return page

    def _prepare(self) -> None:
        if not (shutil.which("chromium") and AXE.exists()):
            raise ServerError("Chromium or axe-core is missing: run script/interop")

    def _command(self) -> list[str]:
        profile, port = f"--user-data-dir={self.home}/profile", f"--remote-debugging-port={self.port}"
        # Its sandbox needs rights that a container does not give; it opens nothing but our own pages.
        return ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", profile, port]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/json/version", timeout=5):
                return True
        except OSError:
            return False


class Page:
    """A page of it.

    Attributes:
        complaints: what the console has had, warnings too.
        requested: the URLs of all that was asked for.
    """

    def __init__(self, url: str) -> None:
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._asked, self._is_loaded = 0, False
        self._socket = websocket.create_connection(url, timeout=PATIENCE, suppress_origin=True)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setFocusEmulationEnabled", enabled=True)

    def ask(self, method: str, **about: Any) -> Any:
        """Return what a command of the protocol answers."""
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": about}))
        while (answer := self._next()).get("id") != self._asked:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def run(self, script: str) -> Any:
        """Return what a script comes to in the page, whatever the page allows itself."""
        done = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def go(self, url: str) -> None:
        """Open a URL, and wait until all of it is loaded."""
        self._is_loaded = False
        self.ask("Page.navigate", url=url)
        self._wait_until_loaded()

    def submit(self) -> None:
        """Send the form without any of its buttons."""
        self._is_loaded = False
        self.run("document.forms[0].submit()")
        self._wait_until_loaded()

    def choose(self, value: str) -> None:
        """Go to a button by the keyboard alone, press it, and wait for what comes."""
        for _ in range(10):
            self._press("Tab")
            if self.run("document.activeElement.value") == value:
                break
        else:
            raise AssertionError(f"the keyboard does not reach {value}")
        self._is_loaded = False
        self._press("Enter")
        self._wait_until_loaded()

    def follow(self, words: str) -> None:
        """Go to a link or a button by the keyboard alone, press it, and wait for what comes."""
        for _ in range(120):
            self._press("Tab")
            if self.run("document.activeElement.textContent.trim()") == words:
                break
        else:
            raise AssertionError(f"the keyboard does not reach {words}")
        self._is_loaded = False
        self._press("Enter")
        self._wait_until_loaded()

    def fill(self, selector: str, text: str) -> None:
        """Type a text into a field."""
        self.run(f"document.querySelector({selector!r}).focus()")
        self.ask("Input.insertText", text=text)

    def without_scripts(self) -> None:
        """Let no page run a script from now on."""
        self.ask("Emulation.setScriptExecutionDisabled", value=True)

    def values(self, selector: str, attribute: str) -> list[str]:
        """Return an attribute of all elements that a selector finds."""
        found: list[str] = self.run(f"[...document.querySelectorAll({selector!r})].map(e => e.{attribute})")
        return found

    def violations(self) -> Sequence[str]:
        """Return what axe-core has against it."""
        self.run(AXE.read_text())
        words = "r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html + n.failureSummary).join())"
        found: list[str] = self.run(f"axe.run(document, {{runOnly: {_RULES}}}).then(r => {words})")
        return found

    def picture(self, until: str | None = None) -> bytes:
        """Return all of it, or what is above the end of what a selector finds, as a PNG file."""
        about: dict[str, Any] = {"captureBeyondViewport": True}
        if until is not None:
            bottom = self.run(f"document.querySelector({until!r}).getBoundingClientRect().bottom + scrollY + 12")
            width = self.run("document.documentElement.clientWidth")
            about["clip"] = {"x": 0, "y": 0, "width": width, "height": bottom, "scale": 1}
        return base64.b64decode(self.ask("Page.captureScreenshot", **about)["data"])

    def close(self) -> None:
        """Close it."""
        self.ask("Page.close")
        self._socket.close()

    def _press(self, key: str) -> None:
        number, text = _KEYS[key]
        about = {"key": key, "code": key, "windowsVirtualKeyCode": number}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **about)

    def _wait_until_loaded(self) -> None:
        while not self._is_loaded:
            self._next()

    def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv())
        about = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._is_loaded = True
            case "Network.requestWillBeSent":
                self.requested.append(about["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                self.complaints.append(str(about))
        return message
