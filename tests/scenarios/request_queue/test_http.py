"""The queue under Starlette and uvicorn, over real HTTP, and under the WSGI validator."""

import asyncio
import http.client
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from scenarios.request_queue.asgi.reference import RequestQueue
from scenarios.request_queue.wsgi.reference import RequestQueue as ThreadedRequestQueue

PATIENCE = 30.0


class Served:
    """A Starlette application whose one page is fetched when the test says so."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self.fetched = 0
        self._may_fetch = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        routes = [Route("/page", self._page), Route("/broken", self._broken)]
        self.queue = RequestQueue(Starlette(routes=routes))

    def release(self) -> None:
        """Let the fetch end."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._may_fetch.set)

    async def _page(self, request: Request) -> Response:
        self._loop = asyncio.get_running_loop()
        # Nothing is awaited in between: who has arrived is in line when the loop goes on.
        self.arrived.release()
        try:
            await self.queue.wait_turn(request.scope)
        finally:
            self.left.release()
        await self._may_fetch.wait()
        self.fetched += 1
        return PlainTextResponse("the page")

    async def _broken(self, request: Request) -> Response:
        await self.queue.wait_turn(request.scope)
        message = "no such page"
        raise LookupError(message)


@contextmanager
def running(app: Any) -> Iterator[int]:
    """Serve `app` on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, lifespan="off", ws="none", log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()


def get(port: int, target: str) -> tuple[int, dict[str, str], str]:
    """Ask as a client does that follows no redirect."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        headers = {name.lower(): text for name, text in response.getheaders()}
        return response.status, headers, response.read().decode()
    finally:
        connection.close()


def test_a_crowd_over_http_costs_one_fetch() -> None:
    """Eight real clients: one page, seven redirects to it, and a gauge that rises and falls."""
    served = Served()

    with running(served.queue) as port, ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(get, port, "/page?from=here") for _ in range(8)]
        assert all(served.arrived.acquire(timeout=PATIENCE) for _ in answers)
        during = get(port, "/debug/metrics")
        served.release()
        told = [answer.result(PATIENCE) for answer in answers]
        after = get(port, "/debug/metrics")

    assert Counter(status for status, _, _ in told) == {200: 1, 302: 7}
    assert {headers.get("location") for _, headers, _ in told} == {None, "/page?from=here"}
    assert served.fetched == 1
    assert during[2].splitlines()[-1] == "queue_in_course_size 8"
    assert after[2].splitlines()[-1] == "queue_in_course_size 0"
    assert after[1]["cache-control"] == "no-store"


def test_a_client_that_hangs_up_leaves_the_line() -> None:
    """It closes its socket while it is in line: its request ends before the fetch does."""
    served = Served()

    with running(served.queue) as port, ThreadPoolExecutor(1) as clients:
        winner = clients.submit(get, port, "/page")
        assert served.left.acquire(timeout=PATIENCE)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as leaver:
            leaver.sendall(b"GET /page HTTP/1.1\r\nhost: here\r\n\r\n")
            assert served.arrived.acquire(timeout=PATIENCE)
            assert served.arrived.acquire(timeout=PATIENCE)
        assert served.left.acquire(timeout=PATIENCE)
        gauge = get(port, "/debug/metrics")[2].splitlines()[-1]
        served.release()

        assert winner.result(PATIENCE)[0] == 200
    assert gauge == "queue_in_course_size 1"


def test_an_error_over_http_leaves_no_entry() -> None:
    """Starlette answers for its own errors; the register is empty all the same."""
    served = Served()

    with running(served.queue) as port:
        status, _, _ = get(port, "/broken")
        gauge = get(port, "/debug/metrics")[2].splitlines()[-1]

    assert status == 500
    assert gauge == "queue_in_course_size 0"


def test_the_threaded_queue_keeps_to_the_wsgi_standard() -> None:
    """The standard library's validator stands on either side of it, for each kind of answer."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        queue.wait_turn(environ)
        if environ["PATH_INFO"] == "/broken":
            raise LookupError
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"the page"]

    def ask(path: str) -> str:
        environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
        setup_testing_defaults(environ)
        told: list[str] = []

        def start_response(status: str, headers: object, exc_info: object = None) -> Any:
            told.append(status)
            return told.append

        body: Any = validator(queue)(environ, start_response)
        b"".join(body)
        body.close()
        return told[-1]

    queue = ThreadedRequestQueue(validator(app), acquire_timeout=0.0)
    seen = [ask("/page"), ask("/broken"), ask("/debug/metrics")]
    queue.bucket("/page").acquire_or_join()

    assert seen == ["200 OK", "500 Internal Server Error", "200 OK"]
    assert ask("/page") == "504 Gateway Timeout"
    assert queue.in_course == 0
