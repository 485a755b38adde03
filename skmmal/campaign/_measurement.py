"""What a campaign's labels were measured to be worth: fitted for once, kept in the folder, told from newer labels.

It is made of the log and the features, and may be deleted: it can be made anew. It holds no time and no user, so that
the same commands on the same data leave the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from skmmal._store import check_format, sweep
from skmmal.campaign._benefit import Benefit
from skmmal.campaign._files import CampaignError, digest, dumps, read_sealed, sealed, write
from skmmal.campaign._state import State
from skmmal.campaign.formats._csv import csv_bytes

__all__ = ["MEASURED", "QUALITY", "Measurement", "basis", "keep_measurement", "read_measurement"]

MEASURED = "measured.json"
FORMAT, VERSION = "skmmal-measured", 1
QUALITY = ["quality", "with_consensus", "worst"]


@dataclass
class Measurement:
    """What models that were fitted for it said.

    Parameters
    ----------
    basis : str
        Checksum of the answers that it was made of (see `basis`).
    n_labels, n_rounds : int
        Settled labels, and rounds, at that time.
    benefit : Benefit, optional
        Whether choosing helps.
    quality : DataFrame, optional
        How good annotators are, indexed by annotator, the worst first.
    reasons : list of str
        Why one of the two could not be said, in sentences.
    """

    basis: str
    n_labels: int
    n_rounds: int
    benefit: Benefit | None = None
    quality: pd.DataFrame | None = None
    reasons: list[str] = field(default_factory=list)


def basis(state: State) -> str:
    """Checksum of all answers that count, and of how the answered rows came to be handed out."""
    handed_out = [batch.loc[batch["id"].isin(state.labels.index), ["id", "chosen_by"]] for batch in state.batches]
    tables = [state.events, *(batch for batch in handed_out if len(batch))]
    return digest(b"".join(csv_bytes(table) for table in tables))


def read_measurement(folder: Path) -> Measurement | None:
    """Return what a campaign's folder keeps; ``None``: nothing was measured.

    Raises
    ------
    CampaignError
        The file is damaged, edited, or from a newer version.
    """
    path = folder / MEASURED
    if not path.exists() and not path.is_symlink():
        return None
    try:
        content = read_sealed(path)
        check_format(content, path, FORMAT, VERSION, CampaignError)
    except CampaignError as error:
        raise CampaignError(f"{error}; or make it anew: skmmal campaign status --measure") from None
    found, quality = content["benefit"], content["quality"]
    return Measurement(
        **{name: content[name] for name in ("basis", "n_labels", "n_rounds", "reasons")},
        benefit=None if found is None else Benefit.from_dict(found),
        quality=None if quality is None else pd.DataFrame(quality).set_index("annotator"),
    )


def keep_measurement(folder: Path, measurement: Measurement) -> None:
    """Write the file, whole or not at all; the caller holds the lock."""
    quality = measurement.quality
    content = {
        "format": FORMAT,
        "version": VERSION,
        **vars(measurement),
        "benefit": None if measurement.benefit is None else measurement.benefit.to_dict(),
        "quality": None if quality is None else quality.reset_index().to_dict("records"),
    }
    sweep(folder, MEASURED)
    write(folder / MEASURED, dumps(sealed(content)))
