"""Images to a feature cache, from a clone: ``python -m featurize.image MANIFEST --out FOLDER``."""

import sys

from skmmal.featurize.image import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m featurize.image"))
