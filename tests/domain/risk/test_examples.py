"""docs/risk.md is true: each of its examples is run."""

import re
from pathlib import Path

import pytest

from tests.domain.risk.scene import check

PAGE = Path(__file__).parents[3] / "docs" / "risk.md"


def _examples() -> list[tuple[str, str]]:
    """Each block with the heading above it."""
    found, heading = [], ""
    for part in re.finditer(r"^#+ (?P<heading>[^\n]+)$|^```example\n(?P<text>.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        if part["heading"]:
            heading = re.sub(r"\W+", "_", part["heading"])
        else:
            found.append((heading, part["text"]))
    return found


EXAMPLES = _examples()


@pytest.mark.parametrize("text", [text for _, text in EXAMPLES], ids=[heading for heading, _ in EXAMPLES])
def test_an_example_of_the_page_comes_out_as_it_says(text: str) -> None:
    check(text)


def test_the_page_has_an_example_for_each_check() -> None:
    assert len(EXAMPLES) >= 14


def test_a_wrong_example_is_noticed() -> None:
    with pytest.raises(AssertionError, match="it said: order_size_limit 135000 100000 USD"):
        check("alice o1 buy 3 BTCUSDT @45000\n> approved")
