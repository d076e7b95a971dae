"""One command per verb: parse, build, call one workflow."""
