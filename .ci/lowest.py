"""Print the lowest version that pyproject.toml declares of each package, as constraints.

python .ci/lowest.py pyproject.toml > lowest.txt
pip install -c lowest.txt ".[all,test]"
"""

import re
import sys
import tomllib
from pathlib import Path


def lowest(requirement: str) -> str | None:
    """`"numpy>=1.26"` becomes `"numpy==1.26"`; None where no lower bound is declared."""
    found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?[^;]*?>=\s*([0-9][^,;\s]*)", requirement)
    return f"{found[1]}=={found[2]}" if found else None


def main() -> None:
    """Read the file that is named and print one line a package."""
    project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = [
        *project["dependencies"],
        *(item for group in extras.values() for item in group),
    ]
    lines = {line for requirement in requirements if (line := lowest(requirement))}
    sys.stdout.write("\n".join(sorted(lines)) + "\n")


if __name__ == "__main__":
    main()
