"""The way of requests to a venue, as a scene disturbs it: held up, lost, or overtaken."""

from apps.live_gateway.venue_host import VenueHost
from domain.order.commands import VenueRequest
from domain.paper.events import Message


class Transit:
    """The way of requests to a venue: `held` are cancels and replaces that have not arrived yet, while something holds them up; `overtaken`
    are orders, while cancels and replaces arrive before them."""

    def __init__(self, host: VenueHost) -> None:
        self.arrives = host.put
        self.held: list[Message] | None = None
        self.overtaken: list[Message] | None = None
        self.loses = False

    async def put(self, message: Message, arrived: float | None = None) -> None:
        waiting = self.overtaken if isinstance(message, VenueRequest) else self.held
        if waiting is not None:
            waiting.append(message)
        elif isinstance(message, VenueRequest) or not self.loses:
            await self.arrives(message, arrived)

    async def mend(self) -> None:
        late = [*(self.overtaken or ()), *(self.held or ())]
        self.overtaken, self.held, self.loses = None, None, False
        for message in late:
            await self.arrives(message)
