"""Puts this folder on the path, so that the tests of the wire find their corpus loader."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
