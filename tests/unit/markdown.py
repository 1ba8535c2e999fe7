"""Links of a Markdown text, for the tests of pages that are served and of those of the checkout."""

import re

# What a page may lead to that is not ours.
ELSEWHERE = {"c2sp.org", "www.standardwebhooks.com"}


def links(text: str) -> list[str]:
    """The targets of a Markdown text's links and images; code has none."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.M | re.S)
    return re.findall(r"\]\(([^)\s]+)\)", prose)
