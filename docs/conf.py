"""The documentation's site: pages of this folder, a reference made of docstrings, outputs that were recorded.

`make docs` builds it, with every warning an error. Nothing is fetched, neither here nor by a reader's browser.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "ext"), str(HERE.parent / "tools")]

project = "Ornstein"
author = copyright = "The Ornstein developers"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "docstrings",  # before napoleon: both read docstrings
    "sphinx.ext.napoleon",
    "reference",
    "command_line",
    "executed",
    "elsewhere",
    "look",
]
exclude_patterns = ["_build", "executed", "ext"]
nitpicky = True
highlight_language = "none"
smartquotes = False  # a flag begins with two hyphens

myst_enable_extensions = ["colon_fence", "attrs_block"]
myst_heading_anchors = 4

add_module_names = False
autodoc_default_options = {"members": True, "member-order": "bysource", "exclude-members": "__init__, __new__"}
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # else each would be a reference
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = "Ornstein"
html_static_path = ["_static"]
html_css_files = ["ornstein.css"]
html_copy_source = False
html_show_sphinx = False
html_search_scorer = str(HERE / "ext" / "scorer.js")
html_show_search_summary = False  # which a page from file:// may not fetch
html_theme_options = {"source_edit_link": ""}
