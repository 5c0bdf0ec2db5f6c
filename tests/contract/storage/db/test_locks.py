"""Only one `reprocess` runs on a store at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from worker.errors import StoreBusy
from worker.storage.store import Store


def test_a_second_reprocess_is_refused_until_the_first_has_ended(
    store: Store, store_url: str, open_stores: Callable[[str], Store]
) -> None:
    other = open_stores(store_url)

    with (
        store.review.exclusive(),
        pytest.raises(StoreBusy, match="another reprocess is at work"),
        other.review.exclusive(),
    ):
        pass

    with other.review.exclusive():
        pass
