"""
Modalities from a DataFrame
===========================

A sample is a row, a modality is a named block of columns. A table says which columns belong together by their prefix,
by two levels of column names, or with a vector in each cell. A modality that is missing from a row is empty there.
"""

# %%
# **A table as a sensor project has it**: columns of a camera and of a microphone, one number in each. In a fifth of
# the rows the microphone was off, and its columns are empty.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmmal import LateFusionClassifier
from skmmal.datasets import make_multimodal_classification
from skmmal.reading import read

generated, y = make_multimodal_classification(
    400, {"camera": 6, "micro": 4}, n_classes=3, missing={"micro": 0.2}, random_state=0, return_X_y=True
)
columns = {
    f"{name}__{i}": generated[name][:, i] for name in generated.modalities for i in range(generated[name].shape[1])
}
table = pd.DataFrame(columns)
print(table.iloc[:3, [0, 1, -2, -1]].round(2))

# %%
# **A prefix for each modality.** The estimator finds the blocks itself.

by_prefix = LateFusionClassifier(modalities={"camera": "camera__", "micro": "micro__"}).fit(table[:200], y[:200])
print({name: len(table.columns[where]) for name, where in by_prefix.modalities_.items()})

# %%
# **Two levels of column names** need no mapping.

levels = table.set_axis(pd.MultiIndex.from_tuples([tuple(name.split("__")) for name in table.columns]), axis=1)
by_levels = LateFusionClassifier().fit(levels[:200], y[:200])

# %%
# **A vector in each cell**, as Parquet files of embeddings hold it; ``None`` where there is none.

cells = pd.DataFrame({"camera": list(generated["camera"]), "micro": list(generated["micro"])})
cells.loc[np.isnan(generated["micro"]).all(axis=1), "micro"] = None
by_cells = LateFusionClassifier().fit(cells[:200], y[:200])

# %%
# **All three are the same data, and give the same model.**

answers = [by_prefix.predict_proba(table), by_levels.predict_proba(levels), by_cells.predict_proba(cells)]
print("largest difference of a probability:", max(np.abs(answers[0] - other).max() for other in answers[1:]))

# %%
# What the model sees of the first forty rows: dark where a block is there, light where the microphone was off.

present = read(by_cells, cells).present  # a column for each modality
print("rows that have the modality:", dict(zip(by_cells.modalities_, present.sum(axis=0).tolist(), strict=True)))
presence = np.repeat(present[:40].T, [6, 4], axis=0)
figure, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
ax.pcolormesh(presence, cmap="Blues", vmin=-0.3, vmax=1.5, edgecolors="0.8", linewidth=0.5)
ax.axhline(6, color="C1", linewidth=3, linestyle="-")
ax.set_yticks([3, 8], ["camera\n6 columns", "micro\n4 columns"])
ax.invert_yaxis()
ax.set(xlabel="row", title="Two modalities, one of them missing from some rows")
plt.show()
