"""`python -m scripts.site check` looks at the documents; `build` makes site/ of them, and looks at that too."""

from __future__ import annotations

import sys

import click

from scripts.site import build as building
from scripts.site import links, mentions, navigation, reference, writing
from scripts.site.document import ROOT, Document, read


@click.group()
def main() -> None:
    """The site of the documents."""


@main.command()
def check() -> None:
    """Say what is wrong with the documents: dead links, pages that no one finds, things that no page names.

    Example: python -m scripts.site check
    """
    _end(_problems(read()), "The documents are as they should be.")


@main.command()
@click.option("--repository", envvar="REPOSITORY", default="", help="The address that files are linked at.")
def build(repository: str) -> None:
    """Build site/ from what is here, without any other host. It works from file://, too.

    Files that are no pages are copied into the site, unless the address of a public repository is given.

    Example: python -m scripts.site build --repository https://git.example.org/us/dashboard-rt
    """
    documents = read()
    problems = _problems(documents) or building.build(documents, repository)
    _end(problems, f"{building.SITE / 'index.html'}: {building.size()}")


def _problems(documents: list[Document]) -> list[str]:
    return [
        *navigation.problems(documents),
        *writing.problems(documents),
        *links.problems(documents, ROOT),
        *mentions.problems(documents),
        *reference.missing(),
    ]


def _end(problems: list[str], otherwise: str) -> None:
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        sys.exit(f"{len(problems)} to be mended")
    click.echo(otherwise)


if __name__ == "__main__":
    main()
