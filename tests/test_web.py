"""web/: checks of the files themselves, and the tests of its modules, which run in Node (tests/js)."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests import needs

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
MODULES = sorted(WEB.rglob("*.js"))
SUITES = sorted((ROOT / "tests" / "js").glob("*.test.mjs"))
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Element:
    def __init__(self, tag: str, attributes: dict[str, str], parents: tuple[str, ...]) -> None:
        self.tag, self.attributes, self.parents = tag, attributes, parents
        self.text = ""


class Document(HTMLParser):
    """The elements of a page; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        parents = tuple(element.tag for element in self._open)
        element = Element(tag, {name: value or "" for name, value in attrs}, parents)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1].tag == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]


@pytest.fixture(scope="module")
def page() -> Document:
    return Document((WEB / "index.html").read_text("utf-8"))


def test_each_placeholder_is_there_once_and_in_its_place(page: Document) -> None:
    text = (WEB / "index.html").read_text("utf-8")
    assert sorted(re.findall(r"\{\{\w*\}\}", text)) == ["{{page_json}}", "{{position}}"]
    position = [meta for meta in page.all("meta") if meta.attributes.get("name") == "stream-position"]
    assert [meta.attributes["content"] for meta in position] == ["{{position}}"]
    settings = [script for script in page.all("script") if script.attributes.get("id") == "page-settings"]
    assert [(script.attributes["type"], script.text) for script in settings] == [
        ("application/json", "{{page_json}}")
    ]


def test_nothing_is_inline(page: Document) -> None:
    assert not page.all("style")
    for script in page.all("script"):
        assert script.attributes.get("type") == "application/json" or (
            script.attributes["src"] and not script.text
        )
    for element in page.elements:
        forbidden = [name for name in element.attributes if name == "style" or name.startswith("on")]
        assert not forbidden, f"<{element.tag}> has {forbidden}"


def test_every_file_that_the_page_names_exists(page: Document) -> None:
    addresses = [element.attributes.get(name, "") for element in page.elements for name in ("src", "href")]
    files = [address for address in addresses if address and not address.startswith("#")]
    for address in files:
        if address.startswith("/dashboard"):
            continue
        assert address.startswith("/static/"), f"{address}: only files of ours"
        assert (WEB / address.removeprefix("/static/")).is_file(), address


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_every_import_exists(module: Path) -> None:
    for target in re.findall(r"""(?:from|import) ["']([^"']+)["']""", module.read_text("utf-8")):
        assert target.startswith("."), f"{target}: nothing from elsewhere, and no import map"
        assert (module.parent / target).is_file(), target


def exported_files() -> set[str]:
    """The files that the package of the clients gives out."""
    exports = json.loads((WEB / "client" / "package.json").read_text("utf-8"))["exports"]
    named = [
        each
        for entry in exports.values()
        for each in (entry.values() if isinstance(entry, dict) else [entry])
    ]
    return set(named)


def test_every_file_is_reached_from_the_page(page: Document) -> None:
    """Or belongs to the package of the clients, which holds nothing that it does not give out."""
    client = WEB / "client"
    package = {"package.json", "README.md", "LICENSE"}
    reached = {WEB / "index.html", WEB / "package.json", *(client / name for name in package)}
    reached |= {WEB / "vendor" / "uplot" / name for name in ("LICENSE", "VENDOR.json")}  # see test_vendor.py
    found = [
        WEB / e.attributes[n].removeprefix("/static/")
        for e in page.elements
        for n in ("src", "href")
        if n in e.attributes
    ]
    found += [client / target for target in exported_files()]
    while found:
        path = found.pop().resolve()
        if path in reached or not path.is_file():
            continue
        reached.add(path)
        if path.suffix == ".js":
            named = r'(?:from |new URL\()"([^"]+)"(?:, import\.meta\.url)?'
            found += [path.parent / target for target in re.findall(named, path.read_text("utf-8"))]
    reached.add(WEB / "debug.css")  # the sheet of /dashboard/debug
    assert {path for path in WEB.rglob("*") if path.is_file()} - reached == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_updates_can_only_become_text(module: Path) -> None:
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setHTML|DOMParser|srcdoc"
    assert not re.search(markup, module.read_text("utf-8"))


@pytest.mark.parametrize("sheet", sorted(WEB.glob("*.css")), ids=lambda path: path.name)
def test_a_style_sheet_loads_nothing(sheet: Path) -> None:
    assert not re.search(r"@import|url\(", sheet.read_text("utf-8"))


@pytest.mark.parametrize("module", ["panel.js", "dashboard.js"])
def test_every_field_that_is_written_is_in_the_page(page: Document, module: str) -> None:
    there = {element.attributes.get("data-field") for element in page.elements}
    source = (WEB / module).read_text("utf-8")
    named = set(re.findall(r"\bfields\.(?!js\b)(\w+)", source)) | set(
        re.findall(r'fields\["([\w-]+)"\]', source)
    )
    by_name = {
        "panel.js": {"p50", "p95", "p99"},
        "dashboard.js": {"cpu", "memory", "disk", "network", "response_time"},
    }
    assert named and named | by_name[module] <= there, sorted((named | by_name[module]) - there, key=str)


def test_connection_changes_are_announced_and_figures_are_not(page: Document) -> None:
    announced = [element for element in page.elements if element.attributes.get("role") == "status"]
    assert [element.parents.count("template") for element in announced] == [0, 0, 1]
    assert not [element for element in page.elements if "aria-live" in element.attributes]
    assert all("dl" not in element.parents for element in announced)
    figures = [
        element
        for element in page.elements
        if element.attributes.get("data-field") in ("cpu", "network", "p50", "age")
    ]
    assert all("dl" in element.parents and "dd" in (*element.parents, element.tag) for element in figures)


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
def test_modules_under_node(suite: Path) -> None:
    command = [needs.node(), "--test", "--test-timeout=30000", "--test-reporter=spec", str(suite)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_every_module_that_needs_no_page_has_a_suite() -> None:
    tested = {re.sub(r"\.test\.mjs$", "", suite.name) for suite in SUITES}
    # Their promises are those of the clients, and held through them.
    through_clients = {"callbacks", "client", "index", "json", "page-life", "platform"}
    through_clients |= {"shared-host", "shared-locks", "shared-port"}
    modules = {module.stem for module in (WEB / "client").glob("*.js")}
    assert modules - through_clients | {"format"} <= tested
