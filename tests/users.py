"""Users of a service, who go on asking while something happens to it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def users(count: int, send: Callable[[], None]) -> Iterator[None]:
    """Have each user send one request after another until the block ends."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.is_set():
            send()

    threads = [threading.Thread(target=go_on) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
