"""Frames, and the API process's end of the link when nobody is at the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from serving import frames, link
from serving.decoding import RequestError
from serving.link import Link

if TYPE_CHECKING:
    from pathlib import Path

REQUEST_ID = b"0" * 32


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_frames_come_whole_however_the_stream_is_cut(size: int) -> None:
    bodies = [b"", b"x", b"y" * 200, b"z" * 33]
    stream = b"".join(frames.ANSWER.pack(len(b), n, 200, n) + b for n, b in enumerate(bodies))
    reader = frames.FrameReader(frames.ANSWER)
    found = [frame for at in range(0, len(stream), size) for frame in reader.feed(stream[at : at + size])]
    assert found == [((n, 200, n), body) for n, body in enumerate(bodies)]


def test_a_stream_that_is_no_frame_is_refused() -> None:
    with pytest.raises(frames.FrameError, match="bytes"):
        list(frames.FrameReader(frames.ASK).feed(b"GET / HTTP/1.1\r\n" * 10))


def test_without_an_answer_a_request_ends_in_time(tmp_path: Path) -> None:
    async def ask() -> None:
        waiting = Link(tmp_path / "nobody.sock", answer_seconds=0.2)
        waiting.start()
        try:
            with pytest.raises(RequestError, match=r"no answer in 0\.2 s") as caught:
                await asyncio.wait_for(waiting.ask(REQUEST_ID, b"{}", 0), 5)
            assert caught.value.status == 503
            assert waiting.in_flight == 0
        finally:
            waiting.stop()

    asyncio.run(ask())


def test_more_than_it_can_hold_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "MOST_WAITING", 3)

    async def ask() -> None:
        waiting = Link(tmp_path / "nobody.sock", answer_seconds=5)
        for _ in range(3):
            waiting.ask(REQUEST_ID, b"{}", 0)
        with pytest.raises(RequestError, match="3 requests are waiting") as caught:
            waiting.ask(REQUEST_ID, b"{}", 0)
        assert caught.value.status == 503

    asyncio.run(ask())
