"""scripts/site: what is wrong with a document is found, and said with its file and line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from scripts.site import built, links, mentions, navigation, reference, writing
from scripts.site.document import ROOT, Document
from scripts.site.staging import Staging

TICKS = "```"
OTHER = "# Other\n\n## A heading, with `code`\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text(OTHER)
    (tmp_path / "docs" / "some.md").write_text("# Some\n")
    (tmp_path / "docs" / "there.png").write_bytes(b"")
    (tmp_path / "program.py").write_text("print('see docs/other.md')\n")
    return tmp_path


def found(
    check: Callable[[list[Document], Path], Iterable[str]], text: str, root: Path, path: str = "docs/some.md"
) -> list[str]:
    site = path.rsplit("/", 1)[-1]
    return list(check([Document(path, text, site), Document("docs/other.md", OTHER, "other.md")], root))


@pytest.mark.parametrize(
    "text",
    [
        "[x](other.md) [y](other.md#a-heading-with-code) [z](#some)",
        "[x](../program.py) ![p](there.png) [q](https://example.org/#x) <a href='other.md'>r</a>",
        "[x][name]\n\n[name]: other.md",
        "`[x](nowhere.md)`\n\n```text\n[y](nowhere.md)\n```",
    ],
)
def test_links_that_lead_somewhere(text: str, root: Path) -> None:
    assert found(links.problems, f"# Some\n\n{text}\n", root) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[x](nowhere.md)", "docs/nowhere.md does not exist"),
        ("[x](other.md#a-heading)", "docs/other.md has no heading for #a-heading (#a-heading-with-code?)"),
        ("[x](#other)", "docs/some.md has no heading for #other"),
        ("![x](gone.png)", "docs/gone.png does not exist"),
        ("<img src='gone.png'>", "docs/gone.png does not exist"),
        ("![x](https://example.org/x.png)", "the image https://example.org/x.png is on another host"),
        ("[x](../../x.md)", "../../x.md leads out of this repository"),
        ("[x][name]", "the reference [name] is defined nowhere"),
    ],
)
def test_a_dead_link(text: str, problem: str, root: Path) -> None:
    (told,) = found(links.problems, f"# Some\n\nwords\n{text}\n", root)
    assert told.startswith(f"docs/some.md:4: {problem}")


def test_a_program_that_names_a_document_that_is_not_there(root: Path) -> None:
    (root / "program.py").write_text("'''See docs/other.md#nothing,\nand docs/gone.md.'''\n")
    assert found(links.problems, "# Some\n", root) == [
        "program.py:1: docs/other.md has no heading for #nothing",
        "program.py:2: docs/gone.md does not exist",
    ]


@pytest.mark.parametrize(
    ("nav", "problem"),
    [
        ("nav: [some.md]", "docs/other.md:1: the navigation in mkdocs.yml lacks other.md"),
        (
            "nav:\n  - S: some.md\n  - More:\n      - O: other.md\n      - G: gone.md",
            "mkdocs.yml:5: gone.md does not exist",
        ),
        ("nav: [some.md, other.md, some.md]", "mkdocs.yml: some.md is in the navigation 2 times"),
    ],
)
def test_a_navigation_that_is_not_whole(nav: str, problem: str, root: Path) -> None:
    (root / "mkdocs.yml").write_text(nav)
    (told,) = found(navigation.problems, "# Some\n", root)
    assert told.startswith(problem)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (f"words\n\n{TICKS}\nls\n{TICKS}", 5, "a fence has to name its language"),
        ("words\n\n    ls\n", 5, "code by indentation"),
        ("words\n<!--claim x-->1<!--/claim--> more", 4, "a line that begins with a comment"),
        ("# Another title", 3, "a page has one title"),
        ("## A\n\n## A", 5, "#a is also the heading of line 3"),
    ],
)
def test_what_a_page_would_show_wrong(text: str, line: int, problem: str, root: Path) -> None:
    (told,) = found(lambda documents, _: writing.problems(documents), f"# Some\n\n{text}\n", root)
    assert problem in told and (told.startswith(f"docs/some.md:{line}:") or "title" in problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`SSE_HEARTBEET`", "`SSE_HEARTBEET` is no setting"),
        ("`SSE_HEARTBEET=15`", "`SSE_HEARTBEET` is no setting"),
        ("`make run PROT=4000`", "`PROT` is no setting"),
        (
            f"this:\n\n{TICKS}sh\nmake dyno ARGS='--set SSE_HEARTBEET=5'\n{TICKS}\n",
            "`SSE_HEARTBEET` is no setting",
        ),
        ("`tests/hub/test_nothing.py`", "tests/hub/test_nothing.py does not exist"),
        ("`tests/test_docs.py::test_nothing`", "tests/test_docs.py has no test_nothing"),
        ("`dashboard-rt lissen`", "there is no command `dashboard-rt lissen`"),
        ("`python -m bench run fanin --subs 3`", "there is no command `python -m bench run fanin`"),
        (
            "`make check && dashboard-rt listen URL --transprot sse`",
            "`dashboard-rt listen` has no option `--transprot`",
        ),
        ("`make chek`", "there is no `make chek`"),
        ("`GET /dashboard/strem`", "there is no `GET /dashboard/strem`"),
        ("`/dashboard/strem?stream=orders`", "there is no `/dashboard/strem`"),
        ("`curl -N http://127.0.0.1:3000/dashboard/strem`", "there is no `/dashboard/strem`"),
    ],
)
def test_a_mention_of_what_there_is_not(text: str, problem: str) -> None:
    (told,) = found(lambda documents, _: mentions.problems(documents), f"# Some\n\nSee {text}\n", ROOT)
    assert told.startswith(f"docs/some.md:{6 if TICKS in text else 3}: {problem}")


@pytest.mark.parametrize(
    "text",
    [
        "`SSE_HEARTBEAT` `PORT=3000` `DYNO`",
        "`tests/test_docs.py::test_the_commands_are_found` `bench/results` `docs/report/`",
        "`dashboard-rt listen URL` `.venv/bin/python -m dashboard_rt serve` `python -m bench run suite x.toml`",
        "`make check test` `GET /streams/orders` `POST /streams/{stream}` `GET /dashboard/metrics?limit=3`",
        "`/dashboard/` `/dash/cable` `http://127.0.0.1:3000/streams/orders` `/static/client/`",
        f'{TICKS}sh\nNAME_OF_IT=x\necho "$NAME_OF_IT"\n{TICKS}',
    ],
)
def test_mentions_of_what_there_is(text: str) -> None:
    assert found(lambda documents, _: mentions.problems(documents), f"# Some\n\n{text}\n", ROOT) == []


def test_a_reference_page_that_lacks_something(root: Path) -> None:
    docs = ROOT / "docs"
    for page in ("settings.md", "protocol.md"):
        text = (docs / page).read_text().replace("`SSE_HEARTBEAT`", "").replace("`POST /tickets`", "")
        (root / "docs" / page).write_text(text.replace("/tickets", "/ticket"))
    assert [told for told in reference.missing(root) if "cli" not in told and "errors" not in told] == [
        "docs/settings.md:1: this page does not name the settings `SSE_HEARTBEAT`",
        "docs/protocol.md:1: this page does not name the endpoints `/tickets`",
    ]


def test_what_servers_say_at_the_end_is_found_in_their_code() -> None:
    words = reference.error_words()
    assert {"too_slow", "full", "token_expired", "server_restart", "unavailable"} <= set(words)
    assert {"1001", "1007", "1008", "1009", "421", "misdirected_request", "request_timeout"} <= set(words)


STAGED = """# Some
words
- one
  more of one

  <!-- run -->
  ```sh
  ls  # [x](other.md)
  ```
  1. below
     - deeper
- two <!--claim x-->7<!--/claim--> `<!-- kept -->` [y](../program.py) [z](other.md#a)
"""

AS_STAGED = """# Some
words

- one
    more of one


    ```sh
    ls  # [x](other.md)
    ```
    1. below
        - deeper
- two 7 `<!-- kept -->` [y](files/program.py.txt) [z](other.md#a)
"""


def test_a_page_is_staged_so_that_the_site_reads_it_as_github_does(root: Path) -> None:
    staged = root / "build"
    document = Document("docs/some.md", STAGED, "some.md")
    other = Document("docs/other.md", OTHER, "other.md")
    assert Staging(root, staged, [document, other]).page(document) == AS_STAGED
    assert (staged / "files" / "program.py.txt").read_text() == (root / "program.py").read_text()


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ("<h1>Some</h1><ul><li>one</li></ul>", None),
        ("<h1>Some</h1><p>- one</p>", "docs/some.md:3: GitHub shows a <li> with 'one', the site ''"),
        ("<h1>Some</h1><ul><li>one</li><li>two</li></ul>", "docs/some.md: the site shows a <li> with 'two'"),
        (
            "<h1>Some</h1><ul><li>one</li></ul><!-- x -->",
            "docs/some.md: the comment <!-- x --> is in the site",
        ),
        (
            "<h1>Some</h1><ul><li><a href='gone.html'>one</a></li></ul>",
            "docs/some.md: in the site, gone.html",
        ),
        ("<h1>Some</h1><ul><li>one</li></ul><a href='#x'>", "docs/some.md: in the site, #x names no place"),
        ("<h1>Some</h1><ul><li>one</li></ul><img src='//example.org/x.png'>", "docs/some.md: the page asks"),
    ],
)
def test_a_built_page_that_shows_something_else(html: str, problem: str | None, tmp_path: Path) -> None:
    (tmp_path / "some.html").write_text(f"<article>{html}</article>")
    told = list(built.problems([Document("docs/some.md", "# Some\n\n- one\n", "some.md")], tmp_path))
    assert len(told) == (problem is not None)
    assert problem is None or told[0].startswith(problem)
