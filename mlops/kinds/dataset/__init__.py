"""The kind `dataset`: rows from a file, a database or scikit-learn, checked against typed columns, and split."""

from __future__ import annotations

from mlops.kinds.dataset.kinds import Dataset

__all__ = ["Dataset"]
