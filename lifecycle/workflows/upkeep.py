"""Seal, merge and delete the prediction log's files by hand; a server does it by itself.

>>> import tempfile
>>> from lifecycle.config import Config
>>> with tempfile.TemporaryDirectory() as folder:
...     upkeep(Config().with_values(log__dir=folder))
Kept(merged=0, deleted_files=0, deleted_bytes=0, note='')
"""

from lifecycle.config import Config
from lifecycle.stores.upkeep import Kept, tend


def upkeep(config: Config, *, everything: bool = True) -> Kept:
    """Seal what dead processes left, merge small files, delete what `[log]` no longer keeps.

    Waits for another process that is at it. Journals of living processes, the present day and
    labels are never deleted.

    Args:
        config: `[log]`.
        everything: merge wherever a day has two files of one schema; otherwise only where a server
            would, which leaves the present day alone until it has many.

    Returns:
        What became of the files.

    Raises:
        LogError: a file is damaged or cannot be written; nothing is lost.
    """
    return tend(
        config.log.dir,
        keep_days=config.log.keep_days,
        keep_gb=config.log.keep_gb,
        everything=everything,
        wait=True,
    )
