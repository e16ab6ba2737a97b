"""Where the parts of Helio's source tree are: charms, libraries, bundles, packed charms.

Found from this file and not from the working directory, so that `helio` works from everywhere.
"""

import dataclasses
from pathlib import Path

from helio.host import HelioError


@dataclasses.dataclass(frozen=True)
class Tree:
    """A checkout.

    Args:
        root: The folder with `charms`, `lib` and `bundles` in it.
    """

    root: Path

    @property
    def charms(self) -> Path:
        """Return the folder with one folder per charm."""
        return self.root / "charms"

    @property
    def bundles(self) -> Path:
        """Return the folder of the manifest, the wiring and the generated bundles."""
        return self.root / "bundles"

    @property
    def dist(self) -> Path:
        """Return the folder that packed charms are put into."""
        return self.root / "dist"

    @property
    def build(self) -> Path:
        """Return the folder for what can be thrown away: caches and half-done work."""
        return self.root / "build"


def find_tree() -> Tree:
    """Return the tree that this program was started from.

    Raises:
        HelioError: the program is installed without its tree.
    """
    for folder in Path(__file__).resolve().parents:
        if (folder / "bundles" / "manifest.yaml").is_file():
            return Tree(folder)
    raise HelioError("cannot find Helio's source tree: start helio from a checkout")
