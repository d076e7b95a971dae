"""A check as one page: verdict, columns with their pictures, timelines; for light and dark.

>>> from lifecycle.records import Checks, Feedback
>>> page("churn", [Feedback("churn", accepted=3)])[:15]
'<!doctype html>'

The page is one file that loads nothing, runs no script and can be mailed or kept.
"""

from collections.abc import Sequence
from typing import Any

from lifecycle.records import Check, MonitorReport
from lifecycle.views import timelines
from lifecycle.views.layout import Sheet, count
from lifecycle.views.notebook import STYLE, block
from lifecycle.views.svg import clean

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root{{color-scheme:light dark}}
body{{margin:24px auto;max-width:66em;padding:0 16px;background:#fff;color:#222}}
section{{margin-bottom:28px;overflow-x:auto}}
@media (prefers-color-scheme:dark){{body{{background:#1e1e1e;color:#ddd}}}}
</style>{style}</head>
<body>
"""


def page(title: str, parts: Sequence[Any]) -> str:
    """Records and sheets below each other as a page of their own."""
    blocks = "\n".join(f"<section>{block(part)}</section>" for part in parts)
    return f"{HEAD.format(title=clean(title), style=STYLE)}{blocks}\n</body>\n</html>\n"


def report(record: MonitorReport, checks: Sequence[Check]) -> str:
    """The page of a check, with the timelines of the last checks of its model.

    Args:
        record: what the check says.
        checks: oldest first, this one the last.
    """
    drawn = [timelines.drift(checks), timelines.performance(checks)] if checks else []
    over_time = Sheet(
        f"{record.name}: the last {count(len(checks), 'check')}",
        pictures=[picture for picture in drawn if picture],
    )
    return page(f"{record.name} version {record.version}", [record, over_time])
