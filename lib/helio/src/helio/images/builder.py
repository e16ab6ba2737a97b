"""Build images into a store with Buildah, without any registry.

The whole of a build's effects goes through `Host.run` and `Host.write`.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path

from helio.host import Command, Host
from helio.images import sbom, sources
from helio.images.recipe import Catalogue, Distro, Recipe, RecipeError
from helio.images.storage import Store

# Where a Containerfile mounts the host's settings for the length of a step. Never over a file of
# the image: Buildah removes a mount's place when the step ends.
_APT_CA = 'Acquire::https::CaInfo "/run/build/ca.pem";\n'
_APT_SOURCES = 'Dir::Etc::SourceList "/run/build/apt.sources";\nDir::Etc::SourceParts "-";\n'


def _ignore(_line: str) -> None:
    """Take a progress line and do nothing with it."""


@dataclasses.dataclass(frozen=True)
class Builder:
    """Builds the images of a catalogue.

    Args:
        catalogue: The recipes.
        distro: Key of the distribution to build from.
        host: Runs the programs.
        store: Where the images go.
        cache: Folder for downloads, build files and bills of materials.
        mirror: Mirror to use instead of the host's or the public one.
        on_line: Called with each line that a build prints.
    """

    catalogue: Catalogue
    distro: str
    host: Host
    store: Store = dataclasses.field(default_factory=Store)
    cache: Path = Path("/var/lib/helio/cache")
    mirror: str | None = None
    on_line: Callable[[str], None] = _ignore

    def reference(self, image: str) -> str:
        """Return the full name of an image, or the path of the file that its recipe makes."""
        if self.catalogue.recipe(image).file:
            return str(self.path(image))
        return self.catalogue.reference(image, self.distro)

    def path(self, image: str) -> Path:
        """Return the path of the file that a recipe makes.

        Raises:
            RecipeError: the recipe makes an image for containers.
        """
        files = self.catalogue.files(self.distro)
        if image not in files:
            raise RecipeError(f"cannot find the file {image}: known are {', '.join(files)}")
        return self.cache / "files" / files[image]

    def is_built(self, image: str) -> bool:
        """Return whether the result of the present recipe is there, with its SBOM."""
        if not self.host.exists(self.sbom_path(image)):
            return False
        if self.catalogue.recipe(image).file:
            return self.host.exists(self.path(image))
        return self.reference(image) in self._stored()

    def sbom_path(self, image: str) -> Path:
        """Return the file with an image's bill of materials."""
        tag = self.catalogue.tag(image, self.distro)
        return self.cache / "sbom" / f"{image}-{tag}.cdx.json"

    def build(self, *images: str) -> dict[str, str]:
        """Build images and their parents where they are missing.

        An interrupted build leaves no image and no working container; the next one starts anew
        at the image that was interrupted.

        Args:
            images: Their names; none means all.

        Returns:
            The reference of each image that is now there, parents first.

        Raises:
            CommandError: a step of a build failed.
        """
        order = self.catalogue.order(*images)
        missing = [image for image in order if not self.is_built(image)]
        if missing:
            with self._alone():
                for image in missing:
                    # Another process may have built it while this one waited for its turn.
                    if not self.is_built(image):
                        began = time.monotonic()
                        self._build(self.catalogue.recipe(image))
                        self.on_line(f"{image}: built in {time.monotonic() - began:.0f} s")
        return {image: self.reference(image) for image in order}

    def prune(self) -> None:
        """Remove what builds left: working containers, nameless images, old build files."""
        with self._alone():
            self._clean()
            self._prune()

    def remove_all(self) -> None:
        """Remove every image of ours from the store, and all build files."""
        with self._alone():
            self._clean()
            prefix = f"{self.catalogue.registry}/"
            for reference in sorted(self._stored()):
                if reference.startswith(prefix):
                    self._buildah("rmi", "--force", reference)
            self._prune()
            for folder in (self._work, self.cache / "files", self.cache / "sbom"):
                self.host.remove(folder)

    @property
    def _work(self) -> Path:
        return self.cache / "build"

    def _build(self, recipe: Recipe) -> None:
        distro = self.catalogue.distro(self.distro)
        context = self._work / "context"
        try:
            access = self._read_access(distro)
            secrets = self._write_access(access)
            for path, content in recipe.inputs.items():
                is_program = content.startswith(b"#!")
                self.host.write(context / path, content, 0o755 if is_program else 0o644)
            if recipe.parent is None:
                self._bootstrap(recipe, distro, access, context / "rootfs.tar")
            self._run(self._build_argv(recipe, context, secrets))
            if recipe.file:
                self._keep_file(recipe, recipe.file, distro)
            else:
                self._write_image_sbom(recipe, distro)
        finally:
            self._clean()

    def _build_argv(
        self, recipe: Recipe, context: Path, secrets: dict[str, Path]
    ) -> tuple[str, ...]:
        values = {
            "PACKAGES": " ".join(recipe.packages[self.distro]),
            "BUILD_PACKAGES": " ".join(recipe.build_packages.get(self.distro, ())),
            # One cache per image: apt and dpkg lock theirs, so two images cannot share.
            "CACHE": f"{recipe.name}-{self.distro}",
        }
        if recipe.parent:
            values["PARENT"] = self.reference(recipe.parent)
        used = recipe.inputs["Containerfile"].decode()
        labels = {
            "org.opencontainers.image.title": recipe.name,
            "org.opencontainers.image.description": recipe.summary,
            "org.opencontainers.image.version": self.catalogue.tag(recipe.name, self.distro),
            "helio.recipe": self.catalogue.digest(recipe.name, self.distro),
            "helio.sbom": self.sbom_path(recipe.name).name,
        }
        result = (
            f"--output=type=local,dest={self._work / 'result'}"
            if recipe.file
            else f"--tag={self.reference(recipe.name)}"
        )
        return self.store.command(
            "buildah",
            "build",
            # The host's network name space and no CNI: the isolation with the fewest needs.
            "--isolation=chroot",
            "--layers=false",
            "--force-rm",
            "--pull-never",
            *(f"--build-arg={key}={value}" for key, value in values.items() if key in used),
            *(f"--label={key}={value}" for key, value in labels.items()),
            *(f"--secret=id={key},src={path}" for key, path in secrets.items()),
            result,
            f"--file={context / 'Containerfile'}",
            str(context),
        )

    def _bootstrap(self, recipe: Recipe, distro: Distro, access: sources.Access, to: Path) -> None:
        """Make the first root file system from the distribution's packages."""
        source = self._work / "bootstrap.sources"
        # Both are copied from the host; a container gets its own when it starts.
        forget = ["hostname", "resolv.conf"]
        if access.apt_sources:
            self.host.write(source, access.apt_sources)
            forget.append("apt/sources.list.d/*")
        paths = " ".join(f'"$1"/etc/{name}' for name in forget)
        self._run(
            (
                "mmdebstrap",
                "--mode=root",
                "--variant=minbase",
                f"--include={','.join(recipe.packages[self.distro])}",
                f"--keyring={distro.keyring}",
                *(f"--aptopt={line.rstrip(';')}" for line in access.apt_options.splitlines()),
                f"--dpkgopt={to.parent / 'dpkg.cfg'}",
                f"--customize-hook=rm -f {paths}",
                f"--components={','.join(distro.components)}",
                "--skip=output/dev",
                distro.suite,
                str(to),
                # Without sources mmdebstrap takes the public archive, and the image keeps it.
                *((str(source),) if access.apt_sources else ()),
            )
        )

    def _read_access(self, distro: Distro) -> sources.Access:
        dump = self.host.run(Command(("apt-config", "dump"), reads=True))
        return sources.read_access(distro, dump, os.environ, self.mirror)

    def _write_access(self, access: sources.Access) -> dict[str, Path]:
        """Write what a build reads and no image holds; an index's URL may have a password."""
        folder = self._work / "access"
        texts = {
            "apt-sources": access.apt_sources or "",
            "apt-options": access.apt_options
            + _APT_CA
            + (_APT_SOURCES if access.apt_sources else ""),
            "pip": access.pip_conf,
            "uv": access.uv_toml,
        }
        for name, text in texts.items():
            self.host.write(folder / name, text, 0o600)
        return {name: folder / name for name in texts} | {"ca": access.ca}

    def _write_image_sbom(self, recipe: Recipe, distro: Distro) -> None:
        reference = self.reference(recipe.name)
        container = self._buildah("from", "--pull-never", reference).strip()
        self._write_sbom(recipe, distro, Path(self._buildah("mount", container).strip()))

    def _keep_file(self, recipe: Recipe, name: str, distro: Distro) -> None:
        """Move a recipe's file to its place; what else the build left is its bill."""
        result, path = self._work / "result", self.path(recipe.name)
        self._write_sbom(recipe, distro, result)
        self._run(("install", "-d", str(path.parent)))
        # In one file system, so that the file is there as a whole or not at all.
        self._run(("mv", str(result / name), str(path)))
        # Buildah also keeps what it gave out, as an image without a name.
        self._prune()

    def _write_sbom(self, recipe: Recipe, distro: Distro, root: Path) -> None:
        tag = self.catalogue.tag(recipe.name, self.distro)
        self.host.write(
            self.sbom_path(recipe.name), sbom.read_sbom(root, recipe.name, tag, distro.id)
        )

    def _clean(self) -> None:
        """Remove the working containers (all in this store are ours) and the build files.

        Tools that were interrupted leave their own temporary folders too; only the lock and the
        download caches stay.
        """
        self._buildah("rm", "--all")
        kept = ("!", "-name", "lock", "!", "-name", "buildah-cache*")
        found = ("find", str(self._work), "-mindepth", "1", "-maxdepth", "1", *kept)
        self._run((*found, "-exec", "rm", "-rf", "--one-file-system", "{}", "+"))

    def _stored(self) -> set[str]:
        argv = self.store.command("buildah", "images", "--json")
        entries = json.loads(
            self.host.run(Command(argv, reads=True, env=self._environment)) or "[]"
        )
        return {name for entry in entries or () for name in entry["names"] or ()}

    def _prune(self) -> None:
        """Remove images without a name; Podman, unlike Buildah, leaves those that run."""
        self._run(self.store.command("podman", "image", "prune", "--force"))

    def _buildah(self, *arguments: str) -> str:
        return self._run(self.store.command("buildah", *arguments))

    def _run(self, argv: tuple[str, ...]) -> str:
        return self.host.run(Command(argv, env=self._environment, on_line=self.on_line))

    @property
    def _environment(self) -> dict[str, str]:
        # Buildah and mmdebstrap work in TMPDIR, and Buildah keeps its cache mounts there: in our
        # own cache they are found again, and removed with it.
        return {"TMPDIR": str(self._work)}

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Hold the store's build lock, so that no build cleans up after another one that runs."""
        self._work.mkdir(parents=True, exist_ok=True)
        with (self._work / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
