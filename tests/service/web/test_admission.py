"""Requests over a limit are refused, and no tenant has all turns."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import httpx
import pytest
from starlette.exceptions import HTTPException

from impasto.errors import StorageError
from impasto.service.web.admission import AdmissionLimit, Space, Turns
from impasto.service.web.receiving import Bodies


class App:
    """Answers with the body of the request when the test says so; a header names the tenant of a request."""

    def __init__(self, turns, most_of_one=100, free=lambda: 1 << 30):
        self.proceed = asyncio.Event()
        self.seen = []
        limited = AdmissionLimit(self.answer, most_of_one=most_of_one)
        space = Space(free, of_one=1)
        bodies = Bodies(limited, largest=1 << 20, exceptions={}, turns=turns, space=space)

        async def with_tenant(scope, receive, send):
            tenant = dict(scope["headers"])[b"tenant"].decode()
            await bodies({**scope, "state": {"tenant": tenant}}, receive, send)

        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(with_tenant), base_url="http://a")

    async def answer(self, scope, receive, send):
        self.seen.append(scope["state"]["tenant"])
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        await self.proceed.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    def post(self, tenant, content=b"x"):
        return asyncio.create_task(self.client.post("/", content=content, headers={"tenant": tenant}))


async def settled():
    for _ in range(50):
        await asyncio.sleep(0)


def test_one_tenant_leaves_a_turn_and_room_to_others():
    async def scenario():
        app = App(Turns(at_once=3, at_once_of_one=2, most=6, most_of_one=4))
        own = [app.post("greedy") for _ in range(5)]
        await settled()
        assert app.seen == ["greedy", "greedy"]
        other = [app.post("other") for _ in range(3)]
        await settled()
        assert app.seen == ["greedy", "greedy", "other"]
        refused = [await each for each in (own[4], other[2])]
        assert [each.status_code for each in refused] == [503, 503]
        assert all(each.json()["code"] == "busy" and each.headers["Retry-After"] for each in refused)
        app.proceed.set()
        answers = await asyncio.gather(*own[:4], *other[:2])
        assert {each.status_code for each in answers} == {200}
        assert sorted(app.seen[3:]) == ["greedy", "greedy", "other"]

    asyncio.run(scenario())


def test_bodies_take_half_of_what_is_free_and_those_of_one_tenant_half_of_that():
    held = {"greedy": 0, "other": 0, "third": 0}
    space = Space(lambda: 800 - sum(held.values()), of_one=1 / 2)

    def take(tenant, size):
        taken = space.take(tenant, size)
        held[tenant] += size if taken else 0
        return taken

    assert take("greedy", 150) and take("greedy", 50) and not take("greedy", 1)
    assert take("other", 150) and not take("third", 51) and take("third", 50)
    space.give_back("greedy", 200)
    held["greedy"] = 0
    assert take("other", 50) and not take("other", 1) and take("third", 150)


def test_a_body_without_space_is_refused():
    async def scenario():
        free = 3 << 20
        app = App(Turns(at_once=9, at_once_of_one=9, most=9, most_of_one=9), free=lambda: free)
        app.proceed.set()
        assert (await app.post("a", bytes(1 << 20))).status_code == 200
        free = 0
        with pytest.raises(HTTPException) as refused:
            await app.post("a", bytes(1 << 20))
        assert refused.value.status_code == 507 and refused.value.headers["Retry-After"]
        assert (await app.post("a", b"small")).status_code == 200
        free = 3 << 20
        for _ in range(9):
            assert (await app.post("a", bytes(1 << 20))).status_code == 200

    asyncio.run(scenario())


def test_a_body_while_nobody_knows_what_is_free_is_refused_for_now():
    """What is free depends on the job table. FastAPI would answer 400 to any other error while it reads a form."""

    def free():
        raise StorageError("the job table cannot be reached; try again")

    async def scenario():
        app = App(Turns(at_once=9, at_once_of_one=9, most=9, most_of_one=9), free=free)
        with pytest.raises(HTTPException, match="cannot be reached") as refused:
            await app.post("a", bytes(1 << 20))
        assert refused.value.status_code == 503 and refused.value.headers["Retry-After"]

    asyncio.run(scenario())


def test_turns_go_round():
    async def scenario():
        turns, order = Turns(at_once=1, at_once_of_one=1, most=99, most_of_one=99), []

        async def work(tenant):
            async with turns.of(tenant):
                order.append(tenant)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for tenant in "aaaabbc":
                group.create_task(work(tenant))
        assert "".join(order) == "aabcaba" or "".join(order) == "abcabaa"

    asyncio.run(scenario())


def test_a_request_that_is_withdrawn_gives_its_turn_back():
    async def scenario():
        turns = Turns(at_once=1, at_once_of_one=1, most=9, most_of_one=9)
        async with AsyncExitStack() as held:
            await held.enter_async_context(turns.of("a"))
            waiting = asyncio.create_task(held.enter_async_context(turns.of("b")))
            await settled()
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
        async with asyncio.timeout(5), turns.of("c"):
            assert not turns.are_full("c")

    asyncio.run(scenario())


def test_requests_of_any_kind_are_limited():
    async def scenario():
        app = App(Turns(at_once=9, at_once_of_one=9, most=9, most_of_one=9), most_of_one=1)
        first = app.post("a")
        await settled()
        assert (await app.post("a")).status_code == 503
        app.proceed.set()
        assert (await first).status_code == 200 and (await app.post("a")).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [0, 1, 64 << 10, (64 << 10) + 1, 1 << 20])
def test_bodies_arrive_as_they_were(size):
    async def scenario():
        app = App(Turns(at_once=9, at_once_of_one=9, most=9, most_of_one=9))
        app.proceed.set()
        content = bytes(range(256)) * (size // 256) + bytes(size % 256)
        assert (await app.post("a", content)).content == content

    asyncio.run(scenario())
