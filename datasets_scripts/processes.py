"""Independent jobs in several processes, which end when the parent does."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any


def run_jobs(function: Callable[[Any], Any], jobs: Sequence[Any], *, num_processes: int) -> Iterator[tuple[int, Any]]:
    """Yield index and result of `function(job)` for each job, in the order they are done.

    Processes start from a clean server (or anew, on Windows), so threads of the caller do no harm; a script that calls
    this needs `if __name__ == "__main__":`. When the caller stops early, or is killed, the processes are ended.

    Args:
        function: importable by name.
        jobs: can be pickled.
        num_processes: at most so many at a time.

    Raises:
        ChildProcessError: a process was killed, for want of memory as a rule.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([function.__module__])  # imported once, not once a process
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(num_processes, len(jobs)), context, initializer=_follow_parent)
    try:
        futures = {pool.submit(function, job): i for i, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            f"one of {num_processes} processes was killed, for want of memory as a rule: run again with fewer --jobs"
        ) from error
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
