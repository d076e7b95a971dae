"""Pictures are PNGs of the right thing and leave pyplot alone."""

import sys
import threading

import numpy as np
import pytest

from lifecycle.views.plots import calibration, importance, residuals

PNG = b"\x89PNG"


def test_every_picture_is_a_png_that_depends_on_its_data():
    rng = np.random.default_rng(0)
    scores = rng.random(300)
    good, bad = scores > rng.random(300), scores < rng.random(300)
    assert calibration(scores, good)[:4] == PNG
    assert calibration(scores, good) != calibration(scores, bad)
    assert residuals(scores, scores) != residuals(scores, -scores)
    assert importance(["a"], [0.1], [0.0])[:4] == PNG


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_few_rows_are_no_error(rows):
    scores = np.linspace(0.1, 0.9, rows)
    assert calibration(scores, scores > 0.5)[:4] == PNG
    assert residuals(scores, scores)[:4] == PNG


def test_many_columns_are_cut_to_the_largest():
    many = [f"c{at}" for at in range(100)]
    values = np.arange(100.0)
    shown = importance(many, values, np.zeros(100))
    assert shown == importance(many[80:], values[80:], np.zeros(20))


def test_pictures_can_be_drawn_in_any_thread_without_pyplot():
    before = "matplotlib.pyplot" in sys.modules
    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(importance(["a"], [1.0], [0.1])))
    thread.start()
    thread.join()
    assert drawn[0][:4] == PNG
    assert ("matplotlib.pyplot" in sys.modules) == before
