"""What becomes of an uploaded file's name on an Express backend."""

from __future__ import annotations

import pytest


def disposition(name: bytes, field: bytes = b"documents") -> bytes:
    return b'form-data; name="' + field + b'"; filename="' + name + b'"'


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"a.txt", "a.txt"),
        (b"dir/sub/a.txt", "a.txt"),
        (b"dir\\\\a.txt", "a.txt"),
        (b"C:\\\\dir\\\\a.txt", "a.txt"),
        ("ü.txt".encode(), "Ã¼.txt"),
        (b"a b;c=d.txt", "a b;c=d.txt"),
        (b"a%22b.txt", "a%22b.txt"),
    ],
)
def test_directories_are_stripped_and_bytes_are_read_as_latin_1(client, server, sent, seen):
    assert client.upload_raw([disposition(sent)]).json()["documents"][0]["fileName"] == seen
    assert server.documents()[0]["fileName"] == seen


def test_percent_escapes_are_decoded_when_the_settings_say_so(client, server):
    server.settings.decode_percent = True
    answer = client.upload_raw([disposition(b"a%22b%0Ac%0D.txt")]).json()
    assert answer["documents"][0]["fileName"] == 'a"b\nc\r.txt'


@pytest.mark.parametrize("name", [b"dir/", b".", b"..", b"dir/..", b""])
def test_a_file_whose_name_comes_to_nothing_is_dropped_in_silence(client, server, name):
    answer = client.upload_raw([disposition(name), disposition(b"a.txt")])
    assert answer.status_code == 200
    assert [d["fileName"] for d in answer.json()["documents"]] == ["a.txt"]
    assert answer.json()["errors"] == []
    assert client.upload_raw([disposition(name)]).json()["documents"] == []


@pytest.mark.parametrize("byte", [b"\x7f", b"\x1b"])
def test_a_control_byte_in_one_name_fails_the_whole_request(client, server, byte):
    answer = client.upload_raw([disposition(b"a.txt"), disposition(b"b" + byte + b".txt")])
    assert answer.status_code == 500
    assert server.documents() == []


def test_the_extended_file_name_is_ignored(client):
    value = b'form-data; name="documents"; filename="plain.txt"; filename*=UTF-8\'\'other.txt'
    assert client.upload_raw([value]).json()["documents"][0]["fileName"] == "plain.txt"


@pytest.mark.parametrize("field", [b"documents[]", b"file"])
def test_files_in_another_field_are_refused(client, server, field):
    assert client.upload_raw([disposition(b"a.txt", field)]).status_code == 400
    assert server.documents() == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\n" + b"Content-Disposition: " + disposition(b"a.txt") + b"\r\n\r\nhal",
        ),
        ("multipart/form-data; boundary=x", b"nonsense"),
        ("multipart/form-data", b""),
        ("application/json", b"{}"),
    ],
)
def test_a_body_that_is_no_whole_form_with_a_file_is_400_and_leaves_nothing(
    client, server, tmp_path, content_type, body
):
    answer = client.http.post(client.documents_path, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert server.documents() == []
    assert list((tmp_path / "data" / "incoming").iterdir()) == []


def test_a_client_that_leaves_in_the_middle_of_the_body_commits_nothing(client, server, tmp_path, until):
    def body():
        yield b"--x\r\nContent-Disposition: " + disposition(b"a.txt") + b"\r\n\r\nhello\r\n--x--\r\n"
        until(lambda: any((tmp_path / "data" / "incoming").iterdir()))
        raise ConnectionError("gone")

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with pytest.raises(ConnectionError):
        client.http.post(client.documents_path, content=body(), headers=headers)
    until(lambda: server.requests[0].ended is not None)
    assert server.documents() == []
    assert list((tmp_path / "data" / "incoming").iterdir()) == []
