"""The fence of a place of objects: the process that took the last number of a folder may write."""

from typing import Final

from adapters.objects import Objects
from domain.ports import Fenced

_PREFIX: Final = "n="


class ObjectWriter:
    """One process among those that may write to objects. `name` names the place in messages."""

    def __init__(self, objects: Objects, folder: str, name: str) -> None:
        self._objects = objects
        self._folder = folder
        self._name = name
        self._number = 0

    async def claim(self) -> None:
        """Take the next number, once; later only check that it is still the last one. Raises Fenced, Unavailable."""
        if self._number:
            await self.check()
            return
        await self._objects.make_bucket()
        earlier = await self._numbers()
        number = max(earlier, default=0) + 1
        if not await self._objects.put_new(self._object(number), b""):
            raise Fenced(f"another sink claimed {self._name} at the same moment")
        self._number = number
        await self._objects.delete([self._object(each) for each in earlier])

    async def check(self) -> None:
        """Raise Fenced if another process took a number after this one; Unavailable."""
        last = max(await self._numbers(), default=0)
        if last != self._number:
            raise Fenced(f"another sink claimed {self._name}: writer {last}, this one is {self._number}")

    async def _numbers(self) -> list[int]:
        names = [name.rpartition(_PREFIX)[2] for name in await self._objects.names(self._folder)]
        return [int(name) for name in names if name.isdecimal()]

    def _object(self, number: int) -> str:
        return f"{self._folder}/{_PREFIX}{number:09d}"
