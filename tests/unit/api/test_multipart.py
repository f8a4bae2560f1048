"""The upload's body: exact in length, readable by other parsers, and never whole when a part failed."""

from __future__ import annotations

import email.parser
import email.policy
import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_multipart.multipart import parse_form

from cloudindex_provider.api.models import FilePart
from cloudindex_provider.api.multipart import MAX_CHUNK, Multipart, json_field, quote
from cloudindex_provider.errors import PartSizeError

NAMES = st.text("abcXYZ019._-", min_size=1, max_size=40)


def part(name: str, chunks: list[bytes], size: int | None = None, content_type: str = "text/plain") -> FilePart:
    return FilePart(name, sum(map(len, chunks)) if size is None else size, lambda: iter(chunks), content_type)


@settings(max_examples=60, deadline=None)
@given(
    files=st.dictionaries(NAMES, st.lists(st.binary(max_size=200), max_size=4), min_size=1, max_size=5),
    fields=st.dictionaries(st.sampled_from(["metadata", "options"]), st.dictionaries(st.text(), st.text(), max_size=3)),
)
def test_other_parsers_read_what_was_built_and_its_length_is_exact(files, fields):
    made = Multipart(
        [part(name, chunks) for name, chunks in files.items()], fields={k: json_field(v) for k, v in fields.items()}
    )
    body = b"".join(made.stream())
    assert len(body) == made.content_length
    assert b"".join(made.stream()) == body  # a second attempt sends the same
    found: list[tuple[str, bytes]] = []
    headers = {"Content-Type": made.content_type.encode(), "Content-Length": str(len(body)).encode()}

    def on_field(field):
        found.append((field.field_name.decode(), field.value))

    def on_file(file):
        file.file_object.seek(0)
        assert file.field_name == b"documents"
        found.append((file.file_name.decode(), file.file_object.read()))

    parse_form(headers, io.BytesIO(body), on_field, on_file)
    assert found == [(k, json_field(v)) for k, v in fields.items()] + [(k, b"".join(v)) for k, v in files.items()]


@settings(max_examples=100, deadline=None)
@given(name=st.text(st.characters(codec=None), max_size=30))
def test_no_file_name_breaks_out_of_its_header(name):
    made = Multipart([part(name, [b"x"])], boundary="b" * 20)
    body = b"".join(made.stream())
    assert len(body) == made.content_length
    head, _, rest = body.partition(b"\r\n\r\n")
    assert rest == b"x\r\n--" + b"b" * 20 + b"--\r\n"
    lines = head.split(b"\r\n")
    assert len(lines) == 3
    assert lines[1].count(b'"') == 4
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(b"\r\n".join(lines[1:]) + b"\r\n\r\n")
    assert message.get_content_type() == "text/plain"


def test_quotes_and_line_ends_are_written_as_browsers_do():
    assert quote('a"b\r\nc\\d%ü') == "a%22b%0D%0Ac\\d%ü".encode()


def test_a_content_type_that_is_none_is_not_sent():
    body = b"".join(Multipart([part("a", [], content_type="text/plain\r\nX-Evil: 1")]).stream())
    assert b"Evil" not in body
    assert b"Content-Type: application/octet-stream\r\n" in body


@pytest.mark.parametrize("size", [0, 1, 5, 7, 100])
def test_a_part_of_another_size_raises_before_the_closing_boundary(size):
    made = Multipart([part("a", [b"abc", b"def"], size), part("b", [b"z"])])
    sent: list[bytes] = []
    stream = made.stream()
    with pytest.raises(PartSizeError, match="announced") as caught:
        sent.extend(stream)
    assert isinstance(caught.value, ValueError)
    assert stream.failure is caught.value
    assert sum(map(len, sent)) < made.content_length


def test_a_part_that_raises_at_its_very_end_leaves_the_body_without_its_end():
    def chunks():
        yield b"abc"
        raise OSError("checksum")

    made = Multipart([FilePart("a", 3, chunks)])
    sent: list[bytes] = []
    stream = made.stream()
    with pytest.raises(OSError, match="checksum") as caught:
        sent.extend(stream)
    assert stream.failure is caught.value
    assert sum(map(len, sent)) < made.content_length


def test_closing_a_body_closes_the_part_that_is_being_read():
    closed = []

    def chunks():
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.append(1)

    stream = Multipart([FilePart("a", 10**9, chunks)]).stream()
    next(stream)
    next(stream)
    stream.close()
    assert closed == [1]
    assert stream.failure is None


def test_large_chunks_pass_through_as_they_are_giants_are_cut_and_crumbs_are_joined():
    block = b"x" * (1 << 18)
    assert any(chunk is block for chunk in Multipart([part("a", [block] * 4)]).stream())
    assert max(map(len, Multipart([part("a", [b"y" * (5 * MAX_CHUNK + 1)])]).stream())) == MAX_CHUNK
    assert len(list(Multipart([part(str(n), [b"z" * 100] * 10) for n in range(20)]).stream())) == 1


def test_memory_stays_flat_whatever_the_size():
    block = b"x" * (1 << 20)
    made = Multipart([FilePart("a", 200 << 20, lambda: (block for _ in range(200)))])
    tracemalloc.start()
    try:
        assert sum(len(chunk) for chunk in made.stream()) == made.content_length
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
