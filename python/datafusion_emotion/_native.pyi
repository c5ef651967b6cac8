from typing import Final

import pyarrow

VERSION: Final[str]
DATAFUSION_VERSION: Final[str]

class Function:
    @property
    def name(self) -> str: ...
    def __call__(
        self, texts: pyarrow.Array, label: str | None = None, threshold: str | None = None
    ) -> pyarrow.Array: ...
    def __datafusion_scalar_udf__(self) -> object: ...

def functions(prefix: str, options: dict[str, str]) -> list[Function]: ...
