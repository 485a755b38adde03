#!/bin/sh
# Runs every experiment of this folder again and brings its tables and figures up to date. About two and a half hours on
# two cores; killed, it goes on where it was. Usage: [JOBS=2] sh examples/results/reproduce.sh [WORK_FOLDER]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-${TMPDIR:-/tmp}/skmmal-results}
jobs=${JOBS:-2}
eight=bmmal,badge,coreset,entropy,kmeans,least-confidence,margin,random
every=alfamix,badge,bait,bald,batchbald,bmmal,clustermargin,coregcn,coreset,dcom,deepfool,dropquery,entropy,epig,falcun
every=$every,galaxy,kmeans,least-confidence,margin,maxherding,mvopt,powerbald,probcover,random,typiclust,uherding
every=$every,uncertaingcn

run() { # name dataset batch rounds strategies [first batch]
    python -m skmmal simulate --estimator late-fusion --dataset "$2" --strategies "$5" --n-initial "$3" --n-instances "$3" \
        --n-rounds "$4" --seeds 10 --initial "${6:-random}" --n-jobs "$jobs" --out "$work/$1"
}

# data that ships with the package
run emoji emoji 40 8 "$every,mmcsal"
run digits-fou-pix digits:fou,pix 20 8 "$every"
run digits-zer-kar digits:zer,kar 20 8 "$every"
run digits-mor-fou-zer digits:mor,fou,zer 20 8 "$every"
run emoji-68 emoji:subcategory,8 70 4 badge,bait,entropy,margin,mvopt,random,uherding
real="$work/emoji $work/digits-fou-pix $work/digits-zer-kar $work/digits-mor-fou-zer"

# a first batch without labels: the table in README.md
for first in random kmeans maxherding typiclust mvopt mmcsal probcover coreset; do
    run "first/emoji-$first" emoji 40 2 margin "$first"
    run "first/digits-fou-pix-$first" digits:fou,pix 20 2 margin "$first"
done

# generated: one pitfall at a time
suite=
for pitfall in interaction-redundant missing missing-class missing-one difficulty interaction-unique \
    interaction-synergy interaction-mixed; do
    run "gap-$pitfall" "mind-the-gap:$pitfall" 20 8 "$eight"
    suite="$suite $work/gap-$pitfall"
done

# shellcheck disable=SC2086
python -m skmmal report $real --out "$work/real"
python -m skmmal report "$work/emoji-68"
# shellcheck disable=SC2086
python -m skmmal report $suite --out "$work/suite"

# what is kept: the tidy results, the tables as text, some figures (with 256 colours, to be small)
for run in "$work"/*/; do
    if [ ! -f "$run/report.txt" ]; then continue; fi
    name=$(basename "$run")
    mkdir -p "$here/$name"
    for file in config.json results.csv report.txt; do
        if [ -f "$run/$file" ]; then cp "$run/$file" "$here/$name/"; fi
    done
    python - "$run/figures" "$here/$name" learning_curves modality_curves pairwise_matrix critical_difference <<'END'
import sys
from pathlib import Path

from PIL import Image

source, target = Path(sys.argv[1]), Path(sys.argv[2])
for name in sys.argv[3:]:
    if (source / f"{name}.png").is_file():
        Image.open(source / f"{name}.png").convert("RGB").quantize(256).save(target / f"{name}.png", optimize=True)
END
done
