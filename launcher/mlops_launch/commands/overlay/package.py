"""The package that an overlay belongs to: the folder with common/, models/ and quickstart/ around it, else the launcher's own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_launch.core.settings.model import Package
from mlops_launch.core.settings.read import PATTERNS, read_package
from mlops_launch.errors import LauncherError

if TYPE_CHECKING:
    from importlib.abc import Traversable

# More than any such file has; what is longer is something else.
_LARGEST_FILE = 1 << 20


def find_package(overlay: Path) -> Path | None:
    """Return the nearest folder at or above the overlay that holds common/ and models/, or None."""
    folder = overlay.resolve()
    return next((f for f in (folder, *folder.parents) if (f / "common").is_dir() and (f / "models").is_dir()), None)


def package_of(overlay: Path, folder: Path | None = None) -> Package:
    """Return what the overlay's package says about models, presets and scripts.

    Args:
        overlay: where the search upwards starts.
        folder: the package, when the user names it.

    Raises:
        LauncherError: no package is around the overlay, and this installation has none; or a file of it cannot be read.
    """
    found = folder or find_package(overlay)
    if found is not None:
        return read_package(_contents(found))
    contents = _own_contents()
    quickstart = next((above for above in overlay.resolve().parents if above.name == "quickstart"), None)
    if quickstart is not None:
        contents = {path: content for path, content in contents.items() if not path.startswith("quickstart/")}
        contents |= {path: content for path, content in _contents(quickstart.parent).items() if path.startswith("quickstart/")}
    return read_package(contents)


def own_package() -> Package:
    """Return what the launcher's own package says.

    Raises:
        LauncherError: this installation has none.
    """
    return read_package(_own_contents())


def own_part(part: str) -> Traversable:
    """Return a folder of the launcher's own package: the wheel's data, or the checkout's.

    Raises:
        LauncherError: this installation has none.
    """
    for source in _places(part):
        if source.is_dir():
            return source
    raise LauncherError(
        f"this installation has no model package: {part} is missing", "install the wheel, or work in a checkout of the repository"
    )


def _places(part: str) -> Iterator[Traversable]:
    package = resources.files("mlops_launch")
    yield package / "package" / part
    with resources.as_file(package) as path:
        yield path.parent.parent / part


def _own_contents() -> dict[str, bytes]:
    with resources.as_file(own_part("models")) as models:
        return _contents(models.parent)


def _contents(folder: Path) -> dict[str, bytes]:
    """Return what `read_package` looks at.

    Raises:
        LauncherError: a file cannot be read.
    """
    paths = [path for pattern in PATTERNS for path in sorted(folder.glob(pattern)) if path.is_file()]
    return {path.relative_to(folder).as_posix(): _content(path) for path in paths}


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError as error:
        raise LauncherError(f"cannot read a file of the package: {path}: {error.strerror}", "it says which settings there are") from error
