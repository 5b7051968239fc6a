"""docs/configuration.md is what the settings code says."""

from config.reference import PAGE, page


def test_the_configuration_reference_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: make docs"


def test_it_tells_every_key_with_its_bounds_and_what_the_file_says() -> None:
    said = page()
    assert "| `order_management.intake_max` | whole number from 1 to" in said
    assert "| `journal.durability` | `fsync`, `relaxed` | `fsync` | relaxed: a power cut may lose answered orders |" in said
    assert "risk_service.url" in said, "without effect, and why"
