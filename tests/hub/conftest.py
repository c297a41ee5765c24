"""The deployment's own modules, and what makes the book's buttons, can be imported."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "deploy"), str(ROOT / "book" / "_ext")]
