"""What assistive technology and small screens need of a page, checked on its elements."""

from html.parser import HTMLParser


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def faults_of_page(text: str) -> list[str]:
    """Return what a page lacks: a language, a title, one heading in one main part, a viewport; and what it loads."""
    parser = _Elements()
    parser.feed(text)
    tags = [tag for tag, _ in parser.seen]
    attributes = dict(parser.seen)
    metas = {found.get("name") for tag, found in parser.seen if tag == "meta"}
    needed = {
        "a language": bool(attributes.get("html", {}).get("lang")),
        "a title": "title" in tags,
        "one heading": tags.count("h1") == 1,
        "one main part": tags.count("main") == 1,
        "a viewport": "viewport" in metas,
        "nothing to load": not {"script", "img", "link", "iframe"}.intersection(tags),
    }
    return [name for name, is_there in needed.items() if not is_there]
