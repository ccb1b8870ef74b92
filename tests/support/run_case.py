"""Runs the functions test_* of one integration case, each with a Case of its own.

    run_case.py FOLDER BUILD RESULTS [NAME...]

RESULTS gets one JSON object a line: name, outcome (passed, failed, skipped), text,
said (lines that are shown in any case).
"""

import ctypes
import importlib.util
import json
import os
import pathlib
import signal
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from case import Case, Skipped, is_root  # pylint: disable=wrong-import-position

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def main():
    folder, build, results = (pathlib.Path(word).resolve() for word in sys.argv[1:4])
    wanted = sys.argv[4:]
    # A shell that runs us in the background ignores these, and every child would inherit that: no
    # Ctrl-C could be tried out.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped from outside"))
    # Orphans of what a test starts become ours, so none can be left unnoticed.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("prctl(PR_SET_CHILD_SUBREAPER): " + os.strerror(ctypes.get_errno()))
    module = load(folder)
    functions = [value for name, value in vars(module).items() if name.startswith("test_")]
    with open(results, "a", encoding="utf-8") as out:
        for function in functions:
            if not wanted or function.__name__ in wanted:
                result = run(function, folder, build)
                out.write(json.dumps(result) + "\n")
                out.flush()


def load(folder):
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(f"case_{folder.name}", folder / "test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(function, folder, build):
    name = function.__name__[len("test_"):].replace("_", " ")
    case = Case(folder, build)
    outcome, text = "passed", ""
    try:
        if case.sanitized and getattr(function, "plain_only", False):
            raise Skipped("runs in the plain build only")
        if getattr(function, "needs_root", False) and not is_root():
            raise Skipped("needs root")
        function(case)
    except Skipped as reason:
        outcome, text = "skipped", str(reason)
    except Exception:  # pylint: disable=broad-except
        outcome, text = "failed", traceback.format_exc()
        case.failed = True
    finally:
        logs = case.logs
        wrong = case.finish()
    if wrong:
        text += "\n".join(["", "after the test:"] + wrong)
        outcome = "failed"
    if outcome == "failed":
        text += logs()
    return {"name": name, "outcome": outcome, "text": text, "said": case.said}


if __name__ == "__main__":
    main()
