"""The estimators that are tried, by name, and the preprocessor that a bare one is given.

>>> find("logistic_regression", "binary")
LogisticRegression(max_iter=1000)

To add a candidate: a row in TABLE under "classifier" or "regressor" (a class, or a function
without arguments that makes an estimator); the conformance suite then trains, logs, loads and
scores it by itself. Users name their own as "mypkg.models:make".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.errors import ConfigError
from lifecycle.named import named
from lifecycle.records import Column, Task

OWN = "lifecycle.models.candidates"
TABLE: Mapping[str, Mapping[str, str]] = {
    "classifier": {
        "logistic_regression": f"{OWN}:logistic_regression",
        "hist_gradient_boosting": "sklearn.ensemble:HistGradientBoostingClassifier",
        "random_forest": f"{OWN}:forest_classifier",
        "extra_trees": f"{OWN}:extra_trees_classifier",
        "gradient_boosting": "sklearn.ensemble:GradientBoostingClassifier",
        "decision_tree": f"{OWN}:tree_classifier",
        "knn": f"{OWN}:knn_classifier",
        "mlp": f"{OWN}:mlp_classifier",
        "naive_bayes": "sklearn.naive_bayes:GaussianNB",
        "calibrated": f"{OWN}:calibrated",
        "dummy": "sklearn.dummy:DummyClassifier",
    },
    "regressor": {
        "linear_regression": "sklearn.linear_model:LinearRegression",
        "ridge": "sklearn.linear_model:Ridge",
        "elastic_net": "sklearn.linear_model:ElasticNet",
        "hist_gradient_boosting": "sklearn.ensemble:HistGradientBoostingRegressor",
        "random_forest": f"{OWN}:forest_regressor",
        "extra_trees": f"{OWN}:extra_trees_regressor",
        "gradient_boosting": "sklearn.ensemble:GradientBoostingRegressor",
        "decision_tree": f"{OWN}:tree_regressor",
        "knn": f"{OWN}:knn_regressor",
        "mlp": f"{OWN}:mlp_regressor",
        "dummy": "sklearn.dummy:DummyRegressor",
    },
}
DEFAULTS = {
    "classifier": ("logistic_regression", "hist_gradient_boosting", "random_forest"),
    "regressor": ("ridge", "hist_gradient_boosting", "random_forest"),
}
MOST_LEVELS = 40  # of a text column get a column of their own; the rest share one
MISSING = "(missing)"
NATIVE_NULLS = ("HistGradientBoosting",)
UNSCALED = (
    "HistGradientBoosting",
    "GradientBoosting",
    "RandomForest",
    "ExtraTrees",
    "DecisionTree",
    "ExtraTree",
    "Dummy",
)


@dataclass(frozen=True)
class Prepared:
    """An estimator that is ready to be fitted.

    Attributes:
        name: what it is called in tables.
        estimator: a Pipeline, not fitted.
        features: the columns that it takes.
        notes: what was left out.
    """

    name: str
    estimator: Any
    features: tuple[Column, ...]
    notes: tuple[str, ...] = ()


def kind_of(task: Task) -> str:
    """The half of TABLE that a task uses.

    >>> kind_of("multiclass")
    'classifier'
    """
    return "regressor" if task == "regression" else "classifier"


def find(candidate: Any, task: Task) -> Any:
    """The estimator behind a name, an import string or an estimator itself.

    Args:
        candidate: a key of TABLE, "module:attribute" (a class, or a function without arguments),
            or an estimator, which is cloned and so never fitted itself.
        task: which half of TABLE is meant.

    Raises:
        ConfigError: the name is unknown, or what it names is no estimator for the task.
    """
    from sklearn.base import clone, is_classifier, is_regressor

    made = candidate
    if isinstance(candidate, str):
        made = named(candidate, TABLE[kind_of(task)], kind="candidate")
    if isinstance(made, type) or (callable(made) and not hasattr(made, "fit")):
        try:
            made = made()
        except TypeError as error:
            raise ConfigError(
                f"candidate {candidate!r} needs arguments: {error}",
                fix="name a function without arguments that makes it",
            ) from error
    fits = hasattr(made, "fit") and hasattr(made, "get_params")
    if not fits or not (is_regressor(made) if task == "regression" else is_classifier(made)):
        raise ConfigError(
            f"candidate {candidate!r} is no {kind_of(task)}",
            fix="name a scikit-learn estimator of that kind, or set `task`",
        )
    return clone(made)


def name_of(candidate: Any) -> str:
    """What a candidate is called: its own name, or its last step's class.

    >>> name_of("mypkg.models:make"), name_of("knn")
    ('make', 'knn')
    """
    if isinstance(candidate, str):
        return candidate.rpartition(":")[2]
    last = candidate.steps[-1][1] if hasattr(candidate, "steps") else candidate
    return last.__name__ if isinstance(last, type) else type(last).__name__


def names(candidates: Sequence[Any]) -> tuple[str, ...]:
    """One name each, numbered where two would be the same.

    >>> names(["knn", "mlp", "knn"])
    ('knn', 'mlp', 'knn-2')
    """
    seen: dict[str, int] = {}
    found = []
    for candidate in candidates:
        name = name_of(candidate)
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return tuple(found)


def prepare(name: str, estimator: Any, features: Sequence[Column], *, seed: int) -> Prepared:
    """Give a bare estimator the default preprocessor, and every `random_state` the seed.

    Numbers are imputed by the median (where the estimator takes no nulls itself) and scaled
    (where it is no tree); text becomes one column for each of the 40 most frequent levels, and
    levels never seen count as rare ones; true and false become 1 and 0; times are left out. A
    Pipeline is left alone and takes all columns as they are.

    Args:
        name: what the candidate is called.
        estimator: not fitted; it is changed.
        features: the columns there are.
        seed: set where a `random_state` is None.
    """
    from sklearn.pipeline import Pipeline

    seeds = {
        key: seed
        for key, value in estimator.get_params(deep=True).items()
        if (key == "random_state" or key.endswith("__random_state")) and value is None
    }
    estimator.set_params(**seeds)
    if isinstance(estimator, Pipeline):
        return Prepared(name, estimator, tuple(features))
    used = tuple(column for column in features if column.dtype != "datetime")
    dropped = [column.name for column in features if column.dtype == "datetime"]
    notes = (f"{name}: times are no features of its own: {', '.join(dropped)}",) if dropped else ()
    if not used:
        raise ConfigError(
            "the only features are times", fix="add columns made from them, or use a Pipeline"
        )
    steps = [("prepare", preprocessor(used, estimator)), ("model", estimator)]
    return Prepared(name, Pipeline(steps), used, notes)


def preprocessor(features: Sequence[Column], estimator: Any) -> Any:
    """The default preprocessor: a ColumnTransformer with parts `number`, `level` and `flag`."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    inner = type(getattr(estimator, "estimator", None) or estimator).__name__
    of = {
        kind: [item.name for item in features if item.dtype in dtypes]
        for kind, dtypes in (
            ("number", ("double", "float", "long", "integer")),
            ("level", ("string",)),
            ("flag", ("boolean",)),
        )
    }
    number: list[tuple[str, Any]] = []
    if not inner.startswith(NATIVE_NULLS):
        number.append(("impute", SimpleImputer(strategy="median", keep_empty_features=True)))
    if not inner.startswith(UNSCALED):
        number.append(("scale", StandardScaler()))
    level = [
        (
            "impute",
            SimpleImputer(
                missing_values=None,
                strategy="constant",
                fill_value=MISSING,
                keep_empty_features=True,
            ),
        ),
        (
            "encode",
            OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                max_categories=MOST_LEVELS,
                sparse_output=False,
            ),
        ),
    ]
    flag = [
        (
            "encode",
            OrdinalEncoder(
                categories=[[False, True]] * len(of["flag"]),
                handle_unknown="use_encoded_value",
                unknown_value=float("nan"),
            ),
        ),
        ("impute", SimpleImputer(strategy="most_frequent", keep_empty_features=True)),
    ]
    parts = [
        ("number", Pipeline(number) if number else "passthrough", of["number"]),
        ("level", Pipeline(level), of["level"]),
        ("flag", Pipeline(flag), of["flag"]),
    ]
    return ColumnTransformer([part for part in parts if part[2]])


def logistic_regression() -> Any:
    """Logistic regression with room to converge."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def forest_classifier() -> Any:
    """100 trees with leaves of at least 5 rows: a tenth of the file of a fully grown forest."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(min_samples_leaf=5)


def forest_regressor() -> Any:
    """100 trees with leaves of at least 5 rows."""
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(min_samples_leaf=5, max_features=1.0 / 3.0)


def extra_trees_classifier() -> Any:
    """100 random trees with leaves of at least 5 rows."""
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(min_samples_leaf=5)


def extra_trees_regressor() -> Any:
    """100 random trees with leaves of at least 5 rows."""
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(min_samples_leaf=5)


def tree_classifier() -> Any:
    """One tree of at most 8 levels."""
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=8, min_samples_leaf=5)


def tree_regressor() -> Any:
    """One tree of at most 8 levels."""
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(max_depth=8, min_samples_leaf=5)


def knn_classifier() -> Any:
    """The 25 nearest rows."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=25)


def knn_regressor() -> Any:
    """The 25 nearest rows."""
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor(n_neighbors=25)


def mlp_classifier() -> Any:
    """One hidden layer of 64, stopped early."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(hidden_layer_sizes=(64,), early_stopping=True, max_iter=500)


def mlp_regressor() -> Any:
    """One hidden layer of 64, stopped early."""
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(hidden_layer_sizes=(64,), early_stopping=True, max_iter=500)


def calibrated() -> Any:
    """Histogram boosting with sigmoid calibration on three folds (Platt 1999)."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier

    return CalibratedClassifierCV(HistGradientBoostingClassifier(), method="sigmoid", cv=3)
