"""Named checks: each prints `ok NAME` or `not ok NAME`, which tools/test counts."""
import contextlib
import sys
import time
import traceback

failures = []


@contextlib.contextmanager
def check(name):
    """One check: its body raises, or asserts, to fail. Failing does not stop the suite."""
    started = time.monotonic()
    try:
        yield
    except Exception as error:
        failures.append(name)
        print(f"not ok {name}", flush=True)
        what = "".join(traceback.format_exception(error)).rstrip()
        print("\n".join("    " + line for line in what.splitlines()[-25:]), file=sys.stderr, flush=True)
    else:
        print(f"ok {name}    # {time.monotonic() - started:.1f} s", flush=True)


def finish():
    """Ends the process: 1 if a check failed."""
    sys.stdout.flush()
    sys.exit(1 if failures else 0)


def equal(actual, expected, what="value"):
    """Fails with the first difference instead of two screenfuls."""
    if actual == expected:
        return
    if isinstance(actual, list) and isinstance(expected, list):
        for index, (a, e) in enumerate(zip(actual, expected)):
            if a != e:
                raise AssertionError(f"{what} {index}: got {shorten(a)}, expected {shorten(e)}")
        raise AssertionError(f"{what}: got {len(actual)}, expected {len(expected)}")
    raise AssertionError(f"{what}: got {shorten(actual)}, expected {shorten(expected)}")


def shorten(value, limit=300):
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "…"


def wait_until(condition, seconds, what):
    """Polls until `condition()` is true and returns its value; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
