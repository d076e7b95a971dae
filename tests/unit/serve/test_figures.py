import re

from lifecycle.serve.figures import BOUNDS_MS, Figures

SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (-?[0-9.e+-]+)'
)


def check(text):
    """The rules of the exposition format 0.0.4; gives the samples by name and labels."""
    assert text.endswith("\n")
    types, found = {}, {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            assert line.split(" ", 3)[2] not in types
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in {"counter", "gauge", "histogram"}
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name = match[1]
            family = name if name in types else re.sub(r"_(bucket|sum|count)$", "", name)
            assert family in types
            assert list(types)[-1] == family  # samples of a family stand together
            key = line.rpartition(" ")[0]
            assert key not in found
            found[key] = float(match[4])
    return found


def test_the_text_is_prometheus_text():
    figures = Figures()
    figures.answered("churn", 7, 200, rows=3, nanoseconds=400_000)
    figures.answered("churn", 7, 200, rows=1, nanoseconds=20_000_000_000)
    figures.answered("churn", 7, 400)
    figures.turned_away("/ping", 405)
    figures.labels["churn"] = 4
    figures.swapped("churn")
    figures.not_swapped("churn", 'a "quoted"\nreason \\')
    gauges = [("ready", "Ready.", {}, 1), ("info", "Info.", {"how": "onnx"}, 1)]
    found = check(figures.text(gauges))
    assert found['lifecycle_requests_total{model="churn",version="7",status="200"}'] == 2
    assert found['lifecycle_requests_total{model="churn",version="7",status="400"}'] == 1
    assert found['lifecycle_rows_total{model="churn",version="7"}'] == 4
    bucket = 'lifecycle_latency_seconds_bucket{model="churn",version="7",le="%s"}'
    assert found[bucket % "0.00025"] == 0
    assert found[bucket % "0.0005"] == 1
    assert found[bucket % "10"] == 1
    assert found[bucket % "+Inf"] == 2
    assert found['lifecycle_latency_seconds_count{model="churn",version="7"}'] == 2
    assert found['lifecycle_latency_seconds_sum{model="churn",version="7"}'] == 20.0004
    assert found["lifecycle_ready"] == 1
    assert found['lifecycle_swap_failures_total{model="churn"}'] == 1
    assert any("refused_version_info" in key and '\\"quoted\\"\\nreason' in key for key in found)


def test_an_idle_server_has_figures_too():
    assert check(Figures().text())["lifecycle_registry_failures_total"] == 0


def test_a_swap_clears_the_reason():
    figures = Figures()
    figures.not_swapped("churn", "damaged")
    figures.swapped("churn")
    assert figures.reasons == {}
    assert figures.swap_failures == {"churn": 1}


def test_bounds_rise():
    assert list(BOUNDS_MS) == sorted(set(BOUNDS_MS))
