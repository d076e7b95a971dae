"""What was done to a model, by whom and why.

>>> from lifecycle.config import Config
>>> history(Config(name="churn")).entries[-1].kind  # doctest: +SKIP
'stage'
"""

from lifecycle.config import Config
from lifecycle.records import History
from lifecycle.stores import registry
from lifecycle.stores.tracking import connect


def history(config: Config) -> History:
    """The model's ledger, oldest entry first, its chain checked, with what was found beside it.

    Raises:
        ModelNotFound: no such model.
        LedgerError: the ledger was changed or deleted.
        RegistryUnavailable: no answer in time.
    """
    _, entries, warnings = registry.survey(connect(config), config.name)
    return History(config.name, entries, warnings)
