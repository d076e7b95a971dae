"""Write docs/audit.md: one version's life, with what each command really prints.

python docs/build_audit.py

The commands of the page are run one after another in an empty folder, with a registry of their own;
a comment (`# ann`) says who runs them. tests/integration/test_audit_page.py runs them again and
compares.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from lifecycle.cli import main

PAGE = Path(__file__).with_name("audit.md")

SETTINGS = """\
name = "churn"
target = "churned"
time = "ts"
key = "customer_id"

[train]
candidates = ["logistic_regression"]

[gates]
use = ["floor", "champion", "signature", "sanity"]
floor = { roc_auc = 0.6 }

[approvals]
needed = 1
approvers = ["ben"]
"""

TEMPLATE = """\
# For auditors

<!-- written by docs/build_audit.py, which runs every command on this page; edit it there -->

This page follows one version of a model, `churn/1`, and answers what an auditor asks: who trained
it and on what, what was checked, who approved it, what served on a given day, and how all of that
is verified without trusting us. Every line below is what the commands print.

## The life of the version

The project asks for one approver other than the author before anything goes to production:

```toml
{settings}```

Ann trains and registers it, and puts it to staging, which the gates must allow:

```console
# ann
lifecycle train --data customers.parquet
lifecycle promote churn/1 --to staging
```

Alone she gets no further:

```console
# ann
lifecycle promote churn/1 --to production
```
@output 12

```console
# ann
lifecycle request churn/1 --to production --reason "first model, ticket 12"
# ben
lifecycle approve churn/1 --reason "figures and data seen"
# ann
lifecycle promote churn/1 --to production --reason "ticket 12"
```

## Who did what, when and why

```console
lifecycle history churn
```
@output 40

Each of these entries is stored in MLflow, can be written only once, and names the sha256 of the one
before it. [How it is stored](how-it-is-stored.md) has the format. Whose name it is: what
`LIFECYCLE_ACTOR` says, else the user of the machine; a tracking server with authentication knows
better, and the entries say which it was.

## What served on a day, and why

```console
lifecycle history churn --at {today}
```
@output 20

## What it was trained on, and what the gates said

The card of a version is made of records alone; its last column says of which.

```console
lifecycle card churn/1
lifecycle card churn/1 --output card.html
```
@output 46

The digest of the data is over all rows, values and types: whoever has the rows can compute it again
(`lifecycle.stores.datasets.digest`). `lifecycle reproduce churn/1` trains the version again on them
and compares.

## Is the record whole?

```console
lifecycle verify churn
```
@output 13

What nobody can tell from a registry alone is whether all of it was rewritten, or its end cut off.
That shows against a head that was noted elsewhere: `lifecycle history churn --head FILE` writes
one, `lifecycle verify churn --head FILE` compares.

## Take the evidence away

```console
lifecycle export churn/1 --audit evidence
```
@output 20

`lifecycle export churn --audit DIR --year 2026` does the same for all that happened in a year, and
`--files` copies the model's files, too. A folder is written aside and renamed when it is whole.
Rows of people are not in it, only their digests.

On the auditor's machine, without this package, without MLflow, without a network:

```console
cd evidence
sha256sum --check --quiet SHA256SUMS
python3 -I verify.py
```
@output 20

A browser shows `index.html`: who served when, the ledger, the card, the gate reports. The folder's
own README says in plain words what each file is, and what all this proves.

The chain by hand: the sha256 of line 2 is what line 3 names as the one before it.

```console
sed -n 2p ledger.jsonl | tr -d '\\n' | sha256sum
sed -n 3p ledger.jsonl | grep -o '"prev":"[0-9a-f]*"'
```
@output 5

Whoever changes a single byte is found, even when the list of sums is written anew:

```console
sed -i 's/ticket 12/ticket 13/' ledger.jsonl
find . -type f ! -name SHA256SUMS -printf '%P\\0' | sort -z | xargs -0 sha256sum > SHA256SUMS
python3 -I verify.py
```
@output 20

## What it does not prove

- A name in the ledger is as good as what it comes from: an authenticated server, or a variable that
  anyone can set. Entries say which.
- Links stand in an export for entries that are not shown; their text is not in the folder.
- `verify.py` comes with the folder. Use a copy of your own, or `lifecycle verify --folder`, and
  compare the head and the sha256 of SHA256SUMS with what was noted elsewhere on the day.
- Signatures (`[signing]`) say which key vouched for a version. Without them a whole registry can be
  replaced by another that is consistent in itself; heads that were noted elsewhere still show it.

## From development to production

```console
lifecycle transfer churn/1 --registry sqlite:///prod.db
```
@output 12

carries the version with its hold-out rows, its gate reports and its part of the ledger to another
registry, once, however often it is called. Both ledgers then name each other's head. The gates are
run again there, against the champion there.
"""

HOME: list[Path] = []  # where the last page was built
BLOCK = re.compile(r"^```console\n(.*?)^```\n(?:@output (\d+)\n)?", re.MULTILINE | re.DOTALL)


def customers(rows: int = 1500) -> pd.DataFrame:
    """The same customers each time."""
    rng = np.random.default_rng(0)
    tenure, calls = rng.gamma(2.0, 12.0, rows), rng.poisson(1.5, rows)
    chance = 1.0 / (1.0 + np.exp(1.0 + 0.04 * tenure - 0.6 * calls))
    return pd.DataFrame({
        "customer_id": [f"c{index}" for index in range(rows)],
        "ts": pd.date_range("2026-01-01", periods=rows, freq="15min"),
        "tenure": tenure,
        "support_calls": calls,
        "churned": (rng.random(rows) < chance).astype(int),
    })  # fmt: skip


def build() -> str:
    """The page, after all its commands were run in the working folder, which must be empty."""
    HOME.append(Path.cwd())
    customers().to_parquet("customers.parquet")
    Path("lifecycle.toml").write_text(SETTINGS, encoding="utf-8")
    today = pd.Timestamp.now(tz="UTC").date().isoformat()
    text = TEMPLATE.replace("{settings}", SETTINGS).replace("{today}", today)
    return BLOCK.sub(_done, text)


def _done(found: re.Match[str]) -> str:
    said = "".join(_run(line) for line in found[1].splitlines())
    shown = f"```console\n{found[1]}```\n"
    if not found[2]:
        return shown
    said = said.replace(str(HOME[-1]), "/srv/churn")
    lines = [line.rstrip() for line in said.strip("\n").splitlines()]
    if len(lines) > int(found[2]):
        lines = [*lines[: int(found[2])], "…"]
    return "\n".join([f"{shown}\n```text", *lines, "```", ""])


def _run(line: str) -> str:
    if line.startswith("# "):
        os.environ["LIFECYCLE_ACTOR"] = line.removeprefix("# ")
        return ""
    if line.startswith("cd "):
        os.chdir(line.removeprefix("cd "))
        return ""
    if not line.startswith("lifecycle "):
        command = line.replace("python3", sys.executable)
        done = subprocess.run(  # noqa: S602 - the page's own lines, with their pipes
            command, shell=True, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    os.chdir(HOME[-1])  # back from the evidence
    words, said = shlex.split(line)[1:], io.StringIO()
    sys.argv = ["lifecycle", *words]
    quiet = contextlib.suppress(SystemExit)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), quiet:
        main(words)
    return said.getvalue()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)
        os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"
        page = build()
        os.chdir(here)
    PAGE.write_text(page, encoding="utf-8")
