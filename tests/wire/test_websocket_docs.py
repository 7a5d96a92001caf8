"""The sample of docs/wire.md, run as a program of its own; and what its tables say of settings."""

import re

from docs_kit import check_program, page, promises, samples
from kirsch.wire.websocket.deflate import Settings


def test_the_sample_prints_what_its_comments_say():
    [source] = samples("wire")
    assert len(promises(source)) >= 8
    check_program(source)


def test_the_settings_of_compression():
    section = page("wire").partition("### Compression")[2].partition("###")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+)", section, re.MULTILINE))
    settings = Settings()
    assert rows == {name: str(getattr(settings, name)) for name in Settings.__slots__}
