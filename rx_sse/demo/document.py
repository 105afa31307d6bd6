"""A page of `docs/` in a browser: its Markdown as it is, with links that work.

The site with search, tables and pictures is built by ``python3 dev.py docs``.

Never: text of the file that the browser could take for markup.
"""

from __future__ import annotations

import html
import re

LINK = re.compile(r"\[([^\]\n]*)\]\(([\w-]+\.md)(?:#[\w-]*)?\)")
HEADING = re.compile(r"^#+ .*$", re.MULTILINE)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name} · rx_sse</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
</head>
<body>
<header>
  <div>
    <h1>rx_sse</h1>
    <p>docs/{name} of this clone. <code>python3 dev.py docs serve</code> shows all pages as a site.</p>
  </div>
  <nav><a href="/">Demo</a><a href="/docs/index.md">All pages</a></nav>
</header>
<pre class="document">{text}</pre>
</body>
</html>
"""


def document_page(name: str, text: str) -> str:
    """The HTML page of a document.

    Args:
        name: its file's name.
        text: its Markdown.
    """
    shown = LINK.sub(r'<a href="/docs/\2">\1</a>', html.escape(text))
    shown = HEADING.sub(lambda heading: f"<b>{heading[0]}</b>", shown)
    return PAGE.format(name=html.escape(name), text=shown)
