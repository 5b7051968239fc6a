"""The kinds of content of a stream. The command line imports these names without the service."""

from typing import Final

ORDERS: Final = "orders"
EVENTS: Final = "events"
POSITIONS: Final = "positions"
CONTROLS: Final = "controls"
MARKS: Final = "marks"
SERVICES: Final = "services"
LISTS: Final = "lists"
ALGOS: Final = "algos"
KINDS: Final = (ORDERS, EVENTS, POSITIONS, CONTROLS, MARKS, SERVICES, LISTS, ALGOS)
KINDS_DEFAULT: Final = (ORDERS, POSITIONS, CONTROLS, SERVICES)
