"""The command stream, read again after a crash: nothing is said twice, the epoch is known."""

import asyncio
from collections.abc import AsyncIterator

import fakeredis
import pytest

from agent_worker.commands import AgentMemory, read_commands
from agent_worker.redis_streams import RedisClient
from agent_worker.tasks import end_tasks
from avatar_contracts.codec import encode
from avatar_contracts.messages import (
    AvatarAssignedCommand,
    CommandMessage,
    EndCommand,
    InterruptCommand,
    SayCommand,
)
from avatar_contracts.streams import commands_key
from tests.unit.agent_worker.speech import until

pytestmark = pytest.mark.unit


@pytest.fixture
async def redis() -> AsyncIterator[RedisClient]:
    client = fakeredis.FakeAsyncRedis()
    yield client
    await client.aclose()


async def order(redis: RedisClient, *commands: CommandMessage) -> None:
    for command in commands:
        await redis.xadd(commands_key("s"), encode(command))


async def read(redis: RedisClient, count: int) -> list[CommandMessage]:
    """What an agent that starts now is told first."""
    told: list[CommandMessage] = []

    async def listen() -> None:
        async for command in read_commands(redis, "s", AgentMemory(redis, "s")):
            told.append(command)  # noqa: PERF401  # it never ends

    task = asyncio.create_task(listen())
    await until(lambda: len(told) >= count)
    await asyncio.sleep(0.05)
    await end_tasks(task)
    return told


async def test_commands_come_in_order_also_those_from_before_the_agent(redis: RedisClient) -> None:
    commands = [AvatarAssignedCommand(1), SayCommand("a"), InterruptCommand(), EndCommand()]
    await order(redis, *commands)
    assert await read(redis, 4) == commands


async def test_an_agent_dispatched_again_says_nothing_twice(redis: RedisClient) -> None:
    await order(redis, AvatarAssignedCommand(1), SayCommand("a"), InterruptCommand())
    await read(redis, 3)
    await order(redis, AvatarAssignedCommand(2), SayCommand("b"))
    assert await read(redis, 3) == [
        AvatarAssignedCommand(1),
        AvatarAssignedCommand(2),
        SayCommand("b"),
    ]


async def test_an_entry_that_nobody_understands_is_passed_over(redis: RedisClient) -> None:
    await redis.xadd(commands_key("s"), {b"v": b"9", b"t": b"say"})
    await order(redis, EndCommand())
    assert await read(redis, 1) == [EndCommand()]


async def test_a_session_is_greeted_once(redis: RedisClient) -> None:
    assert await AgentMemory(redis, "s").first_greeting()
    assert not await AgentMemory(redis, "s").first_greeting()
