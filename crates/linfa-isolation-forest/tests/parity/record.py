"""Records scikit-learn's scores for tests/parity.rs. Run in this folder:

    python3 -m venv venv && venv/bin/pip install scikit-learn && venv/bin/python record.py > sklearn.json

The data comes from a generator of a few lines that tests/parity.rs repeats bit for bit (integers and additions only), so
that only scores need to be recorded.
"""

import json

import numpy as np
import sklearn
from scipy.stats import spearmanr
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

ROWS, COLUMNS, OUTLIERS = 1000, 6, 50


class Lcg:
    """Knuth's MMIX generator; the upper 53 bits make a float in [0, 1)."""

    def __init__(self, seed):
        self.state = seed

    def unit(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2**53

    def bell(self):
        return sum(self.unit() for _ in range(12)) - 6.0


def blob(seed):
    """One round cloud; every 20th row is uniform in a box around it."""
    lcg = Lcg(seed)
    return [[(lcg.unit() - 0.5) * 12.0 if i % (ROWS // OUTLIERS) == 0 else lcg.bell() for _ in range(COLUMNS)]
            for i in range(ROWS)]


def host(seed):
    """Like metrics of a host: correlated, one constant, one of few values, one large; every 20th row is pushed away."""
    lcg = Lcg(seed)
    rows = []
    for i in range(ROWS):
        load = lcg.bell()
        row = [load, load + 0.25 * lcg.bell(), 7.0, float(int(lcg.unit() * 4.0)), 1e9 + 1e6 * lcg.bell(), lcg.bell()]
        if i % (ROWS // OUTLIERS) == 0:
            row[0] += 3.0
            row[4] += 4e6
        rows.append(row)
    return rows


def main():
    labels = np.arange(ROWS) % (ROWS // OUTLIERS) == 0
    out = {"scikit-learn": sklearn.__version__, "n_estimators": 100, "max_samples": 256, "sets": {}}
    for name, rows in (("blob", blob(1)), ("host", host(2))):
        x = np.array(rows)
        runs = [-IsolationForest(n_estimators=100, max_samples=256, random_state=s).fit(x).score_samples(x)
                for s in range(10)]
        mean = np.mean(runs, axis=0)
        out["sets"][name] = {
            "first_row": rows[0],
            "scores": [round(float(v), 5) for v in mean],
            "auc": [round(float(roc_auc_score(labels, r)), 4) for r in runs],
            # What one run of scikit-learn itself reaches against the mean of ten.
            "rank_correlation_of_one_run": [round(float(spearmanr(r, mean)[0]), 4) for r in runs],
            "mean_difference_of_one_run": [round(float(np.mean(np.abs(r - mean))), 5) for r in runs],
        }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
