"""Columns of a table to a modality, from a clone: ``python -m featurize.table DATA --out FOLDER``."""

import sys

from skmmal.featurize.table import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m featurize.table"))
