"""The documents: what they show works as they show it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[str]:
    """The Python examples of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_tour_of_the_readme_runs() -> None:
    """Would catch a README that shows what does not work."""
    (tour,) = blocks("README.md")
    assert sum(bool(line.strip()) for line in tour.splitlines()[1:]) <= 10
    result = subprocess.run([sys.executable, "-P", "-c", tour], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "12" in result.stdout
    assert "Anna" in result.stdout
    assert "(2, 256)" in result.stdout


def test_the_guide_runs() -> None:
    """Would catch an example of the guide that does not work. The examples build on each other."""
    setting = "import asyncio, msgspec\nclass Cat:\n    @classmethod\n    def model_json_schema(cls): return {'type': 'object'}\ntexts = ['a', 'b']\n"
    code = setting
    for block in blocks("docs/library.md"):
        if "await " in block or "async for" in block:
            body = "".join(f"    {line}\n" for line in block.splitlines())
            code += f"async def example():\n{body}\nasyncio.run(example())\n"
        else:
            code += block.replace("(...)", "")
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "Anna" in result.stdout


def test_the_table_of_options_is_current() -> None:
    """Would catch an option that the guide does not have, or has with another range."""
    tool = ROOT / "tools" / "options_table.py"
    result = subprocess.run([sys.executable, "-P", str(tool), "--check"])
    assert result.returncode == 0, "run: python -P tools/options_table.py"


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    """Would catch a link to a file that was moved."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8")):
        assert ((ROOT / page).parent / target).exists(), target
