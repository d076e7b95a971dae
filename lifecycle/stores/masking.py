"""Features that the log must not hold: left out, or held as a keyed hash.

>>> mask = Mask(["name"], ["town"], secret=b"s" * 32)
>>> features = {"name": np.array(["Ada"]), "town": np.array(["Turin"]), "age": np.array([41.0])}
>>> kept, types = mask.apply(features, {"town": "string", "age": "double"})
>>> list(kept), kept["town"][0] == mask.hash_of("town", "Turin"), types["town"]
(['town', 'age'], True, 'string')

A hash is BLAKE2b (RFC 7693) keyed with the log's secret and with the column's name, 16 bytes as
hexadecimal text. Equal values of a column have equal hashes, so that they can be counted and
joined; without the secret nobody can try out values, and two columns cannot be compared. What has
few values can still be told apart by how frequent each is.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from lifecycle.config import LogConfig
from lifecycle.errors import ConfigError
from lifecycle.stores import ids

SIZE = 16  # bytes of a hash
_LOGGER = logging.getLogger("lifecycle.log")


class Mask:
    """What `[log] drop` and `hash` ask for.

    Args:
        dropped: features that are not logged.
        hashed: features that are logged as a hash.
        secret: what `stores.ids.secret` returned.

    Raises:
        ConfigError: a feature is named in both.
    """

    def __init__(
        self, dropped: Sequence[str] = (), hashed: Sequence[str] = (), *, secret: bytes
    ) -> None:
        both = sorted(set(dropped) & set(hashed))
        if both:
            raise ConfigError(
                f"{both[0]!r} is both dropped and hashed",
                where="[log] drop and hash",
                fix="name it in one of them",
            )
        self.dropped, self.hashed = frozenset(dropped), frozenset(hashed)
        self._met: set[tuple[str, ...]] = set()
        # a person's value comes again and again: of the last ones the hash is remembered
        self.hash_of = lru_cache(maxsize=10_000)(self._hash_of)
        self._secret = secret

    @classmethod
    def of(cls, config: LogConfig) -> "Mask | None":
        """What the configuration asks for; None where it asks for nothing.

        Raises:
            ConfigError: a feature is named in both.
            LogError: the log's secret cannot be read.
        """
        if not (config.drop or config.hash):
            return None
        return cls(config.drop, config.hash, secret=ids.secret(Path(config.dir)))

    def apply(
        self, features: Mapping[str, np.ndarray], types: Mapping[str, str]
    ) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """The features as they may be logged, with their types.

        Args:
            features: one array of length n for each feature.
            types: MLflow's dtype by feature.
        """
        if features:
            self._check(tuple(features))
        kept = {}
        for name, values in features.items():
            if name in self.hashed:
                texts = [self.hash_of(name, text) for text in _texts(values)]
                kept[name] = np.array(texts, dtype=object)
            elif name not in self.dropped:
                kept[name] = values
        types = {name: "string" if name in self.hashed else kind for name, kind in types.items()}
        return kept, types

    def _hash_of(self, column: str, text: str | None) -> str | None:
        """The hash of a column's value, given as text; None for None."""
        if text is None:
            return None
        named = f"{column}\0{text}".encode("utf-8", "surrogatepass")
        return blake2b(
            named, digest_size=SIZE, key=self._secret, person=b"lifecycle.hash"
        ).hexdigest()

    def _check(self, names: tuple[str, ...]) -> None:
        """Say once what is named and is no feature: a misspelt name would be logged in clear."""
        if names in self._met:
            return
        self._met.add(names)
        strangers = sorted((self.dropped | self.hashed) - set(names))
        if strangers:
            _LOGGER.warning(
                "[log] drop or hash names %s, which is no feature of this model: %s",
                ", ".join(map(repr, strangers)),
                ", ".join(names[:20]),
            )


def _texts(values: np.ndarray) -> list[str | None]:
    """Each value as text, None for what is null."""
    return [
        None if value is None or value != value else str(value)  # noqa: PLR0124 - NaN and NaT
        for value in values.tolist()
    ]
