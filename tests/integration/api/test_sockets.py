"""What only sockets can show: cut connections, answers that come early, bodies that are withdrawn."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.errors import (
    AuthenticationError,
    ConnectError,
    InterruptedRequestError,
    PartSizeError,
    PayloadTooLargeError,
)

DONE = b'{"documents":[{"id":"d1","fileName":"a.txt","status":"pending"}],"errors":[]}'


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data, b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def length_of(head: bytes) -> int:
    return next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )


def read_request(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and as much of the body as came."""
    head, body = read_head(connection)
    while len(body) < length_of(head):
        more = connection.recv(1 << 20)
        if not more:
            break
        body += more
    return head, body


def answer(status: str, body: bytes, *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_a_streamed_upload_arrives_whole_with_an_exact_length(peer, connect):
    seen = []

    def handle(connection):
        seen.append(read_request(connection))
        connection.sendall(answer("200 OK", DONE, "Connection: close"))

    block = bytes(range(256)) * 1024
    part = FilePart("a.txt", len(block) * 40, lambda: (block for _ in range(40)))
    result = connect(peer(handle).url).upload_documents([part], metadata={"k": "v"})
    head, body = seen[0]
    assert result.documents[0].id == "d1"
    assert len(body) == length_of(head)
    assert b"transfer-encoding" not in head.lower()
    assert body.count(block[:4096]) >= 40


@pytest.mark.parametrize("withdrawn_after", [0, 1, 19, 20])
def test_a_part_that_raises_withdraws_the_request_and_its_exception_comes_out_unchanged(peer, connect, withdrawn_after):
    seen = []

    def handle(connection):
        seen.append(read_request(connection))

    class SourceGoneError(Exception):
        pass

    gone = SourceGoneError("changed")
    closed = []

    def chunks() -> Iterator[bytes]:
        try:
            for _ in range(withdrawn_after):
                yield b"x" * 100_000
            raise gone
        finally:
            closed.append(True)

    server = peer(handle)
    client = connect(server.url)
    with pytest.raises(SourceGoneError) as caught:
        client.upload_documents([FilePart("a.txt", 2_000_000, chunks)])
    server.wait()
    assert caught.value is gone
    assert closed == [True]
    head, body = seen[0]
    assert len(body) < length_of(head)
    assert client.request_count == 1


@pytest.mark.parametrize("given", [99, 101])
def test_a_part_of_another_size_than_announced_never_makes_a_complete_request(peer, connect, given):
    seen = []

    def handle(connection):
        seen.append(read_request(connection))

    server = peer(handle)
    with pytest.raises(PartSizeError):
        connect(server.url).upload_documents([FilePart("a.txt", 100, lambda: [b"x" * given])])
    server.wait()
    head, body = seen[0]
    assert len(body) < length_of(head)


@pytest.mark.parametrize(
    ("status", "error"), [("413 Payload Too Large", PayloadTooLargeError), ("401 Unauthorized", AuthenticationError)]
)
@pytest.mark.parametrize("manner", ["closes", "drains", "resets"])
def test_an_answer_that_comes_while_the_body_is_sent_is_the_error_that_is_raised(peer, connect, status, error, manner):
    def handle(connection):
        read_head(connection)
        connection.sendall(answer(status, b'{"error":"no","code":"x"}', "Connection: close"))
        if manner == "drains":
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20):
                pass
        elif manner == "closes":  # a close with unread data is a reset of the client's next write
            connection.shutdown(socket.SHUT_WR)
        # "resets" closes at once, with the body unread

    client = connect(peer(handle).url)
    part = FilePart("a.txt", 30_000_000, lambda: (b"x" * 100_000 for _ in range(300)))
    with pytest.raises(error) as caught:
        client.upload_documents([part])
    assert caught.value.code == "x"
    assert not caught.value.outcome_unknown


def test_an_early_answer_ends_the_reading_of_the_part(peer, connect):
    def handle(connection):
        read_head(connection)
        connection.sendall(answer("413 Payload Too Large", b"{}", "Connection: close"))

    closed = threading.Event()

    def chunks() -> Iterator[bytes]:
        try:
            for _ in range(300):
                yield b"x" * 100_000
        finally:
            closed.set()

    with pytest.raises(PayloadTooLargeError):
        connect(peer(handle).url).upload_documents([FilePart("a.txt", 30_000_000, chunks)])
    assert closed.is_set()


def test_an_upload_cut_after_its_body_is_not_repeated_and_its_outcome_is_unknown(peer, connect):
    server = peer(lambda connection: read_request(connection) and None)
    client = connect(server.url)
    with pytest.raises(InterruptedRequestError) as caught:
        client.upload_documents([FilePart("a.txt", 3, lambda: [b"abc"])])
    assert caught.value.outcome_unknown
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert server.connections == 1


def test_an_upload_without_an_answer_times_out_with_an_unknown_outcome(peer, connect):
    done = threading.Event()

    def handle(connection):
        read_request(connection)
        done.wait(5)

    client = connect(peer(handle).url, read_timeout=0.2)
    with pytest.raises(InterruptedRequestError, match="did not answer within") as caught:
        client.upload_documents([FilePart("a.txt", 3, lambda: [b"abc"])])
    done.set()
    assert caught.value.outcome_unknown


def test_a_get_that_is_cut_is_tried_again(peer, connect, waits):
    served = []

    def handle(connection):
        read_request(connection)
        served.append(1)
        if len(served) > 1:
            connection.sendall(answer("200 OK", b'{"document":{"id":"d1","fileName":"a"}}', "Connection: close"))

    assert connect(peer(handle).url).get_document("d1").document.id == "d1"
    assert waits == [0.5]


@pytest.mark.parametrize("tail", [b"", b'{"id":"2","fileNa'])
def test_a_list_whose_connection_is_cut_raises_and_never_just_ends(peer, connect, tail):
    def handle(connection):
        read_request(connection)
        whole = b'[{"id":"1","fileName":"a"},' + tail
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + whole)

    stream = connect(peer(handle).url).iter_documents()
    with pytest.raises(InterruptedRequestError) as caught:
        list(stream)
    assert not caught.value.outcome_unknown
    assert stream.complete is None
    assert caught.value.__context__ is None


def test_documents_come_out_before_the_list_has_ended_and_closing_frees_the_connection(peer, connect):
    ended = threading.Event()

    def handle(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b'1b\r\n[{"id":"1","fileName":"a"},\r\n')
        if connection.recv(10) == b"":
            ended.set()

    with connect(peer(handle).url).iter_documents() as stream:
        assert next(stream).id == "1"
    assert ended.wait(5)
    assert list(stream) == []
    assert stream.complete is None


def test_a_document_can_be_deleted_while_the_list_is_read_even_with_one_slot(peer, connect):
    def handle(connection):
        head, _ = read_request(connection)
        if head.startswith(b"GET"):
            body = b'[{"id":"1","fileName":"a"},{"id":"2","fileName":"b"}]'
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:30])
            connection.sendall(body[30:])
            connection.recv(1)
        else:
            connection.sendall(answer("200 OK", b'{"message":"gone"}', "Connection: close"))

    client = connect(peer(handle).url, max_concurrency=1)
    assert [client.delete_document(document.id) for document in client.iter_documents()] == [True, True]


def test_a_refused_connection_says_which_host_and_what_to_check(connect, waits):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = connect(f"http://127.0.0.1:{port}/api")
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1 refused the connection.*host and port") as caught:
        client.upload_documents([FilePart("a.txt", 1, lambda: [b"x"])])
    assert waits == [0.5, 1.0]  # nothing was sent, so even an upload may be tried again
    assert not caught.value.outcome_unknown
    assert caught.value.__context__ is None


def test_an_unknown_host_is_named(connect):
    client = connect("http://no-such-host.invalid/api", max_wait=0.1)
    with pytest.raises(ConnectError, match=r"host no-such-host\.invalid is unknown"):
        client.check()


def test_plain_http_behind_https_says_so(peer, connect):
    def handle(connection):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    client = connect(peer(handle).url.replace("http:", "https:"), max_wait=0.1)
    with pytest.raises(ConnectError, match=r"TLS.*http://"):
        client.check()


def test_no_more_requests_are_under_way_than_the_client_allows(peer, connect):
    lock, now, most = threading.Lock(), [0], [0]

    def handle(connection):
        read_request(connection)
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.03)
        with lock:
            now[0] -= 1
        connection.sendall(answer("200 OK", b'{"message":"gone"}', "Connection: close"))

    client = connect(peer(handle).url, max_concurrency=3)
    threads = [threading.Thread(target=client.delete_document, args=(str(n),)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 3
    assert client.request_count == 12


def test_a_connection_is_used_again(peer, connect):
    def handle(connection):
        for _ in range(3):
            read_request(connection)
            connection.sendall(answer("200 OK", b"{}"))

    server = peer(handle)
    client = connect(server.url)
    assert [client.delete_document(str(n)) for n in range(3)] == [True] * 3
    assert server.connections == 1
