"""What scikit-learn's isolation forest says of the same series, as a file of scores for each.

    python3 docs/evaluation/sklearn_baseline.py MANIFEST SCORES_DIR
    suture detect --scores SCORES_DIR/SUITE/SERIES.csv --evaluate LABELS/SUITE/SERIES.csv

100 trees of 256 rows on the columns as they are, missing values as 0. The alarm is its own `predict` with a contamination
of 0.1. Needs scikit-learn and pandas.
"""

import json
import pathlib
import sys

import pandas as pd
from sklearn.ensemble import IsolationForest


def main(manifest: str, out: str) -> None:
    root = pathlib.Path(manifest).parent
    for series in json.loads(pathlib.Path(manifest).read_text()):
        table = pd.read_csv(root / series["input"])
        metrics = table.drop(columns=[c for c in table.columns[:1] if c == "timestamp"]).fillna(0)
        train = series["train_rows"]
        forest = IsolationForest(n_estimators=100, max_samples=256, contamination=0.1, random_state=0)
        forest.fit(metrics.values[:train])
        judged = metrics.values[train:]
        scores = pd.DataFrame({
            "row": range(train, len(table)),
            "timestamp": table.iloc[train:, 0].values,
            "score": -forest.score_samples(judged),
            "risk": 0,
            "is_anomaly": (forest.predict(judged) < 0).astype(int),
            "severity": "none",
            "culprit": "",
            "shares": "",
        })
        path = pathlib.Path(out) / series["suite"] / (series["series"] + ".csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        scores.to_csv(path, index=False)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
