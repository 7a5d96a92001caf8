"""The sample of docs/wire.md, run as a program of its own; and what its tables say of settings."""

import re
import subprocess
import sys

from corpus_loader import PAGE

from kirsch.wire.websocket.deflate import Settings

TEXT = PAGE.read_text("utf-8")
SAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_sample_prints_what_its_comments_say():
    [source] = SAMPLES
    promised = re.findall(r"print\(.*\)+ +# (.*)", source)
    assert len(promised) >= 8
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", "-c", source],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == promised


def test_the_settings_of_compression():
    section = TEXT.partition("### Compression")[2].partition("###")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+)", section, re.MULTILINE))
    settings = Settings()
    assert rows == {name: str(getattr(settings, name)) for name in Settings.__slots__}
