"""What MkDocs calls: adds the pages that are made from the code, and pictures and output of a small real sweep.

In a page, `<!-- prints -->` below a block of commands stands for what its last command prints, and `<!-- prints from:
WORDS -->` for that from the first line that has these words; a picture below `made/` is a file of the sweep's folder.
"""

import os
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402
from mkdocs.structure.pages import Page  # noqa: E402

from docs.build import mnist  # noqa: E402
from docs.build.pages import PAGES  # noqa: E402
from docs.build.sweep import DOCS, blocks, made  # noqa: E402

PRINTS = re.compile(r"<!-- prints(?: from: (.*?))? -->")
PICTURE = re.compile(r"\(((?:\.\./)?made/([^)]+))\)")
FOLDER = Path(os.environ.get("DOCS_SWEEP") or DOCS.parent / ".docs").resolve()
"""The folder of the small sweep: made where it is not there, and reused where it is."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add generated pages and pictures."""
    made(FOLDER)
    for path, write in PAGES.items():
        files.append(File.generated(config, path, content=write()))
    for picture, source in mnist.pictures(FOLDER).items():
        files.append(File.generated(config, picture, abs_src_path=str(source)))
    for page in list(files.documentation_pages()):
        for picture in PICTURE.finditer(page.content_string):
            path = f"made/{picture[2]}"
            if files.get_file_from_path(path) is None:
                files.append(File.generated(config, path, abs_src_path=str(FOLDER / picture[2])))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what commands print."""
    if page.file.src_uri == "reference/methods.md":
        return mnist.with_samples(markdown, FOLDER)
    known = made(FOLDER)
    for found in reversed(list(PRINTS.finditer(markdown))):
        before = [block for block in blocks(markdown[: found.start()]) if block.language == "bash"]
        printed = known[shlex.join(before[-1].commands()[-1])].rstrip().splitlines()
        first = next(index for index, line in enumerate(printed) if (found[1] or "") in line)
        shown = printed[first:]
        text = "\n".join(["```text", *shown, "```"])
        markdown = markdown[: found.start()] + text + markdown[found.end() :]
    return markdown
