"""The text in web pages, e-books and documents of Word, without the marks. Imports no torch."""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote
from xml.etree import ElementTree

from transformer.data.sources.encodings import decoded
from transformer.data.sources.extras import needed

_CONTAINER = "META-INF/container.xml"


def html_text(data: bytes, path: str, encoding: str) -> str:
    """The text as a browser lays it out, by the library inscriptis."""
    return _laid_out(decoded(data, path, encoding), path)


def _laid_out(page: str, path: str) -> str:
    inscriptis = needed("inscriptis", path)
    config = needed("inscriptis", path, "inscriptis.model.config").ParserConfig(
        display_links=False, display_images=False
    )
    page = page.removeprefix("\ufeff")
    if page.lstrip().startswith("<?xml"):  # lxml refuses a declaration in a text that is decoded
        page = page[page.index("?>") + 2 :]
    text = inscriptis.get_text(page, config) if page.strip() else ""
    lines = [line.rstrip() for line in text.split("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def epub_text(data: bytes, path: str, encoding: str) -> str:
    """The chapters of an e-book in its own order (the spine of EPUB 3.3, section 5.7)."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            pages = [book.read(name).decode("utf-8", "replace") for name in _spine(book)]
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, zipfile.LargeZipFile) as error:
        raise EOFError(f"not a whole e-book: {error}") from None
    return "\n\n".join(_laid_out(page, path) for page in pages)


def _spine(book: zipfile.ZipFile) -> Iterator[str]:
    root = ElementTree.fromstring(book.read(_CONTAINER)).find(".//{*}rootfile")
    if root is None:
        raise KeyError(f"{_CONTAINER} names no package")
    package = root.attrib["full-path"]
    tree = ElementTree.fromstring(book.read(package))
    items = {item.attrib.get("id"): item.attrib for item in tree.iterfind(".//{*}manifest/{*}item")}
    for place in tree.iterfind(".//{*}spine/{*}itemref"):
        item = items[place.attrib["idref"]]
        if "html" in item.get("media-type", "html"):
            yield posixpath.normpath(
                posixpath.join(posixpath.dirname(package), unquote(item["href"]))
            )


def docx_text(data: bytes, path: str, encoding: str) -> str:
    """The paragraphs and the cells of tables, in their order, by the library python-docx."""
    docx = needed("python-docx", path, "docx")
    try:
        document = docx.Document(io.BytesIO(data))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise EOFError(f"not a document of Word: {error}") from None
    lines: list[str] = []
    for part in document.iter_inner_content():
        if hasattr(part, "rows"):
            lines += ["\t".join(cell.text for cell in row.cells) for row in part.rows]
        else:
            lines.append(part.text)
    return "\n".join(lines) + "\n"
