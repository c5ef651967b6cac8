"""The Python blocks of the pages run, in order; the blocks of one page share their variables."""

import re
from pathlib import Path

import polars
import pyarrow.parquet
import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^(<!-- not run: .+ -->\n)?```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", ROOT / "python" / "README.md", *(ROOT / "docs").rglob("*.md")]
BLOCKS = {
    str(page.relative_to(ROOT)): [code for not_run, code in BLOCK.findall(page.read_text()) if not not_run]
    for page in PAGES
}


@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if blocks])
def test_blocks(page, tmp_path, monkeypatch):
    """Pages name the sample data, a folder of reviews, a model folder, and tables of pandas, polars and Arrow."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "path/to").mkdir(parents=True)
    (tmp_path / "path/to/folder").symlink_to(ROOT / "tests/golden/one-head")
    monkeypatch.chdir(tmp_path)
    table = pyarrow.parquet.read_table("data/reviews.parquet")
    (tmp_path / "reviews").mkdir()
    pyarrow.parquet.write_table(table.rename_columns({"text": "body"}), "reviews/part-0.parquet")
    variables = {"table": table, "frame": table.to_pandas(), "polars_frame": polars.from_arrow(table)}
    for block in BLOCKS[page]:
        exec(block, variables)
