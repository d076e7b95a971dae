"""How a new version reaches users, and on which evidence; pure rules, no input and no output.

`plan.py` says which plans and specs are valid, `assignment.py` which arm a request falls to,
`events.py` and `state.py` what the ledger's entries mean, `guards.py` what is watched,
`weighing.py` and `shadowing.py` what the counts prove, `deciding.py` what follows from that, and
`planning.py` what a rollout will be able to find.

To add a strategy:

1. write a `Strategy` in a file of its own (`canary.py` is one): which specs it refuses, what is
   weighed, and what follows when nothing is harmful; `decide` has the rules that all share;
2. add a row to `strategies.STRATEGIES`; the conformance suite then tries it on good, harmful, odd
   and missing counts;
3. name it with `--strategy` or in `[rollout] strategy`.

A strategy of your own needs no row: name it "mypkg.rollouts:BLUE_GREEN". To add a guard, see
`guards.py`.
"""
