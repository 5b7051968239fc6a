"""The state machine drawn as Mermaid, DOT, SVG or JSON."""
