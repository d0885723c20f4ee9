"""Independent jobs in several processes, which end when the parent does."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any


def run_jobs(function: Callable[[Any], Any], jobs: Sequence[Any], *, num_processes: int) -> Iterator[tuple[int, Any]]:
    """Yield index and result of `function(job)` for each job, in the order they are done.

    A job has a process to itself, so its memory goes back when it is done. Processes start from a clean server (or
    anew, on Windows), so threads of the caller do no harm; a script that calls this needs `if __name__ == "__main__":`.
    When one job fails, or the caller stops early or is killed, all are ended.

    Args:
        function: importable by name.
        jobs: can be pickled, as can the results.
        num_processes: at most so many at a time.

    Raises:
        ChildProcessError: a process was killed, for want of memory as a rule.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([function.__module__])  # imported once, not once a process
    todo = list(enumerate(jobs))[::-1]
    running: dict[Connection, tuple[int, Any]] = {}
    try:
        while todo or running:
            while todo and len(running) < num_processes:
                index, job = todo.pop()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_answer, args=(theirs, function, job), daemon=True)
                running[ours] = index, process
                process.start()
                theirs.close()  # so that `ours` ends when the process does
            for ours in wait(list(running)):
                index, process = running[ours]  # pyright: ignore[reportArgumentType]
                is_good, result = _received(ours, num_processes)  # pyright: ignore[reportArgumentType]
                if not is_good:
                    raise result
                process.join()
                del running[ours]  # pyright: ignore[reportArgumentType]
                yield index, result
    finally:
        for _, process in running.values():
            if process.pid is not None:
                process.terminate()
                process.join()


def _received(connection: Connection, num_processes: int) -> tuple[bool, Any]:
    """Return whether a job ended well, and its result or error."""
    try:
        return connection.recv()
    except EOFError:
        raise ChildProcessError(
            f"one of {num_processes} processes was killed, for want of memory as a rule: run again with fewer --jobs"
        ) from None


def _answer(connection: Connection, function: Callable[[Any], Any], job: Any) -> None:
    """Do one job; leave Ctrl-C to the parent, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    try:
        answer = True, function(job)
    except Exception as error:  # noqa: BLE001 - raised again by the parent
        answer = False, error
    connection.send(answer)
