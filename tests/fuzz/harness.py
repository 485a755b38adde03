"""What every generated input must end in: an answer that holds up, or an error of ours that says what is wrong.

``answer`` runs one generated case, judges it and counts it. ``fuzz`` marks a property and says how many inputs it gets:
the numbers in the tests in the profile "ci" (deterministic), `DEEP` times as many in the profile "deep" (drawn anew in
every run), chosen by the environment variable ``HYPOTHESIS_PROFILE``. ``FUZZ_FACTOR`` sets the multiple by hand.
"""

from __future__ import annotations

import dis
import json
import os
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import sklearn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

import skmmal

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
DEEP = 40
FACTOR = float(os.environ.get("FUZZ_FACTOR", DEEP if PROFILE == "deep" else 1))
SECONDS = 20
"""A single call that takes longer hangs: the data is tiny."""
FEW = 3
"""More warnings than this from one call are a flood."""

REFUSED = object()
ANSWERED_CASES: Counter[str] = Counter()
REFUSED_CASES: Counter[str] = Counter()
MESSAGES: dict[str, dict[str, str]] = {}

_OWN = str(Path(skmmal.__file__).parent)
_SKLEARN = str(Path(sklearn.__file__).parent)
_ERRORS = (ValueError, TypeError, NotFittedError, InvalidParameterError)


class Hang(BaseException):
    """A call did not return in time."""


def fuzz(n: int, *arguments: Any, **keywords: Any) -> Callable:
    """Turn ``test(data)`` into a property of `n` inputs."""

    def mark(test: Callable) -> Callable:
        chosen = settings(
            max_examples=max(1, round(n * FACTOR)),
            deadline=None,
            database=None,
            derandomize=PROFILE != "deep",
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        return chosen(given(*(arguments or (st.data(),)), **keywords)(test))

    return mark


def answer(
    entry: str,
    call: Callable[[], Any],
    *,
    valid: bool | None = None,
    errors: tuple[type[Exception], ...] = (),
    ours: bool = True,
    expected_warnings: tuple[type[Warning], ...] = (UserWarning,),
) -> Any:
    """Make a call with a generated input; return what it answers, or `REFUSED`.

    Parameters
    ----------
    entry : str
        The entry point, for the count.
    call : callable
    valid : bool or None
        True: refusing is a failure. False: answering is. None: either will do.
    errors : tuple of exception types
        Which the entry point documents beside ValueError and TypeError.
    ours : bool
        Whether the message must be one that skmmal or scikit-learn wrote, raised in so many words; False where the
        documented behaviour is another library's (indexing as in numpy).
    expected_warnings : tuple of warning types
        What may be said, a few times.
    """
    refusal = None
    result = None
    with warnings.catch_warnings(record=True) as heard, _time_limit(entry):
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            refusal = error
    if refusal is None:
        ANSWERED_CASES[entry] += 1
        assert valid is not False, f"{entry} answered where it had to refuse: {result!r}"
    else:
        REFUSED_CASES[entry] += 1
        _judge_error(entry, refusal, errors, ours)
        if valid:
            raise AssertionError(f"{entry} refused a good input: {refusal!r}") from refusal
    _judge_warnings(entry, heard, expected_warnings)
    return REFUSED if refusal is not None else result


def _judge_error(entry: str, error: Exception, errors: tuple[type[Exception], ...], ours: bool) -> None:
    # exact types: UnicodeDecodeError, JSONDecodeError, LinAlgError and AxisError are ValueErrors too, and not ours
    known = {*_ERRORS, *errors}
    if type(error) not in known and not type(error).__module__.startswith("skmmal."):
        raise AssertionError(f"{entry} raised {type(error).__name__}: {error}") from error
    text = str(error)
    if len(text) < 10:
        raise AssertionError(f"{entry} raised {type(error).__name__} without a useful message: {text!r}") from error
    if ours and not _raised_in_words(error.__traceback__):
        raise AssertionError(f"{entry} let an error of another library through: {error!r}") from error
    MESSAGES.setdefault(entry, {}).setdefault(_pattern(text), text)


def _raised_in_words(traceback: TracebackType | None) -> bool:
    """Whether a ``raise`` statement in skmmal's or scikit-learn's own code made the error."""
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    own = code.co_filename.startswith((_OWN, _SKLEARN))
    return own and code.co_code[traceback.tb_lasti] in (dis.opmap["RAISE_VARARGS"], dis.opmap["RERAISE"])


def _judge_warnings(entry: str, heard: list[warnings.WarningMessage], expected: tuple[type[Warning], ...]) -> None:
    unexpected = [each for each in heard if not issubclass(each.category, expected)]
    assert not unexpected, f"{entry} warned unexpectedly: {[_shown(each) for each in unexpected[:3]]}"
    assert len(heard) <= FEW, f"{entry} flooded with {len(heard)} warnings: {[_shown(each) for each in heard[:5]]}"


def _shown(warning: warnings.WarningMessage) -> str:
    return f"{warning.category.__name__}: {warning.message} ({warning.filename}:{warning.lineno})"


def _pattern(text: str) -> str:
    return "".join("0" if character.isdigit() else character for character in text)[:60]


@contextmanager
def _time_limit(entry: str) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise Hang(f"{entry} took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def write_report(path: str) -> None:
    """Append this process's counts as a line of JSON."""
    line = json.dumps({"answered": ANSWERED_CASES, "refused": REFUSED_CASES, "messages": MESSAGES})
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")


# ------------------------------------------------------------------------------------------------------- checks


def check_indices(indices: Any, n_wanted: int, n_rows: int) -> None:
    """Distinct rows within the pool, as many as asked for."""
    assert indices.shape == (n_wanted,), indices
    assert indices.dtype.kind == "i"
    assert len(set(indices.tolist())) == n_wanted, indices
    assert indices.min() >= 0
    assert indices.max() < n_rows

