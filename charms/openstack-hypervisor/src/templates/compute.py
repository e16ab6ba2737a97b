"""Start nova-compute with the drivers beside this file among those that it finds."""

import pathlib
import sys

import nova.virt
from nova.cmd import compute

if __name__ == "__main__":
    nova.virt.__path__.append(str(pathlib.Path(__file__).parent / "drivers"))
    sys.argv[0] = "nova-compute"
    compute.main()
