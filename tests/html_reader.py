"""A page as its tags and its text."""

from html.parser import HTMLParser


class Reader(HTMLParser):
    """What a browser would find."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def check_self_contained(self) -> None:
        """No script, nothing from outside."""
        assert not {tag for tag, _ in self.tags} & {"script", "link", "img", "iframe"}
        for tag, attributes in self.tags:
            for name in ("src", "href", "xlink:href"):
                assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
