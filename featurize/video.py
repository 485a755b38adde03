"""Videos to a feature cache, from a clone: ``python -m featurize.video MANIFEST --out FOLDER``."""

import sys

from skmmal.featurize.video import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m featurize.video"))
