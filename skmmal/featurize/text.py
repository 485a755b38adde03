"""Texts to a feature cache: ``python -m skmmal.featurize.text MANIFEST --out FOLDER``."""

from __future__ import annotations

import functools
import sys

from skmmal.featurize._cli import run_script

main = functools.partial(run_script, "text")

if __name__ == "__main__":
    sys.exit(main())
