"""Sound to a feature cache, from a clone: ``python -m featurize.audio MANIFEST --out FOLDER``."""

import sys

from skmmal.featurize.audio import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m featurize.audio"))
