"""What the service says about file types: which it takes, what it calls them, and how it processes them.

Everything goes by the extension of the file name, in lower case and without its dot.
"""

from __future__ import annotations

import mimetypes

__all__ = ["SUPPORTED", "describe", "extension", "mime_type", "processor", "words"]


def words(text: str) -> frozenset[str]:
    """A set written as one line of words."""
    return frozenset(text.split())


# The list of documents.yaml; it writes CSHARP and RUST for what files call cs and rs.
SUPPORTED = words(
    "pdf doc docx rtf txt odt pages abw sxw stw sxg wpd wps lwp hwp html htm xml "
    "xls xlsx xlsm xlsb csv tsv ods fods numbers dif sylk dbf wks "
    "ppt pptx pptm pot potm potx odp key "
    "js jsx ts tsx py go java cs rs sql sh bash "
    "css scss sass ejs tmpl yaml env conf md mdx"
)

_NAMES = {
    "pdf": "PDF Document",
    "doc": "Word Document",
    "docx": "Word Document",
    "rtf": "Rich Text Document",
    "txt": "Text Document",
    "html": "HTML File",
    "htm": "HTML File",
    "csv": "CSV File",
    "tsv": "TSV File",
    "xls": "Excel Spreadsheet",
    "xlsx": "Excel Spreadsheet",
    "ppt": "PowerPoint Presentation",
    "pptx": "PowerPoint Presentation",
    "js": "JavaScript File",
    "jsx": "JavaScript File",
    "ts": "TypeScript File",
    "tsx": "TypeScript File",
    "py": "Python File",
    "go": "Go File",
    "css": "CSS File",
    "yaml": "YAML File",
    "env": "Environment File",
    "md": "Markdown Document",
    "mdx": "MDX Document",
}
_BASIC = words("txt md mdx html htm xml csv tsv json yaml yml env conf css scss sass ejs tmpl log")
_CODE = words("js jsx ts tsx")
_TREE_SITTER = words("py go java cs rs sql sh bash")


def extension(file_name: str) -> str:
    """The lower-case extension without its dot; a name like ``.env`` is all extension; none is the empty string."""
    return file_name.rpartition(".")[2].lower() if "." in file_name else ""


def describe(file_name: str) -> str:
    """The value of ``fileType``."""
    kind = extension(file_name)
    return _NAMES.get(kind, f"{kind.upper()} File" if kind else "File")


def processor(file_name: str) -> str:
    """The value of ``processorType``: one of basic, llama-parse, code, tree-sitter."""
    kind = extension(file_name)
    if kind in _BASIC:
        return "basic"
    if kind in _CODE:
        return "code"
    return "tree-sitter" if kind in _TREE_SITTER else "llama-parse"


def mime_type(file_name: str) -> str:
    """The guessed content type, as query results show it."""
    return mimetypes.guess_type(file_name)[0] or "application/octet-stream"
