"""The shipped alerts: read by Prometheus' own tool, fire when they should, and only then."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from lifecycle.serve.counts import joined
from lifecycle.serve.figures import Figures

ALERTS = Path(__file__).parents[2] / "examples" / "prometheus" / "alerts.yml"
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load(ALERTS.read_text())["groups"]
    for rule in group["rules"]
}
MODEL = 'instance="a", job="lifecycle", model="churn", version="7"'
# by alert: series of one sample a minute from quiet to loud, and the same quiet
SERIES = {
    "LifecycleNotReady": [('lifecycle_ready{instance="a"}', "1+0x9 0+0x20", "1+0x30")],
    "LifecycleErrors": [
        (f'lifecycle_requests_total{{{MODEL}, status="500"}}', "0+0x9 0+30x20", "0+0x30"),
        (f'lifecycle_requests_total{{{MODEL}, status="200"}}', "0+600x30", "0+600x30"),
    ],
    "LifecycleOverloaded": [
        ('lifecycle_refused_total{instance="a", status="503"}', "0+60x30", "0+1x30"),
        ('lifecycle_refused_total{instance="a", status="400"}', "0+60x30", "0+60x30"),
    ],
    "LifecycleSlow": [
        (f'lifecycle_latency_seconds_bucket{{{MODEL}, le="0.1"}}', "0+0x30", "0+60x30"),
        (f'lifecycle_latency_seconds_bucket{{{MODEL}, le="0.5"}}', "0+60x30", "0+60x30"),
        (f'lifecycle_latency_seconds_bucket{{{MODEL}, le="+Inf"}}', "0+60x30", "0+60x30"),
    ],
    "LifecycleNotLogged": [
        ('lifecycle_not_logged_rows_total{instance="a"}', "0+0x25 5+5x5", "7+0x30")
    ],
    "LifecycleRegistryDown": [('lifecycle_registry_down{instance="a"}', "0+0x9 1+0x20", "0+0x30")],
    "LifecycleVersionRefused": [
        (
            'lifecycle_refused_version_info{instance="a", model="churn", reason="version 8"}',
            "1+0x30",
            "_x30",
        )
    ],
    "LifecycleWorkersDie": [('lifecycle_workers_died{instance="a"}', "0+0x9 1+1x20", "1+0x30")],
    "LifecycleKeysRefused": [
        ('lifecycle_refused_total{instance="a", status="401"}', "0+120x30", "0+6x30")
    ],
}


def test_every_alert_says_how_bad_it_is_and_what_it_means():
    assert set(RULES) == set(SERIES)
    for rule in RULES.values():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith((".", "}"))
        assert "lifecycle_" in rule["expr"]


@pytest.fixture(scope="module")
def promtool(tmp_path_factory):
    """Prometheus' tool: the one that is installed, else Debian's package, unpacked."""
    found = shutil.which("promtool")
    if found:
        return found
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("promtool is not installed, and this is no Debian to get it from")
    folder = tmp_path_factory.mktemp("prometheus")
    got = subprocess.run(
        ["apt-get", "download", "prometheus"], cwd=folder, capture_output=True, check=False
    )
    packages = list(folder.glob("*.deb"))
    if got.returncode or not packages:
        pytest.skip(f"the package prometheus cannot be had: {got.stderr.decode()[-200:]}")
    subprocess.run(["dpkg-deb", "-x", packages[0], folder], check=True)
    return str(folder / "usr/bin/promtool")


def run(promtool, *arguments):
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_prometheus_reads_the_rules(promtool):
    assert f"{len(RULES)} rules found" in run(promtool, "check", "rules", str(ALERTS))


@pytest.mark.slow
@pytest.mark.parametrize("loud", [True, False], ids=["loud", "quiet"])
def test_each_alert_fires_when_it_should(promtool, tmp_path, loud):
    cases = []
    for name, series in SERIES.items():
        labels = {"severity": RULES[name]["labels"]["severity"]}
        of = series[0][0]
        by = re.search(r"by \(([^)]*)\)", RULES[name]["expr"])
        kept = set(re.split(r",\s*", by[1])) if by else None
        labels |= {
            key: text
            for key, text in re.findall(r'(\w+)="([^"]*)"', of)
            if key != "le" and (kept is None or key in kept)
        }
        cases.append(
            {
                "interval": "1m",
                "input_series": [
                    {"series": one, "values": values[not loud]} for one, *values in series
                ],
                "alert_rule_test": [
                    {
                        "eval_time": "30m",
                        "alertname": name,
                        "exp_alerts": [{"exp_labels": labels}] if loud else [],
                    }
                ],
            }
        )
    # without annotations: their wording is no matter of when an alert fires
    bare = yaml.safe_load(ALERTS.read_text())
    for rule in bare["groups"][0]["rules"]:
        del rule["annotations"]
    (tmp_path / "bare.yml").write_text(yaml.safe_dump(bare))
    tests = {"rule_files": ["bare.yml"], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    assert "SUCCESS" in run(promtool, "test", "rules", str(tmp_path / "tests.yml"))


@pytest.mark.slow
def test_prometheus_reads_the_figures(promtool):
    figures = Figures()
    figures.answered("churn", 7, 200, rows=3, nanoseconds=400_000)
    figures.answered('a "b"\\', 8, 500, rows=1, nanoseconds=10**12)
    figures.called("churn", 7, 2)
    figures.turned_away("/invocations", 401)
    figures.not_swapped("late", 'version 3: "gone"\nfor good')
    gauges = joined([("ready", "Workers.", {}, 1), ("model_info", "What.", {"why": "a\nb"}, 1)])
    done = subprocess.run(
        [promtool, "check", "metrics"], input=figures.text(gauges), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
