"""docs/configuration.md is what the settings code says."""

import re
from pathlib import Path

from config.catalogue import load_instruments
from config.reference import PAGE, page


def test_the_configuration_reference_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: make docs"


def test_it_tells_every_key_with_its_bounds_and_what_the_file_says() -> None:
    said = page()
    assert "| `order_management.intake_max` | whole number from 1 to" in said
    assert "| `journal.durability` | `fsync`, `relaxed` | `fsync` | relaxed: a power cut may lose acknowledged orders |" in said
    assert "risk_service.url" in said, "without effect, and why"
    assert "| `negative_prices` | true, false | `false` | whether the price may be zero or negative |" in said


def test_the_example_of_instruments_can_be_read(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(groups:.*?)```", page(), re.DOTALL)
    assert found is not None
    (tmp_path / "instruments.yaml").write_text(f"currencies: {{USD: 1}}\n{found.group(1)}")
    instruments = load_instruments(tmp_path / "instruments.yaml").instruments
    assert {symbol for symbol, one in instruments.items() if one.negative_prices} == {"CL", "DE_POWER", "CL-M6-N6"}
