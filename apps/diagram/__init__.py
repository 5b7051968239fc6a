"""The state machine drawn as Mermaid, DOT or SVG."""
