"""Who answers a request, and by which version: pure rules over a `Plan`.

`plan.py` says what a valid plan is, `assignment.py` which arm a request falls to.
To add a strategy, write a function that returns a `Plan`; nothing else needs to know of it.
"""
