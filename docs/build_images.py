"""Draw the pictures in docs/images from what `lifecycle demo` made.

    lifecycle demo --keep FOLDER
    python docs/build_images.py FOLDER

It checks flights again, from the folder's prediction log: April's, whose columns that moved most
are drawn beside the training rows (`april.png`), and those of each week from 11 March on, which
become a timeline (`timeline.png`).
"""

import sys
from contextlib import chdir
from pathlib import Path

import lifecycle as lc
from lifecycle.demo import APRIL, MAY, NAME, TRAINED_UNTIL
from lifecycle.views import drift_plots, timeline_plots

IMAGES = Path(__file__).parent / "images"


def april(project: lc.Project) -> bytes:
    """The PNG of April's drift report."""
    return drift_plots.png(project.monitor(since=APRIL, until=MAY).drift, most=4)


def timeline(project: lc.Project) -> bytes:
    """The PNG of what the check of each week found."""
    last = project.monitor(every="7d", since=TRAINED_UNTIL, until=MAY)
    weeks = {report.run_id for report in (*last.earlier, last)}
    return timeline_plots.png([one for one in project.checks() if one.run_id in weeks])


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with chdir(Path(sys.argv[1]).resolve()):
        flights = lc.Project(NAME, tracking__uri="sqlite:///mlflow.db", log__dir="lifecycle-log")
        drawn = {"april.png": april(flights), "timeline.png": timeline(flights)}
    for name, picture in drawn.items():
        (IMAGES / name).write_bytes(picture)
