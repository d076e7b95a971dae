"""The digest of a model's files: what was registered is what is loaded.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     _ = (Path(folder) / "MLmodel").write_text("flavors: {}")
...     first = digest(folder)
...     _ = (Path(folder) / "MLmodel").write_text("flavors: {python_function: {}}")
...     digest(folder) == first
False
"""

import hashlib
import os
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from lifecycle.errors import DigestMismatch, ModelNotFound, ModelRefused

# written by MLflow into the folder when a version is registered or downloaded
EXCLUDED = {"registered_model_meta"}
PREFIX = "sha256:"
# what a zipped model may grow to when it is read; skops writes without compression
LEAST_UNZIPPED = 64 * 2**20
MOST_TIMES = 50


def file_digest(path: Path) -> str:
    """The sha256 of one file, as "sha256:" and 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return PREFIX + hashlib.file_digest(stream, "sha256").hexdigest()


def digest(folder: str | Path) -> str:
    """The sha256 over names and contents of all files of a model's folder.

    Args:
        folder: the folder that holds `MLmodel`.

    Returns:
        "sha256:" and 64 hexadecimal digits.

    Raises:
        ModelNotFound: there is no such folder, or no file in it.
        ModelRefused: a link or a device is in it.
    """
    root = Path(folder)
    whole = hashlib.sha256()
    paths = listing(root)
    if not paths:
        raise ModelNotFound("the model's folder is missing or empty", where=root)
    for path in paths:
        whole.update(os.fsencode(f"{path.relative_to(root).as_posix()}\0{file_digest(path)}\n"))
    return PREFIX + whole.hexdigest()


def listing(root: Path) -> list[Path]:
    """All files of a model's folder, sorted, as they count for its digest.

    Raises:
        ModelRefused: something in it is neither a file nor a folder: a link could lead to other
            content than what was registered, a pipe or device has no end.
    """
    found = []
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
            raise ModelRefused(
                f"the model's folder holds {path.relative_to(root).as_posix()!r}, which is {kind}",
                where=root,
                fix="store the model again with plain files only",
            )
        if path.parent != root or path.name not in EXCLUDED:
            found.append(path)
    return found


def inside(root: Path, name: Any) -> Path:
    """A file that the model's description names, which must lie in its folder.

    >>> inside(Path("model"), "data/model.skops").as_posix()
    'model/data/model.skops'

    Args:
        root: the folder that holds `MLmodel`.
        name: as `MLmodel` has it.

    Raises:
        ModelRefused: it is no name of a file below the folder.
    """
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    plain = parts and "\\" not in name and "\0" not in name
    if not plain or ".." in parts or PurePosixPath(name).is_absolute():
        raise ModelRefused(
            f"MLmodel names {name!r}, which is no file of the model's folder",
            where=root,
            fix="look at who wrote this model; its description leads elsewhere",
        )
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise ModelRefused(
            f"MLmodel names {name!r}, which a link leads out of the model's folder", where=root
        )
    return path


def check_zip(path: Path) -> None:
    """Refuse a zipped model that would grow far beyond its size when it is read.

    Raises:
        ModelRefused: it is no zip file, or would grow to more than 50 times its size and 64 MiB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unzipped = sum(item.file_size for item in archive.infolist())
    except FileNotFoundError as error:
        raise ModelNotFound("the model's file is missing", where=path) from error
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ModelRefused(
            f"the model's file cannot be read: {type(error).__name__}: {error}",
            where=path,
            fix="restore it",
        ) from error
    most = max(LEAST_UNZIPPED, MOST_TIMES * path.stat().st_size)
    if unzipped > most:
        raise ModelRefused(
            f"the model's file would grow to {unzipped:,} bytes when it is read; more than {most:,}"
            " is taken for an attack",
            where=path,
            fix="store the model without compression, as skops does by itself",
        )


def verify(folder: str | Path, expected: str) -> None:
    """Refuse a model's folder whose files are not those that were registered.

    Raises:
        DigestMismatch: the files differ; names the folder and both digests.
    """
    found = digest(folder)
    if found != expected:
        raise DigestMismatch(
            f"the model's files are not those that were registered: found {found}, "
            f"registered {expected}",
            where=folder,
            fix="restore the files, or register the model again after looking at who changed them",
        )


def verify_file(path: Path, expected: str) -> None:
    """Refuse one file that is not the one that was registered.

    Raises:
        DigestMismatch: it differs; names the file and both digests.
    """
    found = file_digest(path)
    if found != expected:
        raise DigestMismatch(
            f"the file {path.name} is not the one that was registered: found {found}, "
            f"registered {expected}",
            where=path,
            fix="restore the file, or register the model again",
        )
