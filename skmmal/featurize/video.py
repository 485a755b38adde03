"""Videos to a feature cache: ``python -m skmmal.featurize.video MANIFEST --out FOLDER``."""

from __future__ import annotations

import functools
import sys

from skmmal.featurize._cli import run_script

main = functools.partial(run_script, "video")

if __name__ == "__main__":
    sys.exit(main())
