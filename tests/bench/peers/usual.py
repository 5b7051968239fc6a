"""The usual way: FastAPI, pydantic, SQLAlchemy (async) and PostgreSQL; one transaction an order, the same checks.

The whole life happens here, in one process: submit commits the order; a background task then routes it, fills it and moves the position,
each step a transaction of its own, as a worker with a job table would.
"""

import asyncio
import os
from decimal import Decimal
from typing import Any, ClassVar

import uvicorn
import uvloop
from fastapi import FastAPI
from sqlalchemy import ForeignKey, Numeric, func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.bench.load import ACCOUNTS, SEED_QUANTITY
from tests.bench.peers.body import Submit

EQUITY = Decimal(1_000_000)
ORDER_MAX = Decimal(100_000)
WORKERS = 16


class Table(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {Decimal: Numeric(38, 12)}


class Account(Table):
    __tablename__ = "accounts"
    name: Mapped[str] = mapped_column(primary_key=True)
    reserved: Mapped[Decimal] = mapped_column(default=Decimal(0))


class Position(Table):
    __tablename__ = "positions"
    account: Mapped[str] = mapped_column(ForeignKey("accounts.name"), primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[Decimal] = mapped_column(default=Decimal(0))


class Row(Table):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str]
    client_order_id: Mapped[str] = mapped_column(unique=True)
    symbol: Mapped[str]
    side: Mapped[str]
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]
    status: Mapped[str]


class Fill(Table):
    __tablename__ = "fills"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]


engine = create_async_engine(os.environ["USUAL_URL"], pool_size=16, max_overflow=0)
session = async_sessionmaker(engine, expire_on_commit=False)
accepted: asyncio.Queue[int] = asyncio.Queue()
app = FastAPI()


@app.post("/orders")
async def submit(asked: Submit) -> dict[str, Any]:
    async with session.begin() as db:
        account = await db.get(Account, asked.account, with_for_update=True)
        assert account is not None
        position = await db.get(Position, (asked.account, asked.symbol))
        held = position.quantity if position else Decimal(0)
        reason = refused(asked, held, account.reserved)
        row = Row(
            account=asked.account,
            client_order_id=asked.client_order_id,
            symbol=asked.symbol,
            side=asked.side,
            quantity=asked.quantity,
            price=asked.price,
            status="rejected" if reason else "queued",
        )
        db.add(row)
        if not reason:
            account.reserved += asked.quantity * asked.price
    if reason:
        return {"status": "rejected", "order_id": str(row.id), "reason": reason}
    accepted.put_nowait(row.id)
    return {"status": "submitted", "order_id": str(row.id)}


def refused(asked: Submit, held: Decimal, reserved: Decimal) -> str | None:
    """Order size, position, short, concentration, buying power."""
    value = asked.quantity * asked.price
    after = held + (asked.quantity if asked.side == "buy" else -asked.quantity)
    checks = (
        ("order_size_limit", value > ORDER_MAX),
        ("position_limit", abs(after) * asked.price > EQUITY),
        ("short_restriction", after < 0),
        ("concentration_limit", abs(after) * asked.price > EQUITY / 2),
        ("buying_power", reserved + value > EQUITY * 2),
    )
    return next((name for name, broken in checks if broken), None)


async def work() -> None:
    """Route, then fill and move the position: two transactions an order."""
    while True:
        order_id = await accepted.get()
        async with session.begin() as db:
            row = await db.get(Row, order_id, with_for_update=True)
            assert row is not None
            row.status = "routed"
        async with session.begin() as db:
            row = await db.get(Row, order_id, with_for_update=True)
            assert row is not None
            account = await db.get(Account, row.account, with_for_update=True)
            assert account is not None
            position = await db.get(Position, (row.account, row.symbol), with_for_update=True)
            assert position is not None
            position.quantity += row.quantity if row.side == "buy" else -row.quantity
            account.reserved -= row.quantity * row.price
            row.status = "filled"
            db.add(Fill(order_id=row.id, quantity=row.quantity, price=row.price))


@app.get("/filled")
async def filled() -> int:
    async with session() as db:
        return await db.scalar(select(func.count(Fill.id))) or 0


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Table.metadata.create_all)
    async with session.begin() as db:
        db.add_all(Account(name=f"load-{number}", reserved=Decimal(0)) for number in range(ACCOUNTS))
        await db.flush()
        db.add_all(Position(account=f"load-{number}", symbol="BTCUSDT", quantity=Decimal(SEED_QUANTITY)) for number in range(ACCOUNTS))
    workers = [asyncio.create_task(work()) for _ in range(WORKERS)]
    config = uvicorn.Config(app, host="127.0.0.1", port=int(os.environ["USUAL_PORT"]), loop="none", log_config=None, access_log=False)
    await uvicorn.Server(config).serve()
    for worker in workers:
        worker.cancel()


if __name__ == "__main__":
    uvloop.run(main())
