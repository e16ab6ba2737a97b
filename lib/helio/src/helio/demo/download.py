"""Get a disk: a file of this machine, or what a URL has."""

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from helio.host import HelioError
from helio.report import Reporter

SILENCE = 60.0  # seconds after which a server that sends nothing is given up


def fetch(source: str, folder: Path, reporter: Reporter) -> Path:
    """Return the file of a disk, downloaded if the source is a URL and it is not there yet.

    Args:
        source: Path or URL.
        folder: Where downloads are kept.
        reporter: Told of a download.

    Raises:
        HelioError: there is no such file, or it cannot be downloaded.
    """
    if "://" not in source:
        if not Path(source).is_file():
            raise HelioError(f"cannot upload {source}: there is no such file")
        return Path(source).resolve()
    if not source.startswith(("http://", "https://")):
        raise HelioError(f"cannot download {source}: give a file, or an http or https URL")
    # Many servers have a disk of the same file name.
    path = folder / hashlib.sha256(source.encode()).hexdigest()
    if not path.is_file():
        reporter.note(f"downloading {source}")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        _download(source, part)
        part.rename(path)
    return path


def _download(url: str, path: Path) -> None:
    """Write what a URL has to a file.

    Raises:
        HelioError: it cannot be had, or not all of it came.
    """
    try:
        with (
            urllib.request.urlopen(url, timeout=SILENCE) as answer,  # noqa: S310 - it was checked
            path.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)
            # A connection that ends too early looks like the end of the file.
            size, wanted = file.tell(), int(answer.headers.get("Content-Length") or file.tell())
    except urllib.error.HTTPError as error:
        error.close()  # the answer is part of it, and its connection
        raise _no_download(url, str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _no_download(url, str(error) or repr(error)) from error
    if size != wanted:
        raise _no_download(url, f"{size} of {wanted} bytes came")


def _no_download(url: str, reason: str) -> HelioError:
    return HelioError(
        f"cannot download {url}: {reason}; run the same command again, or download it yourself "
        "and give the file: helio configure --image FILE"
    )
