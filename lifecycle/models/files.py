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
from pathlib import Path

from lifecycle.errors import DigestMismatch, ModelNotFound

# written by MLflow into the folder when a version is registered or downloaded
EXCLUDED = {"registered_model_meta"}
PREFIX = "sha256:"


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
    """
    root = Path(folder)
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in EXCLUDED)
    if not paths:
        raise ModelNotFound("the model's folder is missing or empty", where=root)
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{path.relative_to(root).as_posix()}\0{file_digest(path)}\n".encode())
    return PREFIX + whole.hexdigest()


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
