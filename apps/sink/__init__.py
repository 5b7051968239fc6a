"""sink: writes logs into places. One program, two configurations: sink-ticks (the market) and sink-alt (journal, controls, documents)."""
