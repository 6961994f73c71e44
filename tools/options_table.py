"""Writes the table of options in docs/library.md from the code.

python -P tools/options_table.py           # rewrite it
python -P tools/options_table.py --check   # exit 1 if it is out of date
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyollama.engine import OPTIONS, OptionSpec

PAGE = Path(__file__).parents[1] / "docs" / "library.md"
BEGIN, END = "<!-- options: written by tools/options_table.py -->\n", "<!-- end of options -->\n"


def row(spec: OptionSpec) -> str:
    """One line of the table."""
    default = ", ".join(spec.default) if isinstance(spec.default, tuple) else spec.default
    if default is None:
        default = ""
    elif isinstance(default, bool):
        default = str(default).lower()
    shown = repr(default)[1:-1] if isinstance(default, str) else default
    return f"| `{spec.name}` | {spec.type_text} | {shown} | {spec.range_text} | {spec.doc} |\n"


def table() -> str:
    """Both groups."""
    text = ""
    for group, title in (("load", "When loading"), ("sampling", "For each request")):
        text += f"\n### {title}\n\n| Option | Type | Default | Range | |\n|---|---|---|---|---|\n"
        text += "".join(row(spec) for spec in OPTIONS.values() if spec.group == group)
    return text + "\n"


def main() -> int:
    """Rewrite or check the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    written = before + BEGIN + table() + END + rest.split(END)[1]
    if "--check" in sys.argv[1:]:
        return int(written != page)
    PAGE.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
