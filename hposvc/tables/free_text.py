"""A column of free text as features: TF-IDF of its words, and their truncated singular value decomposition.

Both are scikit-learn's (``TfidfVectorizer`` with sublinear counts, ``TruncatedSVD``), fitted to training rows. What was
learned is kept as arrays, and repeated from them for every row, those of training included.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hposvc.tables.kinds import Column, Floats, as_text

MOST_DIMENSIONS = 200  # of all columns of free text together
MOST_WORDS = 10_000  # likewise
FEWEST_DIMENSIONS, FEWEST_WORDS = 8, 500  # of one column, however many there are
ROWS_OF_A_DIMENSION = 4
MOST_CHARACTERS = 10_000  # of one text
FITTED_ROWS, FITTED_CHARACTERS = 20_000, 20_000_000  # what the words are learned from
BATCH_ROWS = 4096
LOOKED_AT = 2000  # different texts that say whether a column is free text
NEARLY_ALL = 0.9  # of the texts
WORD = r"\b\w{2,40}\b"
Words = NDArray[Any]


def is_free_text(column: Column, *, nearly_unique: bool) -> bool:
    """Whether the texts of a column are made of words that recur in others of them, and so are no names or codes.

    Three words are enough on average where nearly every row has a text of its own; else it takes six, because fewer
    are names of categories. Words that stand in nearly all texts do not count: they tell nothing.
    """
    distinct = pc.unique(pc.drop_null(column))
    step = max(1, len(distinct) // LOOKED_AT)
    texts = _cut(distinct.take(pa.array(range(0, len(distinct), step)))).to_pylist()
    words = [[word for word in re.findall(WORD, text.lower()) if not word.isdigit()] for text in texts]
    texts_with = Counter(word for found in words for word in set(found))
    telling = [texts_with[word] for found in words for word in found if texts_with[word] <= NEARLY_ALL * len(texts)]
    if len(telling) < (3 if nearly_unique else 6) * len(texts):
        return False
    return sum(times > 1 for times in telling) >= len(telling) / 2


@dataclass(frozen=True, eq=False)
class Text:
    """A column of free text: the known ``words`` (V,), their inverse document frequencies ``idf`` (V,), and the
    ``components`` (k, V) that make k features of them, scaled to a mean variance of 1 among the training rows.

    ``missing``: a feature of its own says where there is no text. Raises ValueError: they do not fit together.
    """

    name: str
    words: tuple[str, ...]
    idf: NDArray[np.float32]
    components: NDArray[np.float32]
    missing: bool

    def __post_init__(self) -> None:
        size = len(self.words)
        if self.idf.shape != (size,) or self.components.ndim != 2 or self.components.shape[1] != size:
            raise ValueError(f"{size} words, but {self.idf.shape} frequencies and {self.components.shape} components")
        if not (np.isfinite(self.idf).all() and np.isfinite(self.components).all()):
            raise ValueError("its numbers are not finite")

    @cached_property
    def features(self) -> list[str]:
        """The names of the features: each with the two words that weigh most in it."""
        found = []
        for number, weights in enumerate(np.abs(self.components), 1):
            heaviest = np.argsort(-weights, kind="stable")[:2]
            found.append(f"{self.name}: dimension {number} ({', '.join(self.words[i] for i in heaviest)})")
        return [*found, *[f"{self.name} is missing"] * self.missing]

    @property
    def scaled(self) -> list[bool]:
        """None is standardized: the first dimensions vary more than the last, and say more."""
        return [False] * (len(self.components) + self.missing)

    @property
    def treatment(self) -> str:
        """What is done, in words."""
        done = f"free text: {len(self.components)} features of {len(self.words):,} words, by TF-IDF and truncated SVD"
        return done + "; a feature says where it is missing" * self.missing

    def apply(self, column: Column) -> tuple[Floats, int]:
        """The features (n, k), and how many texts have no word that is known."""
        from sklearn.feature_extraction.text import CountVectorizer  # here: it takes a second

        counter = CountVectorizer(vocabulary=self.words, token_pattern=WORD, dtype=np.float64)
        text = as_text(column)
        absent = np.asarray(pc.is_null(text).to_numpy(zero_copy_only=False), dtype=bool)
        parts, known = [np.empty((0, len(self.components)))], [np.empty(0, dtype=bool)]
        for begin in range(0, len(text), BATCH_ROWS):
            texts = pc.fill_null(_cut(text.slice(begin, BATCH_ROWS)), "").to_pylist()
            counts = counter.transform(texts)
            counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
            lengths = np.sqrt(counts.multiply(counts).sum(axis=1)).A1
            known.append(lengths > 0)
            parts.append((counts @ self.components.T.astype(np.float64)) / np.where(lengths > 0, lengths, 1)[:, None])
        unknown = int((~np.concatenate(known) & ~absent).sum())
        return np.column_stack([np.vstack(parts), *[absent] * self.missing]).astype(np.float64), unknown

    def as_dict(self) -> dict[str, Any]:
        """What is no array, ready for JSON."""
        return {"name": self.name, "missing": self.missing}

    def arrays(self) -> dict[str, Words]:
        """The rest, by name; words as UTF-8, a line each."""
        words = np.frombuffer("\n".join(self.words).encode(), np.uint8)
        # In the order of C: safetensors writes the memory of an array as it lies there.
        return {"words": words, "idf": self.idf, "components": np.ascontiguousarray(self.components)}

    @classmethod
    def of_arrays(cls, said: Mapping[str, Any], arrays: Mapping[str, Words]) -> Text:
        """What :meth:`as_dict` and :meth:`arrays` made. Raises ValueError, LookupError."""
        words = arrays["words"].astype(np.uint8).tobytes().decode().split("\n")
        idf, components = arrays["idf"].astype(np.float32), arrays["components"].astype(np.float32)
        return cls(str(said["name"]), tuple(words), idf, components, bool(said["missing"]))


def fit_text(name: str, column: Column, columns: int) -> Text | None:
    """What the training rows ``column`` teach about one of ``columns`` columns of free text; None: no word recurs.

    The time that it takes grows with the texts up to FITTED_ROWS of them and FITTED_CHARACTERS, and no further.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = pc.drop_null(as_text(column))
    texts = _learned_from(known)
    most_words = max(FEWEST_WORDS, MOST_WORDS // columns)
    weigher = TfidfVectorizer(
        sublinear_tf=True, min_df=2, max_features=most_words, token_pattern=WORD, dtype=np.float64
    )
    try:
        weighed = weigher.fit_transform(texts)
    except ValueError:  # no word is left
        return None
    dimensions = max(FEWEST_DIMENSIONS, MOST_DIMENSIONS // columns)
    dimensions = max(1, min(dimensions, len(texts) // ROWS_OF_A_DIMENSION, weighed.shape[1] - 1))
    decomposition = TruncatedSVD(dimensions, n_iter=4, random_state=0).fit(weighed)
    variance = float(np.var(weighed @ decomposition.components_.T, axis=0).mean())
    if not variance > 0:
        return None
    return Text(
        name,
        tuple(weigher.get_feature_names_out().tolist()),
        weigher.idf_.astype(np.float32),
        (decomposition.components_ / np.sqrt(variance)).astype(np.float32),
        column.null_count > 0,
    )


def _learned_from(known: Column) -> list[str]:
    """Texts at equal distances, as many as may be learned from."""
    places = np.unique(np.linspace(0, max(0, len(known) - 1), min(len(known), FITTED_ROWS)).astype(np.int64))
    texts = _cut(known.take(pa.array(places)))
    characters = pc.sum(pc.utf8_length(texts)).as_py() or 0
    step = max(1, -(-characters // FITTED_CHARACTERS))
    return [str(text) for text in texts.to_pylist()[::step]]


def _cut(text: Column) -> Column:
    return pc.utf8_slice_codeunits(text, 0, MOST_CHARACTERS)
