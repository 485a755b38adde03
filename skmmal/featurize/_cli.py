"""The command line of the four scripts: what they share, and what each of them adds."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from skmmal.features import CacheInUseError
from skmmal.featurize._options import JobOptions
from skmmal.featurize._signals import Terminated, terminable

EPILOG = """
Exit status: 0, the rows are done (items without features are in errors.jsonl, doubtful ones, such as recordings that
are cut short, in notes.jsonl; {status} counts them); 1, the job stopped (--strict,
--max-error-rate, a full disk, another job on the same rows) or not one item could be encoded; 2, it cannot begin (the
manifest, the options, or a cache that another job made); 130, interrupted; 143, terminated (SIGTERM). The same
command goes on where it stopped.
"""


DESCRIPTIONS = {
    "image": "Featurize images.",
    "text": "Featurize texts.",
    "audio": "Featurize sound: files of any rate, and the sound tracks of videos.",
    "video": "Featurize videos: any container FFmpeg reads, and folders of frames.",
}

# what a script adds to the options that all of them share
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "image": {
        "--model": {
            "default": "torchvision/resnet101",
            "help": "torchvision/NAME or timm/NAME (features before its classifier), transformers/NAME-OR-FOLDER, or "
            "open_clip/NAME-OR-FOLDER",
        },
        "--pooling": {
            "choices": ("pooled", "cls", "mean", "attention", "none"),
            "default": "pooled",
            "help": "transformers models: their own pooled output (CLIP, SigLIP: the shared embedding), the CLS token, "
            "the mean over the patches (without CLS and register tokens), their attention pooling (SigLIP); none is "
            "--tokens",
        },
    },
    "text": {
        "--model": {
            "default": "transformers/bert-base-uncased",
            "help": "transformers/NAME-OR-FOLDER, sentence-transformers/NAME-OR-FOLDER, which is obeyed as it says, or "
            "open_clip/NAME-OR-FOLDER",
        },
        "--pooling": {
            "choices": ("cls", "mean", "last", "pooled", "none"),
            "help": "cls: the first token (BERT and its kin); mean: over the text's tokens; last: the last token "
            "(models that read from left to right: GPT, Llama, Qwen3-Embedding); pooled: the model's own output (CLIP, "
            "SigLIP: the embedding shared with images); none: --tokens; by default cls, or what a "
            "sentence-transformers folder says",
        },
        "--max-length": {
            "type": int,
            "help": "tokens per text; longer ones are cut, and counted; by default what the model is made for, at most "
            "8192, and 512 where neither tokenizer nor model has a limit",
        },
        "--normalize": {"action": "store_true", "help": "bring features to length one"},
        "--prompt": {
            "action": "append",
            "metavar": "TEMPLATE",
            "help": "put each text in place of {}, such as 'a photo of a {}' or a model's instruction; given several "
            "times, the features are the mean over the templates",
        },
        "--lines": {
            "action": "store_true",
            "help": "the manifest is a list with a text on each line, which is its id, too: names of classes",
        },
    },
    "audio": {
        "--model": {
            "default": "torchaudio/WAV2VEC2_BASE",
            "help": "torchaudio/PIPELINE, transformers/NAME-OR-FOLDER, or spectrogram/resnet18 (the paper's)",
        },
        "--pooling": {
            "choices": ("mean", "pooled", "none"),
            "default": "mean",
            "help": "mean over the tokens of the sound (without CLS tokens and padding), or the model's own (CLAP: the "
            "embedding shared with text; AST); none is --tokens",
        },
        "--window": {
            "type": float,
            "help": "seconds; longer recordings are cut, their windows averaged (default: 10, or what the model takes)",
        },
    },
    "video": {
        "--model": {
            "default": "torchvision/r2plus1d_18",
            "help": "a video model (torchvision/r2plus1d_18, transformers/FOLDER of VideoMAE, V-JEPA 2 and their kin), "
            "or for single frames torchvision/NAME, timm/NAME, transformers/NAME-OR-FOLDER or open_clip/NAME-OR-FOLDER",
        },
        "--pooling": {
            "choices": ("pooled", "cls", "mean", "attention", "none"),
            "default": "pooled",
            "help": "of a transformers model's tokens; an image model's frames are averaged (none, which is --tokens, "
            "keeps them)",
        },
        "--frames": {"type": int, "help": "frames per video (default: what a video model is made for, else 10)"},
        "--fps": {"type": float, "default": 1.0, "help": "frames per second, around the middle of the video"},
    },
}


def shard(text: str) -> tuple[int, int]:
    """Parse ``i/n``. Shards count from 0; n/n is taken for the first, so that counting from 1 works too."""
    index, slash, count = text.partition("/")
    if not slash or not index.isdigit() or not count.isdigit() or not 0 <= int(index) <= int(count) != 0:
        raise argparse.ArgumentTypeError(f"expected i/n with 0 <= i < n, such as 0/4, got {text!r}")
    return int(index) % int(count), int(count)


def parser(script: str, prog: str | None = None) -> argparse.ArgumentParser:
    """Return a script's parser: the shared options, and its own."""
    prog = prog or f"python -m skmmal.featurize.{script}"
    made = argparse.ArgumentParser(
        prog=prog,
        description=DESCRIPTIONS[script],
        epilog=EPILOG.format(status=f"{prog.removesuffix(script)}status"),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_inputs(made, script)
    _add_model(made, script)
    _add_run(made)
    _add_bad_items(made)
    return made


def _add_inputs(made: argparse.ArgumentParser, script: str) -> None:
    made.add_argument(
        "manifest",
        help=f"CSV, JSON Lines or Parquet with the columns 'id' and {script!r}, a folder that datasets' save_to_disk "
        "wrote, or tar shards (NAME-{000..127}.tar, as tables may be several files); a path or a URL",
    )
    made.add_argument("--out", type=Path, required=True, help="the feature cache: a new folder, or one to continue")
    made.add_argument("--modality", help=f"name of the modality (default: {script})")
    made.add_argument("--column", help=f"of the manifest; in tar shards a suffix, or json.NAME (default: {script})")
    made.add_argument(
        "--id-column",
        default="id",
        help="column of the ids; ':row' for the number of each row; in tar shards that share keys 'shard/key', or "
        "json.NAME",
    )
    made.add_argument(
        "--views",
        choices=("mean", "max", "tokens"),
        help="a cell may hold several files or texts of an item (a list, or a text with --separator): their mean, the "
        "largest of each column, or a token for each",
    )
    made.add_argument("--separator", help="between the views in a cell, such as ';'")
    made.add_argument("--n-views", type=int, help="the most views of an item (default: the most in the manifest)")


def _add_model(made: argparse.ArgumentParser, script: str) -> None:
    model = made.add_argument_group("model")
    for name, settings in OPTIONS[script].items():
        model.add_argument(name, **settings)
    model.add_argument("--weights", default="DEFAULT", help="a name, a local file or folder, or 'random'")
    model.add_argument("--seed", type=int, default=0, help="of random weights")
    model.add_argument("--tokens", action="store_true", help="keep a grid of tokens instead of pooling")
    model.add_argument("--dtype", choices=("float16", "float32", "bfloat16"), default="float16", help="what is stored")


def _add_run(made: argparse.ArgumentParser) -> None:
    run = made.add_argument_group("run")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    run.add_argument("--amp", action=argparse.BooleanOptionalAction, default=None, help="autocast (default: on a GPU)")
    run.add_argument("--compile", action="store_true", help="torch.compile: slower to begin, faster on long jobs")
    run.add_argument("--batch-size", type=int, default=32, help="units per forward pass; halved when memory runs out")
    run.add_argument("--workers", type=int, help="processes that read ahead, 0 for none (default: by cores)")
    run.add_argument("--threads", type=int, help="torch's threads (default: torch's choice)")
    run.add_argument("--range-rows", type=int, help="rows committed together; fixed by the first run")
    run.add_argument(
        "--extend",
        nargs="?",
        const="stat",
        choices=("stat", "content"),
        help="go on with a manifest that has more rows, or other texts and files, than the cache: what is still right "
        "stays. Files are known by path, size and time, with 'content' by their contents",
    )
    run.add_argument("--shard", type=shard, default=(0, 1), metavar="I/N", help="do the I-th of N parts, from 0")
    run.add_argument("--jobs", type=int, help="do N shards at once on this machine, a GPU each where there are some")
    run.add_argument("--limit", type=int, help="stop after this many rows")
    run.add_argument("--quiet", action="store_true", help="print errors only")


def _add_bad_items(made: argparse.ArgumentParser) -> None:
    bad = made.add_argument_group("bad items")
    bad.add_argument("--strict", action="store_true", help="stop at the first one, also at one that is only noted")
    bad.add_argument(
        "--retry-errors", action="store_true", help="try the items in errors.jsonl and notes.jsonl again, and no others"
    )
    bad.add_argument("--max-error-rate", type=float, help="stop when more than this share fails (default: 0.5)")


def options(script: str, arguments: argparse.Namespace) -> JobOptions:
    """Turn parsed arguments into options; what `JobOptions` does not know is the script's own setting."""
    values = vars(arguments)
    shared = {field.name for field in fields(JobOptions)}
    given = {name: value for name, value in values.items() if name in shared}
    settings = {name: value for name, value in values.items() if name not in {*shared, "jobs", "quiet"}}
    return JobOptions(script=script, settings=settings, **given)


def run_script(script: str, arguments: list[str] | None = None, *, prog: str | None = None) -> int:
    """Run a script's command line, and return its exit status (see `EPILOG`).

    Parameters
    ----------
    script : {"image", "text", "audio", "video"}
    arguments : list of str, optional
        Default: those of the process.
    prog : str, optional
        How the user calls it. Default: ``python -m skmmal.featurize.SCRIPT``.
    """
    parsed = parser(script, prog).parse_args(arguments)
    try:
        with terminable():
            receipt = _run(options(script, parsed), parsed)
    except ImportError as error:
        return _say(f"{error} (pip install 'skmmal[featurize]')", 2)
    except (CacheInUseError, OSError, RuntimeError) as error:  # and what strict, an error rate and a job's end raise
        return _say(error, 1)
    except ValueError as error:
        return _say(error, 2)
    except Terminated as stopped:
        return _say(f"terminated; {stopped}", 143)
    except KeyboardInterrupt as stopped:
        return _say(f"interrupted; {stopped or 'the same command goes on'}", 130)
    return 0 if receipt["problem"] is None else _say(receipt["problem"], 1)


def _run(chosen: JobOptions, parsed: argparse.Namespace) -> dict[str, Any]:
    # torch and the decoders are imported when a job runs, not when its options are read
    from skmmal.featurize._job import run
    from skmmal.featurize._shards import run_shards

    if parsed.jobs is None:
        return run(chosen, quiet=parsed.quiet)
    if chosen.shard != (0, 1):
        raise ValueError("give --jobs or --shard, not both")
    return run_shards(chosen, parsed.jobs, n_jobs=parsed.jobs, quiet=parsed.quiet)


def _say(error: object, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status
