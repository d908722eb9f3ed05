"""Compare two classifiers on the same rows, before and after temperature scaling, and read the verdict.

Naive Bayes counts dependent features again and again, so it is far too sure of itself; logistic regression is not.
How much of the difference is calibration, which one temperature repairs, and how much is not?
"""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import calibkit as ck

x, y = load_digits(return_X_y=True)
x_train, x_rest, y_train, y_rest = train_test_split(x, y, test_size=0.6, random_state=0, stratify=y)
x_val, x_test, y_val, y_test = train_test_split(x_rest, y_rest, test_size=0.6, random_state=0, stratify=y_rest)

models = {
    "naive Bayes": GaussianNB(var_smoothing=0.01),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
}
for model in models.values():
    model.fit(x_train, y_train)


def predictions(rows, labels):
    """Log-probabilities are logits as good as any: nothing is lost where a probability rounds to 1."""
    return {name: ck.Predictions.from_logits(labels, model.predict_log_proba(rows)) for name, model in models.items()}


comparison = ck.compare(predictions(x_test, y_test), calibrate_on=predictions(x_val, y_val))
print(comparison)

difference = comparison.scaled.differences["logistic"]["nll"]
interval = f"[{difference.low:.3f}, {difference.high:.3f}]"
print(f"\nNLL after scaling, logistic - naive Bayes: {difference.value:.3f} {interval}")
ck.save_figure(ck.comparison_figure(comparison), "comparison.png")
