"""The sample file, and the counts of its labels that README.md shows."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def reviews():
    return str(ROOT / "data" / "reviews.parquet")


@pytest.fixture(scope="session")
def texts(reviews):
    return pq.read_table(reviews)["text"]


@pytest.fixture(scope="session")
def counts():
    """Rows of each label, of which ``None`` is one."""
    rows = (line.split("|")[1:-1] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| "))
    cells = ([cell.strip() for cell in row] for row in rows)
    shown = {row[0]: int(row[1]) for row in cells if len(row) == 2 and row[1].isdigit()}
    shown[None] = shown.pop("NULL")
    assert sum(shown.values()) == 282
    return Counter(shown)
