"""What the page asks for, over HTTP, without a browser."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from styleforge.jobs.transfer import TransferRequest
from styleforge.studio.desk import Desk
from styleforge.studio.live import Painted, Plan, Planned, Step
from styleforge.studio.news import News
from styleforge.studio.safety import Door
from styleforge.studio.server import application
from tests.conftest import CAFE
from tests.studio.conftest import Hands

NEWS = "ws://127.0.0.1:7860/api/news"
BASE = "http://127.0.0.1:7860"
SCRIPTS = ("main", "api", "viewer", "desk", "elements", "styles", "paint", "brush", "shelf")
OWN = {"origin": BASE, "sec-fetch-site": "same-origin"}


@pytest.fixture
def client(desk: Desk) -> Iterator[TestClient]:
    with TestClient(application(desk, Door(), News()), BASE, headers=OWN) as made:
        yield made


@pytest.fixture
def key(client: TestClient, photo: bytes) -> str:
    """Of an uploaded photo."""
    return str(client.post("/api/pictures?name=c.png", content=photo).json()["key"])


def cafe(desk: Desk) -> str:
    (found,) = [one.key for one in desk.pictures.paintings if one.path.name == CAFE.name]
    return found


def test_the_page_is_whole(client: TestClient) -> None:
    page = client.get("/").text
    files = [part.split('"')[0] for part in page.split('"/page/')[1:]]
    scripts = [f"{name}.js" for name in SCRIPTS]
    for name in [*files, *scripts, "token.js"]:
        assert client.get(f"/page/{name}").status_code == 200, name
    assert "//" not in page.replace("<!doctype html>", "")


def test_every_answer_carries_the_policy(client: TestClient) -> None:
    for path in ("/", "/page/main.js", "/api/stock", "/nothing", "/api/pictures/0?side=8"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/page/../safety.py", "/page/%2e%2e%2fsafety.py", "/page//etc/passwd", "/page/x"]
)
def test_no_file_but_the_page_s_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_who_is_refused_gets_one_line(client: TestClient) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        answer = client.post("/api/queue", content="{}", headers=headers)
        assert (answer.status_code, [*answer.json()]) == (403, ["error"])
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(NEWS, headers={"origin": "http://a.b"}),
    ):
        pass


def test_a_token_is_asked_for(desk: Desk) -> None:
    door = Door.at("192.168.1.20")
    base = "http://192.168.1.20:7860"
    with TestClient(application(desk, door, News()), base, headers={"origin": base}) as client:
        page = client.get("/")
        assert (page.status_code, "token.js" in page.text) == (401, True)
        assert client.get("/api/shelf").status_code == 401
        assert client.post("/token", content=door.token).status_code == 200
        assert client.get("/api/shelf").json() == []
        assert "main.js" in client.get("/").text


def test_what_there_is_to_pick_from(client: TestClient) -> None:
    stock = client.get("/api/stock").json()
    assert len(stock["styles"]) == 32
    assert {"name": "mosaic", "model": "mosaic"} in stock["styles"]
    assert stock["presets"][0]["name"] == "painterly"
    assert len(stock["paintings"]) == 10


def test_an_upload_is_seen_and_painted_in_a_style(client: TestClient, key: str) -> None:
    assert Image.open(io.BytesIO(client.get(f"/api/pictures/{key}?side=24").content)).size == (
        24,
        20,
    )
    quick = {"kind": "quick", "photo": key, "styles": {"night-cafe": 0.5, "church": 1.0}}
    answer = client.post("/api/quick", json=quick)
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (48, 40)
    assert client.get(f"/api/pictures/{key}/in/mosaic").status_code == 200


ABSENT = "this picture is not here; drop it again"
MIX = {"photo": "x", "styles": {"mosaic": 1.0}}
PAINT = {"kind": "paint", "photo": "x", "paintings": [{"key": "y"}]}


@pytest.mark.parametrize(
    ("path", "asked", "message"),
    [
        ("quick", MIX, ABSENT),
        (
            "quick",
            {**MIX, "styles": {}},
            "styles: dictionary should have at least 1 item after validation, not 0",
        ),
        (
            "quick",
            {**MIX, "styles": {"mosaic": -1.0}},
            "styles.mosaic: input should be greater than 0",
        ),
        ("queue", {**PAINT, "paintings": [{"key": "/etc/passwd"}]}, ABSENT),
        (
            "queue",
            {**PAINT, "paintings": []},
            "paint.paintings: list should have at least 1 item after validation, not 0",
        ),
        (
            "queue",
            {**PAINT, "output": "elsewhere/x"},
            "paint.output: extra inputs are not permitted",
        ),
        ("queue", {**PAINT, "preset": "elsewhere/p.yaml"}, "unknown preset 'elsewhere/p.yaml'"),
        (
            "queue",
            {**PAINT, "settings": {"init": "/etc/passwd"}},
            "the studio has no setting 'init'",
        ),
        ("queue/7/stop", {}, "there is no such job"),
        ("queue/7/turn", {"settings": {"weights": "x"}}, "there is no such job"),
    ],
)
def test_what_cannot_be_is_one_line(
    client: TestClient, path: str, asked: Any, message: str
) -> None:
    answer = client.post(f"/api/{path}", json=asked)
    assert (answer.status_code, answer.json()) == (400, {"error": message})


def test_a_broken_upload_is_one_line(client: TestClient, photo: bytes) -> None:
    answer = client.post("/api/pictures?name=cut.png", content=photo[:-40])
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("cut.png is damaged or cut short")


def test_too_long_a_question(client: TestClient) -> None:
    assert client.post("/api/queue", content=b" " * 2**21).json() == {
        "error": "the request is too long"
    }


def test_a_job_from_the_page_to_the_shelf(
    client: TestClient, desk: Desk, hands: Hands, key: str, folder: Path
) -> None:
    task = {
        "kind": "paint",
        "photo": key,
        "paintings": [{"key": cafe(desk), "weight": 0.5}],
        "preset": "gram",
        "settings": {"strength": 0.7, "style_scale": 1.5, "size": 64},
    }
    with client.websocket_connect(NEWS) as news:
        assert news.receive_json() == {"queue": []}
        assert client.post("/api/queue", json=task).json() == {"number": 1}
        hands.at_work.acquire(timeout=5)
        (work,) = hands.begun
        assert isinstance(work, TransferRequest)
        assert (work.preset.strength, work.preset.style.scale, work.preset.size) == (0.7, 1.5, 64)
        assert work.output == str(folder / "c_vangogh_cafe_terrace_at_night.png")
        hands.heard(Step(0.5, 3.0, (8, 6), 1, 2, 4, 1.5, b"jpeg"))
        desk.queue._changed()
        assert (
            client.post("/api/queue/1/turn", json={"settings": {"style_scale": 2.0}}).json() == {}
        )
        assert vars(hands.told[-1]) == {"settings": {"style.scale": 2.0}, "weights": []}
        assert client.post("/api/queue/1/pause").json() == {}
        assert client.post("/api/queue/1/dance").json() == {"error": "no command 'dance'"}
        hands.finish(Painted("c.png", 1.0))


def test_the_newest_step_reaches_a_tab_once(client: TestClient, hands: Hands, key: str) -> None:
    client.post("/api/queue", json={"kind": "quick", "photo": key, "styles": {"mosaic": 1.0}})
    hands.at_work.acquire(timeout=5)
    hands.heard(Step(0.5, 3.0, (8, 6), 1, 2, 4, 1.5, b"jpeg"))
    for _ in range(2):
        with client.websocket_connect(NEWS) as tab:
            (entry,) = tab.receive_json()["queue"]
            assert entry["step"]["share"] == 0.5
            assert tab.receive_bytes() == b"jpeg"


def test_a_dry_run_is_waited_for(client: TestClient, desk: Desk, hands: Hands, key: str) -> None:
    hands.finish(Planned((700, 500), 60.0, 2**30, 99, 512))
    printed = {"paper": "60x40cm", "dpi": 30.0}
    task = {"kind": "paint", "photo": key, "paintings": [{"key": cafe(desk)}], "printed": printed}
    assert client.post("/api/plan", json=task).json() == {
        "size": [700, 500], "seconds": 60.0, "memory": 2**30, "evaluations": 99, "tile": 512,
    }  # fmt: skip
    (work,) = hands.begun
    assert isinstance(work, Plan)
    assert work.request.printed.longest_side((48, 40), 0) == 567  # 48 cm at 30 dots per inch


@pytest.fixture
def result(desk: Desk, key: str, folder: Path) -> str:
    """A result on the shelf, made as the worker makes it."""
    from styleforge.studio.live import Artist
    from styleforge.studio.tasks import QuickTask
    from tests.studio.test_live import Script

    task = QuickTask(photo=key, styles={"mosaic": 1.0}, strength=0.5)
    request = task.request(desk.pictures, "cpu", None)
    place = desk.shelf.free("c_mosaic")
    Artist(Script({})).do(type(request)(**{**vars(request), "output": str(place)}))
    (folder / "note.png").write_bytes(b"no picture")
    return place.name


def test_the_shelf_and_what_one_takes_home(client: TestClient, result: str, key: str) -> None:
    (one,) = client.get("/api/shelf").json()
    assert (one["name"], one["size"], one["tiff"]) == (result, [48, 40], True)
    assert one["task"] == {
        "kind": "quick", "photo": key, "styles": {"mosaic": 1.0}, "strength": 0.5,
        "colors": "style", "size": 0,
    }  # fmt: skip
    assert one["command"] == f"rerun {result}"
    for what, suffix in (("png", "png"), ("tiff", "tif")):
        answer = client.get(f"/api/shelf/{result}/{what}")
        assert answer.headers["content-disposition"] == f'attachment; filename="c_mosaic.{suffix}"'
        assert Image.open(io.BytesIO(answer.content)).size == (48, 40)
    assert Image.open(io.BytesIO(client.get(f"/api/shelf/{result}/view?side=24").content)).size == (
        24,
        20,
    )
    assert client.get(f"/api/shelf/{result}/sources").json() is None


@pytest.mark.parametrize(
    "name", ["note.png", "..%2f..%2fsecret.png", "%2fetc%2fpasswd", "other.png"]
)
def test_only_results_leave_the_folder(client: TestClient, name: str) -> None:
    answer = client.get(f"/api/shelf/{name}/png")
    assert answer.status_code in (400, 404)
    assert b"not on the shelf" in answer.content or answer.status_code == 404


@pytest.mark.usefixtures("result")
def test_the_paths_of_a_recipe_are_not_opened(client: TestClient, folder: Path) -> None:
    for path in (folder / "inputs").iterdir():
        path.unlink()
    (one,) = client.get("/api/shelf").json()
    assert one["task"]["photo"] is not None, "known since the start, by its hash"
    assert json.dumps(one["recipe"]["content"]["path"]) not in json.dumps(one["task"])
