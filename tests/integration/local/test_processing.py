"""From an upload to searchable chunks: statuses, text of every type, failures."""

from __future__ import annotations

import io
from itertools import pairwise

import docx
import pytest

from cloudindex_provider.local.extract import chunks


def pdf_of(text: str) -> bytes:
    """The smallest PDF that shows one line."""
    stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(body))
    return body + head + table + tail


def docx_of(text: str) -> bytes:
    document = docx.Document()
    document.add_paragraph(text)
    document.add_table(1, 1).rows[0].cells[0].text = "in a cell"
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


PLAIN = [
    "txt",
    "md",
    "mdx",
    "csv",
    "tsv",
    "yaml",
    "env",
    "conf",
    "py",
    "go",
    "java",
    "cs",
    "rs",
    "sql",
    "sh",
    "css",
    "ts",
]


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_text_of_any_kind_is_found_as_it_is(client, kind):
    client.upload((f"a.{kind}", b"a wombat digs"))
    assert client.settled()[0]["chunkCount"] == 1
    assert client.texts("wombat") == ["a wombat digs"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        (
            "a.html",
            b"<html><style>wombat</style><script>wombat()</script><p>A <b>wom</b>bat</p><p>&amp; more</p></html>",
            "A wombat\n& more",
        ),
        ("a.htm", b"<p>wombat", "wombat"),
        ("a.xml", b"<?xml version='1.0'?><a x='no'>wombat</a>", "wombat"),
        ("a.pdf", pdf_of("A wombat on paper"), "A wombat on paper"),
        ("a.docx", docx_of("A wombat in Word"), "A wombat in Word\n\nin a cell"),
        ("a.txt", "wombat ü".encode("utf-16"), "wombat ü"),
        ("a.txt", "wombat ü".encode("latin-1"), "wombat ü"),
        ("a.txt", b"wombat\x00 end", "wombat  end"),
    ],
)
def test_the_text_that_a_reader_sees_is_found(client, name, content, text):
    client.upload((name, content))
    assert client.settled()[0]["status"] == "processed"
    assert client.texts("wombat") == [text]


def test_json_is_read_where_the_settings_support_it(client, server):
    server.settings.supported_types = frozenset({"json"})
    client.upload(("a.json", b'{"animal": "wombat"}'))
    client.settled()
    assert client.texts("wombat") == ['{"animal": "wombat"}']


@pytest.mark.parametrize("name", ["wombat.pptx", "wombat.doc"])
def test_a_type_that_only_the_service_can_read_is_processed_and_found_by_its_name(client, name):
    client.upload((name, b"\x00\x01\x02"))
    assert client.settled()[0]["status"] == "processed"
    assert client.texts("wombat") == [name]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [("a.pdf", b"no pdf", "PDF"), ("a.docx", b"no zip", "DOCX"), ("a.txt", b"", "empty")],
)
def test_a_broken_or_empty_file_fails_with_a_message(client, name, content, part):
    client.upload((name, content))
    document = client.settled()[0]
    assert document["status"] == "failed"
    assert part in document["errorMessage"]
    assert "blobs" not in document["errorMessage"]
    read = client.get(document["id"]).json()
    assert read["processingJobs"][0]["status"] == "failed"
    assert read["document"]["errorMessage"] == read["processingJobs"][0]["errorMessage"]


def test_processing_fails_for_the_names_that_the_settings_tell(client, server):
    server.settings.fail_processing = ["bad"]
    client.upload(("bad-1.txt", b"x"), ("good.txt", b"x"))
    assert [d["status"] for d in client.settled()] == ["failed", "processed"]


def test_a_document_is_pending_then_processing_then_processed(client, server, until):
    server.settings.processing_delay = 0.2
    seen = [client.upload(("a.txt", b"x")).json()["documents"][0]["status"]]

    def done() -> bool:
        status = server.documents()[0]["status"]
        if status != seen[-1]:
            seen.append(status)
        return status == "processed"

    until(done)
    assert seen == ["pending", "processing", "processed"]
    document = server.documents()[0]
    assert document["processingStartedAt"] < document["processingCompletedAt"]
    assert document["processing_time"] >= 0


def test_the_old_version_is_found_until_the_new_one_is_processed(client, server):
    server.settings.same_name = "version"
    client.upload(("a.txt", b"old wombat"))
    client.settled()
    server.settings.processing_delay = 3600
    client.upload(("a.txt", b"new wombat"))
    assert client.texts("wombat") == ["old wombat"]
    server.settings.processing_delay = 0
    client.settled()
    assert client.texts("wombat") == ["new wombat"]


def test_a_version_that_fails_leaves_the_old_one_to_be_found(client, server):
    server.settings.same_name = "version"
    client.upload(("a.txt", b"old wombat"))
    client.settled()
    client.upload(("a.txt", b""))
    assert client.settled()[0]["status"] == "failed"
    assert client.texts("wombat") == ["old wombat"]


def test_a_document_can_be_deleted_while_it_is_processed(client, server):
    server.settings.processing_delay = 3600
    document = client.upload(("a.txt", b"wombat")).json()["documents"][0]["id"]
    client.delete(document)
    server.settings.processing_delay = 0
    client.upload(("b.txt", b"other wombat"))
    client.settled()
    assert client.texts("wombat") == ["other wombat"]


def test_many_documents_are_all_processed_in_the_end(client, server):
    for batch in range(4):
        client.upload(*((f"{batch}-{number}.txt", b"wombat") for number in range(20)))
    assert {d["status"] for d in client.settled()} == {"processed"}
    assert client.query("wombat").json()["metadata"]["total_chunks"] == 80


def test_chunks_are_short_overlap_and_lose_no_word():
    words = [f"word{number}" for number in range(2000)]
    pieces = chunks(" ".join(words))
    assert all(len(piece) <= 1000 for piece in pieces)
    assert {word for piece in pieces for word in piece.split()} == set(words)
    assert all(set(one.split()) & set(two.split()) for one, two in pairwise(pieces))


def test_chunks_end_at_paragraphs_where_there_are_any():
    text = "\n\n".join("x" * 300 for _ in range(6))
    assert all(set(piece.replace("\n\n", "")) == {"x"} and piece.endswith("x" * 300) for piece in chunks(text))


@pytest.mark.parametrize("text", ["", "   ", "x" * 5000, "ä" * 999 + " " + "b" * 2000])
def test_chunks_of_odd_texts_end(text):
    assert "".join(chunks(text)).count("x") >= text.count("x")
