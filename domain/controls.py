"""What people forbid while the market runs: a fold of control events. A symbol block today; the kill switch will be one more kind."""

import msgspec


class Control(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    """Who decided what, when (nanoseconds UTC) and why. `version` counts the controls without holes."""

    version: int
    at: int
    who: str
    reason: str


class SymbolBlocked(Control, frozen=True, kw_only=True, tag=True, gc=False):
    symbol: str


class SymbolUnblocked(Control, frozen=True, kw_only=True, tag=True, gc=False):
    symbol: str


ControlEvent = SymbolBlocked | SymbolUnblocked


class Controls:
    """What is forbidden now. The last word on a symbol counts; repeating it changes only who said it last and why."""

    def __init__(self) -> None:
        self.version = 0
        self.blocks: dict[str, SymbolBlocked] = {}

    def apply(self, event: ControlEvent) -> None:
        self.version = event.version
        if isinstance(event, SymbolBlocked):
            self.blocks[event.symbol] = event
        else:
            self.blocks.pop(event.symbol, None)

    def blocked(self, symbol: str) -> bool:
        return symbol in self.blocks
