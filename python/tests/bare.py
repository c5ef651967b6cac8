"""The package with what it requires alone: run by test.sh in an environment without ``datafusion``."""

import importlib.util

import pyarrow as pa

import datafusion_emotion

for optional in ("datafusion", "pandas", "polars"):
    assert importlib.util.find_spec(optional) is None, optional
assert datafusion_emotion.classify(["I like you.", None]) == ["love", None]
assert datafusion_emotion.classify(pa.array(["Go away!"])).to_pylist() == ["anger"]
try:
    datafusion_emotion.register(None)
except ImportError as error:
    assert "pip install 'datafusion==55.*'" in str(error)
else:
    raise AssertionError("register works without datafusion")
