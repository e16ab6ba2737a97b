"""A real browser without a window, which trusts one authority and no other.

Chromium and its driver are the distribution's packages; the set-up of the tests installs them.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from cloudtest import run
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PACKAGES = ("chromium", "chromium-driver", "libnss3-tools")
PROGRAMS = ("chromium", "chromedriver", "certutil")
PATIENCE = 100
"""Seconds that a page may take on a machine that emulates processors beside it; the driver's own
client gives an answer up after 120."""


def ensure_installed() -> None:
    """Install the packages where a program is missing."""
    if all(map(shutil.which, PROGRAMS)):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], environment)
    run(["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES], environment)


@contextlib.contextmanager
def opened(authority: Path | None) -> Iterator[webdriver.Chrome]:
    """Open a browser with a fresh profile.

    Args:
        authority: File with the certificate, PEM, of whom it trusts besides those that every
            browser trusts; None: nobody.
    """
    with tempfile.TemporaryDirectory(prefix="browser-") as home:
        if authority:
            _trust(Path(home, ".pki", "nssdb"), authority)
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for argument in (
            "--headless=new",
            "--no-sandbox",  # it does not start as root otherwise
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            "--window-size=1280,1024",
            f"--user-data-dir={home}/profile",
        ):
            options.add_argument(argument)
        service = Service(executable_path=str(shutil.which("chromedriver")))
        with mock.patch.dict(os.environ, {"HOME": home}):
            browser = webdriver.Chrome(options=options, service=service)
        try:
            browser.set_page_load_timeout(PATIENCE)
            browser.implicitly_wait(PATIENCE)
            yield browser
        finally:
            browser.quit()


def _trust(database: Path, authority: Path) -> None:
    """Make the database of certificates that the browser reads in its home."""
    database.mkdir(parents=True)
    where = ["-d", f"sql:{database}"]
    run(["certutil", *where, "-N", "--empty-password"])
    run(["certutil", *where, "-A", "-n", "cloud", "-t", "C,,", "-i", str(authority)])
