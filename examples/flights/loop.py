"""The loop on late flights, step by step: train, promote, score, check, retrain, compare.

python loop.py
"""

import lifecycle as lc
from lifecycle.demo import flights

TRAINED_UNTIL, APRIL, MAY, JUNE = "2013-03-11", "2013-04-01", "2013-05-01", "2013-06-01"


def main() -> None:
    """Run the loop in this folder and print what each step says."""
    project = lc.Project(config="lifecycle.toml")
    table = flights()
    day = table["time"]

    training = project.train(table[day < TRAINED_UNTIL])
    for candidate in training.candidates:
        print(candidate.name, *candidate.metrics[:1])
    first = project.register(training.best)
    project.promote(first, to="staging")
    project.promote(first, to="production")

    live = table[(day >= TRAINED_UNTIL) & (day < MAY)]
    scores = project.score(live.drop(columns="late"))
    print(f"{len(scores):,} flights scored by version {first.version}")
    print("March:", project.monitor(since=TRAINED_UNTIL, until=APRIL).outcome)
    april = project.monitor(since=APRIL, until=MAY, html="april.html")
    print("April:", april.outcome, *april.reasons, sep="\n  ")

    project.feedback(live[["flight_id", "time", "late"]])
    retraining = project.retrain(table[day < MAY])
    if retraining.version is None or retraining.refused:
        print("not retrained:", retraining.refused or retraining.decision.reasons)
        return
    project.promote(retraining.version, to="staging")
    second = project.promote(retraining.version, to="production")

    later = table[(day >= MAY) & (day < JUNE)]
    gain = project.evaluate(second, later, against=first).difference
    print("AUC on May, new minus old:", gain)
    for entry in project.history().entries:
        print(entry.seq, entry.kind, entry.version, entry.source or "", entry.to or "")


if __name__ == "__main__":
    main()
