from __future__ import annotations

import runpy
from pathlib import Path

import pytest

PAGES = runpy.run_path(str(Path(__file__).parents[3] / "tools" / "module_pages.py"))


@pytest.mark.parametrize("directory", PAGES["directories"](), ids=lambda directory: directory.name)
def test_the_page_of_a_module_is_current(directory: Path) -> None:
    text = (directory / "README.md").read_text()
    assert text == PAGES["page"](directory), "run `make format`, which writes it"
    assert text.partition(PAGES["MARK"])[0].startswith("# ")
