"""Draw the README's picture, docs/images/april.png, from what `lifecycle demo` made.

    lifecycle demo --keep FOLDER
    python docs/build_images.py FOLDER

It checks April's flights again, from the folder's prediction log, and draws the columns that moved
most beside the training rows, as `drift_plots.png` does for any report.
"""

import sys
from contextlib import chdir
from pathlib import Path

import lifecycle as lc
from lifecycle.demo import APRIL, MAY, NAME
from lifecycle.views import drift_plots

IMAGES = Path(__file__).parent / "images"


def april(folder: Path) -> bytes:
    """The PNG of April's drift report, from the demo's folder."""
    with chdir(folder):
        project = lc.Project(NAME, tracking__uri="sqlite:///mlflow.db", log__dir="lifecycle-log")
        return drift_plots.png(project.monitor(since=APRIL, until=MAY).drift, most=4)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "april.png").write_bytes(april(Path(sys.argv[1]).resolve()))
