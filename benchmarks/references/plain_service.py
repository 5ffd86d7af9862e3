"""A plain FastAPI service: reads, lists and changes customers for users with a token.

It is the least that does the same as Automart for these requests: a signed token, a user whose row
is read with each request, validated bodies, transactions that wait for the disk.

`uvicorn plain_service:app` serves it. `python plain_service.py CUSTOMERS` creates its tables and
rows, and prints a token. Both need DATABASE_URL.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, create_engine, event, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

KEY = "a key that every reader of the benchmarks knows"
PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 15000")

engine = create_engine(os.environ["DATABASE_URL"])
if engine.dialect.name == "sqlite":

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: object) -> None:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "plain_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    is_active: Mapped[bool]


class CustomerRow(Base):
    __tablename__ = "plain_customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    first_name: Mapped[str]
    last_name: Mapped[str]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    created_by: Mapped[int] = mapped_column(ForeignKey(User.id))
    updated_by: Mapped[int] = mapped_column(ForeignKey(User.id))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Customer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    first_name: str
    last_name: str
    email: str | None
    phone: str | None
    created_by: int
    updated_by: int
    created_at: datetime
    updated_at: datetime


class Page(BaseModel):
    items: list[Customer]


class Changes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    first_name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    last_name: Annotated[str, Field(min_length=1, max_length=100)] | None = None


async def open_session() -> AsyncIterator[Session]:
    with Session(engine, expire_on_commit=False) as session:
        yield session


OpenSession = Annotated[Session, Depends(open_session)]
Credentials = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


async def authenticate(credentials: Credentials, session: OpenSession) -> User:
    try:
        claims = jwt.decode(credentials.credentials, KEY, ["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    user = session.get(User, int(claims["sub"]))
    if user is None or not user.is_active:
        raise HTTPException(401)
    return user


CurrentUser = Annotated[User, Depends(authenticate)]


def find(session: Session, customer_id: int) -> CustomerRow:
    row = session.get(CustomerRow, customer_id)
    if row is None:
        raise HTTPException(404)
    return row


app = FastAPI()


# Functions that are `async` and yet wait for the database: with one process this is the fastest
# form, since no request has to be handed to a thread.
@app.get("/v1/customers/{customer_id}", response_model=Customer)
async def read(customer_id: int, session: OpenSession, _user: CurrentUser) -> Any:
    return find(session, customer_id)


@app.get("/v1/customers", response_model=Page)
async def list_customers(
    session: OpenSession,
    _user: CurrentUser,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: int = 0,
) -> Any:
    rows = select(CustomerRow).where(CustomerRow.id > after).order_by(CustomerRow.id).limit(limit)
    return {"items": session.scalars(rows).all()}


@app.patch("/v1/customers/{customer_id}", response_model=Customer)
async def change(
    customer_id: int, changes: Changes, session: OpenSession, user: CurrentUser
) -> Any:
    row = find(session, customer_id)
    for name, value in changes.model_dump(exclude_none=True).items():
        setattr(row, name, value)
    row.updated_by, row.updated_at = user.id, datetime.now(UTC)
    session.commit()
    return row


def fill(customers: int) -> None:
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    same = {"phone": None, "created_by": 1, "updated_by": 1}
    same |= dict.fromkeys(("created_at", "updated_at"), datetime.now(UTC))
    rows = [
        {"first_name": f"First{n}", "last_name": f"Last{n}", "email": f"c{n}@example.com"} | same
        for n in range(1, customers + 1)
    ]
    with Session(engine) as session, session.begin():
        session.add(User(id=1, is_active=True))
        session.flush()
        session.execute(insert(CustomerRow), rows)


if __name__ == "__main__":
    fill(int(sys.argv[1]))
    expires = datetime.now(UTC) + timedelta(days=1)
    print(jwt.encode({"sub": "1", "exp": expires}, KEY, "HS256"))
