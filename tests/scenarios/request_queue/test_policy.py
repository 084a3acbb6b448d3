"""The pure decisions of the request queue, its log of errors and the text of its metrics."""

from pathlib import Path
from urllib.parse import urljoin

import pytest

from scenarios.request_queue import error_log, policy
from scenarios.request_queue.error_log import ErrorLog

# Of the reference code of Fowler, Noll and Vo.
HASHES = {b"": 0xCBF29CE484222325, b"a": 0xAF63DC4C8601EC8C, b"foobar": 0x85944171F73967E8}
TICKETS = {"/queue-test": 8, "/panic-test": 20, "/queue-load": 4, "/bench": 12, "/": 22}


@pytest.mark.parametrize(("data", "hashed"), HASHES.items())
def test_the_hash_is_fnv_1a(data: bytes, hashed: int) -> None:
    """It gives the published test vectors."""
    assert policy.fnv1a(data) == hashed


@pytest.mark.parametrize(("path", "bucket"), TICKETS.items())
def test_a_ticket_is_the_bucket_of_a_path(path: str, bucket: int) -> None:
    """The five vectors of the table."""
    assert policy.ticket(path) == bucket


def test_three_paths_share_the_bucket_of_another() -> None:
    """Bucket 4 is theirs; with one bucket more or fewer it would not be."""
    paths = ["/queue-load", "/x15", "/x28", "/x82"]

    assert {policy.ticket(path) for path in paths} == {4}
    assert len({policy.ticket(path, 51) for path in paths}) > 1
    assert len({policy.ticket(path, 53) for path in paths}) > 1


def test_static_files_are_exempt_and_nothing_else() -> None:
    """The icon by its very path, the files by what theirs starts with."""
    paths = [
        "/favicon.ico",
        "/favicon.ico/x",
        "/njump/static/",
        "/njump/static/a.css",
        "/",
        "/njump",
    ]

    assert list(map(policy.is_exempt, paths)) == [True, False, True, True, False, False]


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/bench", "", "/bench"),
        ("/bench", "a=1&b=%20?", "/bench?a=1&b=%20?"),
        ("/a b/ü%", "", "/a%20b/%C3%BC%25"),
        ("/a\r\nset-cookie: x", "", "/a%0D%0Aset-cookie:%20x"),
    ],
)
def test_a_redirect_goes_where_the_client_wanted(path: str, query: str, expected: str) -> None:
    """The query is kept as it came, the path is quoted again, and no line can be broken."""
    assert policy.location(path, query) == expected


def test_a_redirect_stays_on_its_host() -> None:
    """A path with two slashes in front names another host to whoever resolves it as it is."""
    resolved = urljoin("https://here.example/x", policy.location("//there.example/y"))

    assert resolved == "https://here.example//there.example/y"


def test_a_group_of_signals_is_a_signal() -> None:
    """One with an error among them is an error."""
    redirect = policy.Redirect()
    nested = BaseExceptionGroup("", [BaseExceptionGroup("", [redirect])])
    mixed = BaseExceptionGroup("", [redirect, ValueError()])

    assert policy.signal_in(nested) is redirect
    assert policy.signal_in(mixed) is mixed


def test_the_log_keeps_the_latest_errors(tmp_path: Path) -> None:
    """Every twentieth write looks, and leaves fifty blocks of more than a hundred and thirty."""
    path = tmp_path / "errors.log"
    log = ErrorLog(path)

    sizes = []
    for number in range(140):
        log(ValueError(f"error {number}"))
        sizes.append(path.read_text("utf-8").count("---- error ----"))

    assert sizes[118:120] == [119, 120]
    assert sizes[138:140] == [139, error_log.BLOCKS_KEPT]
    assert path.read_text("utf-8").strip().endswith("error 139")
