"""Archives: the one shape by which logs reach places that others read. Source -> rows(message) -> Place."""
