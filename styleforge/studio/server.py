"""The studio over HTTP: its page, what the page asks for, and a web socket with the news."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from styleforge.core.errors import StyleforgeError, UsageError
from styleforge.core.resources import resource
from styleforge.studio.desk import Desk, planned, shown
from styleforge.studio.news import News, Tab
from styleforge.studio.safety import COOKIE, HEADERS, Door, Visit
from styleforge.studio.tasks import PaintTask, QuickTask, Task, TurnTask, parse

_LARGEST_QUESTION = 2**20
"""Bytes of anything but an upload."""

_MONTH = 30 * 24 * 3600

Answer = Callable[[Request], Awaitable[Response]]


def application(desk: Desk, door: Door, news: News) -> Starlette:
    """The ASGI application."""
    server = _Server(desk, door, news)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        news.begin()
        yield
        await run_in_threadpool(desk.queue.close)

    app = Starlette(routes=server.routes(), lifespan=lifespan)
    app.add_middleware(_Guard, door=door)
    return app


class _Guard:
    """Asks at the door about every request, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        token = connection.cookies.get(COOKIE, "")
        refusal = self._door.refusal(Visit(method, scope["path"], connection.headers, token))

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = Headers(raw=message.get("headers", []))
                more = {k: v for k, v in HEADERS.items() if k.lower() not in own}
                message["headers"] = [*own.raw, *Headers(more).raw]
            await send(message)

        if refusal is None:
            await self._app(scope, receive, guarded)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008, refusal.reason)
        elif refusal.status == 401 and scope["path"] == "/":
            await _page("token.html", 401)(scope, receive, guarded)
        else:
            answer = JSONResponse({"error": refusal.reason}, refusal.status)
            await answer(scope, receive, guarded)


class _Server:
    def __init__(self, desk: Desk, door: Door, news: News) -> None:
        self._desk = desk
        self._door = door
        self._news = news

    def routes(self) -> list[Route | WebSocketRoute]:
        get, post = ["GET"], ["POST"]
        return [
            Route("/", self._index, methods=get),
            Route("/token", self._token, methods=post),
            Route("/page/{file}", _file, methods=get),
            Route("/api/stock", _answered(self._stock), methods=get),
            Route("/api/pictures", _answered(self._upload), methods=post),
            Route("/api/pictures/{key}", _answered(self._view), methods=get),
            Route("/api/pictures/{key}/about", _answered(self._about), methods=get),
            Route("/api/pictures/{key}/in/{style}", _answered(self._sample), methods=get),
            Route("/api/quick", _answered(self._quick), methods=post),
            Route("/api/plan", _answered(self._plan), methods=post),
            Route("/api/queue", _answered(self._add), methods=post),
            Route("/api/queue/{number:int}/turn", _answered(self._turn), methods=post),
            Route("/api/queue/{number:int}/{command}", _answered(self._command), methods=post),
            Route("/api/shelf", _answered(self._shelf), methods=get),
            Route("/api/shelf/{name}/{what}", _answered(self._result), methods=get),
            WebSocketRoute("/api/news", self._tell),
        ]

    async def _index(self, _: Request) -> Response:
        return _page("index.html")

    async def _token(self, request: Request) -> Response:
        """A cookie for whoever knows the token."""
        said = (await _body(request)).decode(errors="replace").strip()
        if not self._door.token or not self._door.opens(said):
            await asyncio.sleep(1)
            return JSONResponse({"error": "this is not the token that the studio printed"}, 401)
        answer = JSONResponse({})
        answer.set_cookie(COOKIE, said, max_age=_MONTH, httponly=True, samesite="strict")
        return answer

    async def _stock(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._desk.stock))

    async def _upload(self, request: Request) -> Response:
        pictures, mask = self._desk.pictures, "mask" in request.query_params
        with pictures.incoming(request.query_params.get("name", "")) as incoming:
            async for piece in request.stream():
                await run_in_threadpool(incoming.add, piece)
            keep = lambda: pictures.keep(incoming, min_side=1 if mask else 32)  # noqa: E731
            return JSONResponse(shown(await run_in_threadpool(keep)))

    async def _view(self, request: Request) -> Response:
        key, side = request.path_params["key"], _side(request)
        return _forever(await run_in_threadpool(self._desk.view, key, side))

    async def _about(self, request: Request) -> Response:
        return JSONResponse(shown(self._desk.pictures.find(request.path_params["key"])))

    async def _sample(self, request: Request) -> Response:
        key, style = request.path_params["key"], request.path_params["style"]
        return _forever(await run_in_threadpool(self._desk.sample, key, style))

    async def _quick(self, request: Request) -> Response:
        task = parse(QuickTask, await _body(request))
        return Response(await run_in_threadpool(self._desk.quick, task), media_type="image/jpeg")

    async def _plan(self, request: Request) -> Response:
        entry = self._desk.plan(parse(PaintTask, await _body(request)))
        return JSONResponse(planned(await asyncio.wrap_future(entry.ended)))

    async def _add(self, request: Request) -> Response:
        task = parse(Task, await _body(request))
        entry = await run_in_threadpool(self._desk.add, task)
        return JSONResponse({"number": entry.number})

    async def _turn(self, request: Request) -> Response:
        self._desk.turn(request.path_params["number"], parse(TurnTask, await _body(request)))
        return JSONResponse({})

    async def _command(self, request: Request) -> Response:
        queue = self._desk.queue
        commands = {
            "pause": queue.pause,
            "go-on": queue.go_on,
            "stop": queue.stop,
            "cancel": queue.cancel,
        }
        command = request.path_params["command"]
        if command not in commands:
            raise UsageError(f"no command {command!r}")
        await run_in_threadpool(commands[command], request.path_params["number"])
        return JSONResponse({})

    async def _shelf(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._desk.results))

    async def _result(self, request: Request) -> Response:
        shelf, name, what = self._desk.shelf, request.path_params["name"], _what(request)
        if what == "view":
            view = await run_in_threadpool(self._desk.result_view, name, _side(request))
            return Response(view, media_type="image/jpeg")
        if what == "sources":
            return JSONResponse(await run_in_threadpool(shelf.sources, name))
        find = shelf.tiff if what == "tiff" else shelf.png
        path = await run_in_threadpool(find, name)
        shown_here = "inline" if what == "picture" else "attachment"
        return FileResponse(path, filename=path.name, content_disposition_type=shown_here)

    async def _tell(self, socket: WebSocket) -> None:
        """The queue and the newest step, to one tab, as often as there is news."""
        await socket.accept()
        tab = Tab()
        self._news.tabs.add(tab)
        listening = asyncio.create_task(_until_closed(socket, tab))
        try:
            while not listening.done():
                await self._send(socket, tab)
                await tab.woken.wait()
                tab.woken.clear()
        except WebSocketDisconnect:
            pass
        finally:
            self._news.tabs.discard(tab)
            listening.cancel()

    async def _send(self, socket: WebSocket, tab: Tab) -> None:
        entries = self._desk.queue.entries
        running = next((one for one in entries if one.step and not one.result), None)
        await socket.send_text(json.dumps({"queue": [one.to_dict() for one in entries]}))
        if running is not None and running.step is not tab.seen and running.step is not None:
            tab.seen = running.step
            await socket.send_bytes(running.step.frame)


async def _until_closed(socket: WebSocket, tab: Tab) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.receive_text()
    tab.woken.set()


def _answered(answer: Answer) -> Answer:
    """Mistakes become one line in JSON."""

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except StyleforgeError as error:
            return JSONResponse({"error": str(error)}, 400)
        except asyncio.CancelledError:
            return JSONResponse({"error": "cancelled"}, 409)

    return answered


async def _body(request: Request) -> bytes:
    """Raises :class:`UsageError` for more than a question takes."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_QUESTION:
            raise UsageError("the request is too long")
    return body


def _side(request: Request) -> int:
    text = request.query_params.get("side", "512")
    if not text.isdecimal() or len(text) > 6:
        raise UsageError("side is a number of pixels")
    return int(text)


def _what(request: Request) -> str:
    """Which of a result's files."""
    what: str = request.path_params["what"]
    if what not in ("view", "picture", "png", "tiff", "sources"):
        raise UsageError(f"a result has no {what!r}")
    return what


def _forever(content: bytes) -> Response:
    """A JPEG that a key names, and that never changes."""
    headers = {"Cache-Control": f"private, max-age={_MONTH}, immutable"}
    return Response(content, media_type="image/jpeg", headers=headers)


def _files() -> dict[str, Path]:
    return {path.name: path for path in resource("studio").iterdir() if path.is_file()}


def _page(name: str, status: int = 200) -> Response:
    return Response(_files()[name].read_bytes(), status, media_type="text/html; charset=utf-8")


async def _file(request: Request) -> Response:
    """One of the page's files, which are known by their names."""
    path = _files().get(request.path_params["file"])
    if path is None:
        return PlainTextResponse("no such file", 404)
    kind: Any = mimetypes.types_map.get(path.suffix, "application/octet-stream")
    return Response(path.read_bytes(), media_type=kind)
