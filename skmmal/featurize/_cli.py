"""The command line that all scripts share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from skmmal.features import CacheInUseError
from skmmal.featurize._options import JobOptions

AddOptions = Callable[[argparse.ArgumentParser], None]


EPILOG = """
Exit status: 0, the rows are done (items without features are in errors.jsonl, doubtful ones, such as recordings that
are cut short, in notes.jsonl; python -m featurize.status counts them); 1, the job stopped (--strict,
--max-error-rate, a full disk, another job on the same rows) or not one item could be encoded; 2, it cannot begin (the
manifest, the options, or a cache that another job made); 130, interrupted. The same command goes on where it stopped.
"""


def shard(text: str) -> tuple[int, int]:
    """Parse ``i/n``. Shards count from 0; n/n is taken for the first, so that counting from 1 works too."""
    index, slash, count = text.partition("/")
    if not slash or not index.isdigit() or not count.isdigit() or not 0 <= int(index) <= int(count) != 0:
        raise argparse.ArgumentTypeError(f"expected i/n with 0 <= i < n, such as 0/4, got {text!r}")
    return int(index) % int(count), int(count)


def parser(script: str, description: str, add_options: AddOptions) -> argparse.ArgumentParser:
    """Return a script's parser: the shared options, then its own."""
    made = argparse.ArgumentParser(
        prog=f"python -m featurize.{script}",
        description=description,
        epilog=EPILOG,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("manifest", type=Path, help=f"CSV, JSON Lines or Parquet with the columns 'id' and {script!r}")
    made.add_argument("--out", type=Path, required=True, help="the feature cache: a new folder, or one to continue")
    made.add_argument("--modality", help=f"name of the modality (default: {script})")
    made.add_argument("--column", help=f"column of the manifest (default: {script})")
    made.add_argument("--id-column", default="id", help="column of the ids")

    model = made.add_argument_group("model")
    add_options(model)  # type: ignore[arg-type]  # a group takes arguments as a parser does
    model.add_argument("--weights", default="DEFAULT", help="a name, a local file or folder, or 'random'")
    model.add_argument("--seed", type=int, default=0, help="of random weights")
    model.add_argument("--tokens", action="store_true", help="keep a grid of tokens instead of pooling")
    model.add_argument("--dtype", choices=("float16", "float32", "bfloat16"), default="float16", help="what is stored")

    run = made.add_argument_group("run")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    run.add_argument("--amp", action=argparse.BooleanOptionalAction, default=None, help="autocast (default: on a GPU)")
    run.add_argument("--batch-size", type=int, default=32, help="units per forward pass; halved when memory runs out")
    run.add_argument("--workers", type=int, help="processes that read ahead, 0 for none (default: by cores)")
    run.add_argument("--threads", type=int, help="torch's threads (default: torch's choice)")
    run.add_argument("--range-rows", type=int, help="rows committed together; fixed by the first run")
    run.add_argument("--shard", type=shard, default=(0, 1), metavar="I/N", help="do the I-th of N parts, from 0")
    run.add_argument("--jobs", type=int, help="do N shards at once on this machine, a GPU each where there are some")
    run.add_argument("--limit", type=int, help="stop after this many rows")
    run.add_argument("--quiet", action="store_true", help="print errors only")

    bad = made.add_argument_group("bad items")
    bad.add_argument("--strict", action="store_true", help="stop at the first one, also at one that is only noted")
    bad.add_argument(
        "--retry-errors", action="store_true", help="try the items in errors.jsonl and notes.jsonl again, and no others"
    )
    bad.add_argument("--max-error-rate", type=float, default=1.0, help="stop when more than this share fails")
    return made


def options(script: str, arguments: argparse.Namespace) -> JobOptions:
    """Turn parsed arguments into options; what `JobOptions` does not know is the script's own setting."""
    values = vars(arguments)
    shared = {field.name for field in fields(JobOptions)}
    given = {name: value for name, value in values.items() if name in shared}
    settings = {name: value for name, value in values.items() if name not in {*shared, "jobs", "quiet"}}
    return JobOptions(script=script, settings=settings, **given)


def main(script: str, description: str, add_options: AddOptions, arguments: list[str] | None = None) -> int:
    """Run a script's command line, and return its exit status (see `EPILOG`)."""
    parsed = parser(script, description, add_options).parse_args(arguments)
    from skmmal.featurize._job import ErrorRateError, StrictError, run
    from skmmal.featurize._shards import run_shards

    try:
        chosen = options(script, parsed)
        receipt = _go(chosen, parsed, run, run_shards)
    except (StrictError, ErrorRateError, CacheInUseError, OSError, RuntimeError) as error:
        return _say(error, 1)
    except ValueError as error:
        return _say(error, 2)
    except KeyboardInterrupt:
        return _say("interrupted; the same command resumes", 130)
    return 0 if receipt["problem"] is None else _say(receipt["problem"], 1)


def _go(chosen: JobOptions, parsed: argparse.Namespace, run: Any, run_shards: Any) -> dict[str, Any]:
    if parsed.jobs is None:
        return run(chosen, quiet=parsed.quiet)
    if chosen.shard != (0, 1):
        raise ValueError("give --jobs or --shard, not both")
    return run_shards(chosen, parsed.jobs, n_jobs=parsed.jobs, quiet=parsed.quiet)


def _say(error: object, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status
