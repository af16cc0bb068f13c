"""Every shape annotation of the package is checked at run time; each test is deterministic, on one thread."""

from jaxtyping import install_import_hook

install_import_hook("ornstein", "runtime_types.checked")  # before anything imports the package

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("fixed", deadline=None, derandomize=True, max_examples=50, database=None)
settings.load_profile("fixed")
