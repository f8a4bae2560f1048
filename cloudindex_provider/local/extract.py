"""From a file's bytes to the text that is searched, and from the text to chunks.

Types that the service processes but this server can't read yield their file name alone, so that they are never failed.
"""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser
from pathlib import Path

from cloudindex_provider.local.filetypes import extension, words

__all__ = ["ExtractionError", "chunks", "extract"]

CHUNK_SIZE = 1000  # characters
OVERLAP = 150  # characters

_MARKUP = frozenset({"html", "htm", "xml"})
_PLAIN = words(
    "txt md mdx csv tsv json yaml yml env conf log css scss sass ejs tmpl js jsx ts tsx py go java cs rs sql sh bash"
)
_BOUNDARIES = ("\n\n", "\n", ". ", "! ", "? ", "; ", " ")


class ExtractionError(Exception):
    """The file can't be processed; the message is what the document's ``errorMessage`` says."""


def extract(path: Path, file_name: str) -> str:
    """The searchable text of the file at ``path``. Raises ``ExtractionError``."""
    if path.stat().st_size == 0:
        raise ExtractionError("The file is empty")
    kind = extension(file_name)
    try:
        text = _read(path, kind)
    except Exception as exc:  # parsers of broken files raise anything; all of it means "failed"
        reason = str(exc).replace(str(path), file_name)  # where the bytes lie is nobody's business
        raise ExtractionError(f"The {kind.upper()} file could not be read: {reason}") from exc
    # U+0000 ends a string for some readers of the index, and lone surrogates can't be stored.
    text = text.replace("\x00", " ").encode("utf-8", "replace").decode()
    return text if text.strip() else file_name


def chunks(text: str, size: int = CHUNK_SIZE, overlap: int = OVERLAP) -> list[str]:
    """Pieces of at most ``size`` characters that end at a paragraph, line, sentence or word, and overlap a little."""
    pieces = []
    start = 0
    while start < len(text):
        end = min(start + size, len(text))
        if end < len(text):
            end = _boundary(text, start, end)
        if piece := text[start:end].strip():
            pieces.append(piece)
        if end == len(text):
            break
        start = _restart(text, max(end - overlap, start + 1), end)
    return pieces


def _boundary(text: str, start: int, end: int) -> int:
    """The best place to cut in the second half of the window."""
    for mark in _BOUNDARIES:
        found = text.rfind(mark, start + (end - start) // 2, end)
        if found >= 0:
            return found + len(mark)
    return end


def _restart(text: str, start: int, end: int) -> int:
    """The next start: behind a space, so that the overlap begins with a whole word."""
    space = text.find(" ", start, end)
    return space + 1 if space >= 0 else end


def _read(path: Path, kind: str) -> str:
    if kind in _PLAIN:
        return _decode(path.read_bytes())
    if kind in _MARKUP:
        stripper = _Stripper()
        stripper.feed(_decode(path.read_bytes()))
        stripper.close()
        return stripper.text()
    if kind == "pdf":
        import pypdf  # half a second, which only a PDF is worth

        return "\n\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
    if kind == "docx":
        return _read_docx(path)
    return ""


def _read_docx(path: Path) -> str:
    import docx  # slow to import, like pypdf

    document = docx.Document(str(path))
    lines = [paragraph.text for paragraph in document.paragraphs]
    for table in document.tables:
        lines += ["\t".join(cell.text for cell in row.cells) for row in table.rows]
    return "\n\n".join(line for line in lines if line.strip())


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


class _Stripper(HTMLParser):
    """Keeps text, drops tags, scripts and styles; block elements end a line."""

    _SILENT = frozenset({"script", "style"})
    _INLINE = words("a abbr b bdi bdo cite code em i kbd mark q s small span strong sub sup u var")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._silent = 0

    def text(self) -> str:
        """What a reader would see."""
        lines = (re.sub(r"[ \t]+", " ", line).strip() for line in "".join(self._pieces).splitlines())
        return "\n".join(line for line in lines if line)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self._SILENT
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in self._SILENT))
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._pieces.append(data)

    def _break(self, tag: str) -> None:
        if tag not in self._INLINE:
            self._pieces.append("\n")
