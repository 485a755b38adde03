"""Sound to a feature cache: ``python -m skmmal.featurize.audio MANIFEST --out FOLDER``."""

from __future__ import annotations

import functools
import sys

from skmmal.featurize._cli import run_script

main = functools.partial(run_script, "audio")

if __name__ == "__main__":
    sys.exit(main())
