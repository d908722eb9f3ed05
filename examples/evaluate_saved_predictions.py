"""Evaluate a scikit-learn classifier: save its predictions, then read numbers, a table and a diagram from the file.

Run it anywhere: it writes forest.npz and forest.png into the current folder.
"""

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

import calibkit as ck

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, random_state=0, stratify=y)
forest = RandomForestClassifier(n_estimators=50, random_state=0, n_jobs=1).fit(x_train, y_train)

predictions = ck.Predictions.from_probs(y_test, forest.predict_proba(x_test), name="forest")
ck.save(predictions, "forest.npz")

evaluation = ck.evaluate(ck.load("forest.npz"))
print(evaluation)

ece = evaluation["ece"]
print(f"\nECE {ece.value:.3f}, 95% interval [{ece.low:.3f}, {ece.high:.3f}]")
for low, high, count, confidence, accuracy in zip(
    evaluation.reliability.edges[:-1],
    evaluation.reliability.edges[1:],
    evaluation.reliability.count,
    evaluation.reliability.confidence,
    evaluation.reliability.accuracy,
    strict=True,
):
    if count:
        print(f"({low:.2f}, {high:.2f}]  {count:4d} rows  confidence {confidence:.3f}  accuracy {accuracy:.3f}")

ck.save_figure(ck.reliability_figure(evaluation), "forest.png")
