# ruff: noqa: E402
"""How the site is built: ``python docs/build.py``. Nothing is fetched, and a warning is an error."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder, FileNameSortKey

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

from skmmal import __version__

project = "skmmal"
author = "the skmmal developers"
copyright = "the skmmal developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
    # of this folder
    "api_reference",
    "command_line",
    "method_cards",
    "public_names",
    "repository_files",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "README.md", "auto_examples/**/*.ipynb", "auto_examples/**/*.py"]
nitpicky = True
nitpick_ignore_regex = [("py:obj", r".*")]  # single backticks in docstrings: a link where there is one, else code
suppress_warnings = ["config.cache", "ref.footnote"]  # functions in sphinx_gallery_conf; sources that no sentence cites

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
default_role = "py:obj"
smartquotes_action = "qe"  # two dashes begin an option
toc_object_entries_show_parents = "hide"

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # docstrings hold the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template lists those that are ours
numpydoc_xref_param_type = False

TOPICS = ["start", "modalities", "strategies", "diagnostics", "experiments", "campaigns", "own"]
"""Folders of the gallery, in the order shown; others follow."""


def start_figures_anew(gallery_conf: dict, fname: str) -> None:
    """Every script of the gallery begins with the site's style and without others' figures."""
    import matplotlib.pyplot as plt

    plt.close("all")
    plt.rcdefaults()
    plt.style.use(DOCS / "_static" / "skmmal.mplstyle")


def gallery_sources() -> Path:
    """Copy the folders of examples that belong to the gallery: the others hold scripts and results to run by hand."""
    sources = DOCS / "_build" / "gallery"
    shutil.rmtree(sources, ignore_errors=True)
    for header in sorted((DOCS.parent / "examples").glob("**/GALLERY_HEADER.rst")):
        to = sources / header.parent.relative_to(DOCS.parent / "examples")
        to.mkdir(parents=True)
        for file in (header, *header.parent.glob("plot_*.py")):
            shutil.copy2(file, to)
    return sources


examples = gallery_sources()
present = [topic for topic in TOPICS if (examples / topic).is_dir()]
sphinx_gallery_conf = {
    "examples_dirs": [str(examples)],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"/plot_",
    "subsection_order": ExplicitOrder([*(str(examples / topic) for topic in present), "*"]),
    "within_subsection_order": FileNameSortKey,
    "reset_modules": (start_figures_anew,),
    "reset_modules_order": "before",
    "backreferences_dir": "reference/backreferences",
    "doc_module": ("skmmal",),
    "inspect_global_variables": False,
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,  # those pages load a table's script from elsewhere
    "show_signature": False,
    "download_all_examples": False,
    "abort_on_example_error": False,
    "plot_gallery": os.environ.get("SKMMAL_DOCS_GALLERY", "1") != "0",  # 0: pages without running the scripts
    "only_warn_on_example_error": False,
    "parallel": int(os.environ.get("SKMMAL_DOCS_JOBS", "1")),
}
warnings.filterwarnings("ignore", message=".*FigureCanvasAgg is non-interactive.*")

html_theme = "pydata_sphinx_theme"
html_title = f"skmmal {version}"
html_static_path = ["_static"]
html_css_files = ["skmmal.css"]
html_js_files = ["names.js"]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"index": [], "changelog": [], "contributing": [], "faq": [], "limits": [], "citing": []}
html_theme_options = {
    "logo": {"image_light": "_static/logo.svg", "image_dark": "_static/logo.svg", "alt_text": "skmmal, home"},
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_center": [],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "collapse_navigation": True,  # the reference has hundreds of pages; and its arrows have no names to read out
    "show_toc_level": 2,
    "show_prev_next": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "navigation_with_keys": False,
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"
