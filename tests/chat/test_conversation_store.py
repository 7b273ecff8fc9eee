"""Conversations in the database: the tree, the list, the search, the bounds, and that all of it can be deleted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select, text
from sqlalchemy.exc import IntegrityError

from llmgate.daemon.store import chats, conversations, images, messages, users
from llmgate.daemon.store.conversations import Conversation
from llmgate.daemon.store.database import Database
from llmgate.errors import Conflict, InvalidRequest, NotFound, PermissionDenied
from tests.chat.keeping import GIF, PNG, a_user, answered, asked, begun, exchange
from tests.services.fixtures import opened

NOW = datetime.now(UTC)


async def _count(database: Database, *tables: Any) -> list[int]:
    async with database.read() as tx:
        return [int(await tx.scalar(select(func.count()).select_from(table)) or 0) for table in tables]


async def _titles(database: Database, user_id: str, search: str | None = None) -> list[str]:
    async with database.read() as tx:
        return [one.title for one in await conversations.page(tx, user_id=user_id, search=search)]


# -- the tree ------------------------------------------------------------------------------


async def test_a_tree_of_questions_and_answers_and_the_branch_that_is_shown(database: Database) -> None:
    ann = await a_user(database)
    one = await begun(database, ann, system="Be brief.", parameters={"seed": 1, "stop": ["x"]})
    async with database.begin() as tx:
        question = await asked(tx, one.id, None, "Hello?", PNG, GIF)
        first = await answered(tx, question, "Hi.", thinking="Hm.", input_tokens=3, output_tokens=2, duration=0.5)
        second = await answered(tx, question, "Hello!", outcome="stopped", notice="n")
        edited = await asked(tx, one.id, None, "Hello there?")
        third = await answered(tx, edited, "", outcome="failed", error_code="upstream_cut")
        follow_up = await asked(tx, one.id, first.id, "And then?")
    async with database.read() as tx:
        tree = await messages.tree(tx, one.id)
        assert tree == [question, first, second, edited, third, follow_up]
        assert [image.media_type for image in tree[0].images] == ["image/png", "image/gif"]
        assert [image.size for image in tree[0].images] == [len(PNG[1]), len(GIF[1])]
        assert await messages.path(tx, one.id, follow_up.id) == [question, first, follow_up]
        assert await messages.path(tx, one.id, third.id) == [edited, third]
        assert await messages.path(tx, one.id, question.id) == [question]
        found = await conversations.get(tx, one.id, ann)
        assert (found.leaf, found.system, found.parameters) == (
            follow_up.id,
            "Be brief.",
            {"seed": 1, "stop": ["x"]},
        )
        assert found.updated_at > one.updated_at
    async with database.begin() as tx:
        assert (await conversations.update(tx, one.id, leaf=second.id)).leaf == second.id


async def test_a_message_comes_behind_its_parent_whatever_the_clock_says(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await begun(database, await a_user(database))
    times = iter(NOW - timedelta(seconds=number) for number in range(100))
    monkeypatch.setattr(messages, "utc_now", lambda: next(times))
    for number in range(5):
        await exchange(database, one, f"q{number}", f"a{number}")
    async with database.read() as tx:
        tree = await messages.tree(tx, one.id)
        assert [message.content for message in tree] == [f"{who}{number}" for number in range(5) for who in "qa"]
        assert await messages.path(tx, one.id, tree[-1].id) == tree


async def test_messages_of_another_conversation_are_not_found_in_this_one(database: Database) -> None:
    ann = await a_user(database)
    one, other = await begun(database, ann), await begun(database, ann)
    answer = await exchange(database, other, "q", "a")
    for conversation in (one.id, "0" * 26):
        with pytest.raises(NotFound):
            async with database.begin() as tx:
                await asked(tx, conversation, answer.id, "lost")
    async with database.begin() as tx:
        with pytest.raises(NotFound):
            await messages.path(tx, one.id, answer.id)
        with pytest.raises(NotFound):
            await messages.get(tx, one.id, answer.id)
        with pytest.raises(NotFound):
            await conversations.update(tx, one.id, leaf=answer.id)
        assert await messages.tree(tx, one.id) == []
    assert await _count(database, chats.messages) == [2]


async def test_two_that_answer_at_once_get_places_of_their_own(database_url: str) -> None:
    async with opened(database_url) as first, opened(database_url) as second:
        one = await begun(first, await a_user(first))
        async with first.begin() as tx:
            question = await asked(tx, one.id, None, "q")

        async def answer(database: Database, number: int) -> None:
            async with database.begin() as tx:
                await answered(tx, question, str(number))

        await asyncio.gather(*(answer((first, second)[number % 2], number) for number in range(16)))
        async with first.read() as tx:
            tree = await messages.tree(tx, one.id)
            numbers = (await tx.execute(select(chats.messages.c.number).order_by("number"))).scalars().all()
        assert sorted(message.content for message in tree[1:]) == sorted(str(number) for number in range(16))
        assert numbers == list(range(1, 18))


async def test_an_answer_can_be_kept_under_an_id_that_was_told_before_and_only_once(database: Database) -> None:
    one = await begun(database, await a_user(database))
    async with database.begin() as tx:
        question = await asked(tx, one.id, None, "q")
        assert (await answered(tx, question, "a", message_id="01TOLDBEFORE00000000000000")).id == (
            "01TOLDBEFORE00000000000000"
        )
    with pytest.raises(IntegrityError):
        async with database.begin() as tx:
            await answered(tx, question, "a", message_id="01TOLDBEFORE00000000000000")
    async with database.read() as tx:
        assert len(await messages.tree(tx, one.id)) == 2


async def test_text_that_no_database_takes_is_kept_as_it_is_told(database: Database) -> None:
    one = await begun(database, await a_user(database))
    async with database.begin() as tx:
        said = await asked(tx, one.id, None, "a\0b \ud800 🦙")
    async with database.read() as tx:
        assert (await messages.tree(tx, one.id))[0] == said
    assert said.content == "a\N{REPLACEMENT CHARACTER}b ? 🦙"


# -- correcting and naming --------------------------------------------------------------------


async def test_an_answer_can_be_corrected_and_a_question_cannot(database: Database) -> None:
    ann = await a_user(database)
    one = await begun(database, ann, said=NOW - timedelta(days=3))
    answer = await exchange(database, one, "q", "one two")
    async with database.begin() as tx:
        question = (await messages.tree(tx, one.id))[0]
        corrected = await messages.correct(tx, answer.id, "Füße")
        assert (corrected.content, corrected.id, corrected.model) == ("Füße", answer.id, "llama3.2")
        with pytest.raises(Conflict):
            await messages.correct(tx, question.id, "other")
        with pytest.raises(NotFound):
            await messages.correct(tx, "0" * 26, "other")
        size = await tx.scalar(select(chats.conversations.c.text_size))
    assert size == len("q") + len("Füße".encode()) + 2 * conversations.MESSAGE_BYTES
    assert await _titles(database, ann, "FÜSSE") == ["A chat"]
    assert await _titles(database, ann, "two") == []


async def test_naming_and_changing_leaves_a_conversation_at_its_place(database: Database) -> None:
    ann = await a_user(database)
    old = await begun(database, ann, "old", said=NOW - timedelta(days=2))
    await begun(database, ann, "young")
    async with database.begin() as tx:
        named = await conversations.update(
            tx, old.id, title="  Of \n old\ttimes ", titled_by="user", model="m", system=None, parameters={"seed": 1}
        )
        assert (named.title, named.titled_by, named.model, named.system) == ("Of old times", "user", "m", None)
        assert named.updated_at == old.updated_at
        with pytest.raises(InvalidRequest):
            await conversations.update(tx, old.id, title=" \n ")
        with pytest.raises(NotFound):
            await conversations.update(tx, "0" * 26, title="x")
    assert await _titles(database, ann) == ["young", "Of old times"]


async def test_only_what_its_user_has_not_named_is_named_by_itself(database: Database) -> None:
    one = await begun(database, await a_user(database), title="")
    assert (one.title, one.titled_by) == (conversations.UNTITLED, "auto")
    async with database.begin() as tx:
        assert await conversations.retitle(tx, one.id, " The\nweather ") == "The weather"
        assert await conversations.retitle(tx, one.id, " ") is None
        await conversations.update(tx, one.id, title="Mine", titled_by="user")
        assert await conversations.retitle(tx, one.id, "Other") is None
        assert (await conversations.get(tx, one.id, one.user_id)).title == "Mine"


# -- whose they are -----------------------------------------------------------------------------


async def test_nobody_finds_what_is_somebody_elses(database: Database) -> None:
    ann, bob = await a_user(database), await a_user(database, "bob")
    one = await begun(database, ann, "Secret")
    await exchange(database, one, "secret question", "a", PNG)
    async with database.begin() as tx:
        image = (await messages.tree(tx, one.id))[0].images[0]
        assert await images.get(tx, image.id, ann) == PNG
        for attempt in (
            conversations.get(tx, one.id, bob),
            images.get(tx, image.id, bob),
            images.ref(tx, image.id, bob),
            images.get(tx, "0" * 26, ann),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert await conversations.page(tx, user_id=bob) == []
        assert await conversations.page(tx, user_id=bob, search="secret") == []
        assert await conversations.ids(tx, bob) == []
        assert await conversations.delete_all(tx, bob) == 0
    assert await _titles(database, ann, "secret") == ["Secret"]


async def test_pictures_come_with_their_messages_in_the_order_in_which_they_were_sent(database: Database) -> None:
    one = await begun(database, await a_user(database))
    async with database.begin() as tx:
        first = await asked(tx, one.id, None, "two", GIF, PNG)
        second = await asked(tx, one.id, None, "one", PNG)
        third = await asked(tx, one.id, None, "none")
        found = await images.bytes_of(tx, [first.id, second.id, third.id])
        assert found == {first.id: [GIF, PNG], second.id: [PNG]}
    with pytest.raises(InvalidRequest):
        async with database.begin() as tx:
            await asked(tx, one.id, None, "x", ("image/svg+xml", b"<svg/>"))
    async with database.read() as tx:
        assert len(await messages.tree(tx, one.id)) == 3


# -- the list -------------------------------------------------------------------------------------


async def _pages(database: Database, user_id: str, limit: int, between: Any = None) -> list[Conversation]:
    found: list[Conversation] = []
    after = None
    while True:
        async with database.read() as tx:
            rows = await conversations.page(tx, user_id=user_id, after=after, limit=limit)
        found += rows
        if len(rows) < limit:
            return found
        after = rows[-1].place
        if between is not None:
            await between(rows)


async def test_the_latest_comes_first_and_those_of_one_time_all_come_once(database: Database) -> None:
    ann, bob = await a_user(database), await a_user(database, "bob")
    made = [await begun(database, ann, str(number), said=NOW - timedelta(minutes=number // 4)) for number in range(11)]
    await begun(database, bob)
    expected = sorted(made, key=lambda one: (one.updated_at, one.id), reverse=True)
    for limit in (1, 2, 3, 100):
        assert await _pages(database, ann, limit) == expected


async def test_pages_do_not_jump_when_conversations_go_on_or_are_deleted(database: Database) -> None:
    ann = await a_user(database)
    for number in range(9):
        await begun(database, ann, str(number), said=NOW - timedelta(hours=number))

    async def between(rows: list[Conversation]) -> None:
        """In the last one that was read something is said, and the one before it is deleted."""
        await exchange(database, rows[-1], "q", "a")
        async with database.begin() as tx:
            await conversations.delete(tx, rows[-2].id)

    found = await _pages(database, ann, 3, between)
    assert [one.title for one in found] == [str(number) for number in range(9)]


@pytest.mark.parametrize("place", ["", " ", "x", "2026-01-01T00:00:00 01ABC", "2026-01-01T00:00:00+00:00", "9 9 9"])
async def test_a_place_that_is_none_is_refused(database: Database, place: str) -> None:
    async with database.read() as tx:
        with pytest.raises(InvalidRequest):
            await conversations.page(tx, user_id="u", after=place)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("needle", {"title", "question", "answer"}),
        ("NEEDLE", {"title", "question", "answer"}),
        ("grüße", {"greeting"}),
        ("GRÜSSE", {"greeting"}),
        ("ΣΊΣΥΦΟΣ", {"greeting"}),
        ("100%", {"percent"}),
        ("0%", {"percent"}),
        ("%", {"percent"}),
        ("a_b", {"underscore"}),
        ("_", {"underscore"}),
        ("\\", {"backslash"}),
        ("/", {"slash"}),
        ("'; --", {"quote"}),
        ("I", {"title", "question", "underscore", "slash"}),
        ("no such thing", set()),
    ],
)
async def test_titles_and_messages_are_searched_in_any_case(
    database: Database, search: str, expected: set[str]
) -> None:
    ann = await a_user(database)
    contents = {
        "question": ("Where is the NEEDLE?", "x"),
        "answer": ("x", "The Needle!"),
        "greeting": ("x", "Schöne Grüße, Σίσυφος"),
        "percent": ("100% or 100 per cent?", "x"),
        "underscore": ("a_b, not acb. I", "x"),
        "backslash": ("x", "C:\\temp"),
        "slash": ("either/or", "x"),
        "quote": ("x", "'; -- DROP"),
    }
    for title, (question, answer) in contents.items():
        await exchange(database, await begun(database, ann, title.upper()), question, answer)
    await begun(database, ann, "TITLE needle")
    found = {title.lower().removesuffix(" needle") for title in await _titles(database, ann, search)}
    by_title = {title for title in (*contents, "title") if search.lower() in title}
    assert found == expected | by_title


async def test_pages_are_read_by_an_index(database: Database) -> None:
    """Also those for retention, and for the sum of what a user keeps."""
    one = await begun(database, await a_user(database))
    heard: list[tuple[str, Any]] = []

    def hear(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith("SELECT"):
            heard.append((statement, parameters))

    assert database._opened is not None
    event.listen(database._opened.sync_engine, "before_cursor_execute", hear)
    async with database.begin() as tx:
        await conversations.page(tx, user_id=one.user_id, after=one.place, limit=3)
        await conversations.page(tx, user_id=one.user_id, search="x", limit=3)
        await conversations.delete_before(tx, NOW - timedelta(days=1))
        await conversations.delete_all(tx, one.user_id)
        await asked(tx, (await conversations.create(tx, user_id=one.user_id, title="", model="m")).id, None, "q", PNG)
        await conversations.ids(tx, one.user_id)
        await messages.tree(tx, one.id)
    event.remove(database._opened.sync_engine, "before_cursor_execute", hear)
    assert len(heard) > 8
    for statement, parameters in heard:
        async with database.read() as tx:
            plan = await tx.run_sync(_plan, statement, parameters)
        told = "\n".join((statement, *plan))
        assert "Seq Scan" not in told, told
        assert not any(line.startswith("SCAN ") and "INDEX" not in line for line in plan), told
        if "ORDER BY conversations.updated_at" in statement:
            assert "Sort" not in told, told
            assert "FOR ORDER BY" not in told, told


def _plan(connection: Connection, statement: str, parameters: Any) -> list[str]:
    if connection.dialect.name == "sqlite":
        return [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    for way in ("seqscan", "sort", "bitmapscan"):
        connection.execute(text(f"SET LOCAL enable_{way} = off"))
    return [str(row[0]) for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)]


# -- deleting --------------------------------------------------------------------------------------


async def test_what_is_deleted_leaves_nothing_behind(database: Database) -> None:
    ann, bob = await a_user(database), await a_user(database, "bob")
    one, other, hers = await begun(database, ann), await begun(database, ann), await begun(database, bob)
    for conversation in (one, other, hers):
        await exchange(database, conversation, "q", "a", PNG, GIF)
    tables = (chats.conversations, chats.messages, chats.images)
    async with database.begin() as tx:
        await conversations.delete(tx, one.id)
        with pytest.raises(NotFound):
            await conversations.delete(tx, one.id)
    assert await _count(database, *tables) == [2, 4, 4]
    async with database.begin() as tx:
        await users.delete(tx, ann)
    assert await _count(database, *tables) == [1, 2, 2]
    async with database.read() as tx:
        assert len(await messages.tree(tx, hers.id)) == 2


async def test_many_are_deleted_in_pieces_of_bounded_work(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "_PIECE_MESSAGES", 10)
    ann = await a_user(database)
    for number in range(6):
        one = await begun(database, ann, said=NOW - timedelta(days=number))
        await exchange(database, one, "q", "a" * (200_000 if number == 3 else 1))  # as long as some messages more

    async def delete(moment: datetime | None) -> int:
        async with database.begin() as tx:
            if moment is None:
                return await conversations.delete_all(tx, ann)
            return await conversations.delete_before(tx, moment, limit=2)

    later = NOW + timedelta(days=1)
    assert await delete(NOW - timedelta(days=1)) == 0
    assert await delete(later) == 2, "no more than were allowed"
    assert [await delete(None) for _ in range(4)] == [1, 1, 2, 0], "large ones alone"


# -- the bounds --------------------------------------------------------------------------------------


async def test_a_user_keeps_so_many_conversations_and_no_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "MOST_CONVERSATIONS", 3)
    ann, bob = await a_user(database), await a_user(database, "bob")
    for _ in range(3):
        await begun(database, ann)
    with pytest.raises(Conflict) as caught:
        await begun(database, ann)
    assert caught.value.hint
    await begun(database, bob)


@pytest.mark.parametrize(
    ("bound", "value"),
    [("MOST_MESSAGES", 3), ("LARGEST_TEXT", 2000), ("LARGEST_IMAGES", 300), ("LARGEST_OF_USER", 2300)],
)
async def test_there_is_room_for_so_much_and_an_answer_is_kept_all_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(conversations, bound, value)
    ann = await a_user(database)
    one, other = await begun(database, ann), await begun(database, ann)
    async with database.begin() as tx:
        question = await asked(tx, one.id, None, "q" * 900, PNG)
        await answered(tx, question, "a" * 50, thinking="t" * 30)
        await conversations.check_room(tx, other.id)
    for conversation in (one,) if bound != "LARGEST_OF_USER" else (one, other):
        with pytest.raises(Conflict) as caught:
            async with database.begin() as tx:
                await asked(tx, conversation.id, None, "q" * 900, PNG)
        assert caught.value.hint
    async with database.begin() as tx:
        await answered(tx, question, "a" * 3000)
        assert len(await messages.tree(tx, one.id)) == 3
        with pytest.raises(Conflict):
            await conversations.check_room(tx, one.id, image_bytes=100)
        with pytest.raises(NotFound):
            await conversations.check_room(tx, "0" * 26)


async def test_a_correction_needs_room_only_when_it_is_longer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await begun(database, await a_user(database))
    answer = await exchange(database, one, "q", "a" * 2000)
    monkeypatch.setattr(conversations, "LARGEST_TEXT", 1000)
    with pytest.raises(Conflict):
        async with database.begin() as tx:
            await messages.correct(tx, answer.id, "a" * 2001)
    async with database.begin() as tx:
        assert (await messages.correct(tx, answer.id, "a" * 1999)).content == "a" * 1999


def test_nothing_is_kept_where_the_setting_says_so() -> None:
    conversations.check_kept(1)
    with pytest.raises(PermissionDenied) as caught:
        conversations.check_kept(0)
    assert caught.value.hint
