from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from mlops_assets.platform import show
from mlops_assets.platform.service import Status

if TYPE_CHECKING:
    from pathlib import Path


def _until(capsys: pytest.CaptureFixture[str], said: list[str], text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in "".join(said):
        assert time.monotonic() < deadline, said
        said.append(capsys.readouterr().out)
        time.sleep(0.05)


def test_following_a_log_goes_on_after_it_was_rotated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "web.log"
    file.write_text("one\ntwo\nthree\n")
    said: list[str] = []
    follow = {"web": file}
    threading.Thread(target=lambda: show.logs(follow, 2, follow=True), daemon=True).start()
    _until(capsys, said, "three")
    assert "one" not in "".join(said)
    with file.open("a") as log:
        log.write("four\nhalf a l")
    _until(capsys, said, "four")
    with file.open("a") as log:
        log.write("ine\n")
    _until(capsys, said, "half a line\n")
    file.rename(tmp_path / "web.log.1")
    file.write_text("anew\n")
    _until(capsys, said, "anew")
    assert "".join(said) == "two\nthree\nfour\nhalf a line\nanew\n"
    follow.clear()


def test_several_logs_say_whose_line_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.log").write_text("\x1b[32mgreen\x1b[0m\n")
    files = {"a": tmp_path / "a.log", "longer": tmp_path / "missing.log"}
    show.logs(files, 5, follow=False)
    assert capsys.readouterr().out == "a      | green\n"


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (65, "1 min 05 s"), (7_500, "2 h 05 min")])
def test_the_status_table(seconds: float, text: str) -> None:
    row = Status(
        "web", "web", "Web", "ready", "http://127.0.0.1:1", pid=7, uptime=seconds, detail="fine\nmore"
    )
    console = Console(width=100, record=True)
    with console.capture() as shown:
        console.print(show.statuses([row]))
    assert all(part in shown.get() for part in ("web", "ready", "7", text, "http://127.0.0.1:1", "fine"))
    assert "more" not in shown.get()
