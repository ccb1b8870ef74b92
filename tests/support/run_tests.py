"""Runs the test programs of the build folders and the integration cases, and counts.

Called by tools/test. Unit test programs are those that meson knows in the suite `unit`; integration
cases are the folders of tests/integration, each a test.py run by run_case.py in a process of its
own. Failures are told in full at the end, the last line is `N passed, N failed`.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

SUPPORT = pathlib.Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
UNIT_LIMIT_S = 120
CASE_LIMIT_S = 300


class Tally:
    """What passed, failed and was skipped so far."""

    def __init__(self):
        self.passed = 0
        self.failures = []  # (title, text)
        self.skipped = []  # (title, reason)

    def fail(self, title, text):
        self.failures.append((title, text))
        print(f"   FAILED {title}", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--what", choices=["all", "quick", "unit", "integration"], default="all")
    arguments.add_argument("--builds", nargs="+", required=True)
    arguments.add_argument("--names", nargs="*", default=[])
    options = arguments.parse_args()

    tally = Tally()
    for folder in options.builds:
        build = (ROOT / folder).resolve()
        if options.what != "integration":
            run_unit_programs(build, folder, tally)
        if options.what != "unit":
            run_integration(build, folder, options.names, tally)
    return report(tally)


def report(tally):
    for title, reason in tally.skipped:
        print(f"skipped: {title}: {reason}")
    for title, text in tally.failures:
        print(f"\n===== FAILED: {title}\n{text.rstrip()}")
    if tally.failures:
        print("\nfailed:")
        for title, _ in tally.failures:
            print(f"  {title}")
    print(f"{tally.passed} passed, {len(tally.failures)} failed", flush=True)
    return 0 if tally.passed > 0 and not tally.failures else 1


# Unit tests -----------------------------------------------------------------------------------


def run_unit_programs(build, label, tally):
    print(f"== unit tests of {label}", flush=True)
    tests = json.loads((build / "meson-info" / "intro-tests.json").read_text())
    for test in sorted(tests, key=lambda test: test["name"]):
        if any(suite.split(":")[-1] == "unit" for suite in test["suite"]):
            run_unit_program(test, f"{label} {test['name']}", tally)


def run_unit_program(test, title, tally):
    environment = dict(os.environ, **test["env"], **sanitizer_options())
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fpm-unit-") as folder:
        xml_file = pathlib.Path(folder) / "result.xml"
        command = test["cmd"] + ["-r", "xml", "-o", str(xml_file)]
        status, output = run_bounded(command, environment, UNIT_LIMIT_S, test["workdir"])
        text = xml_file.read_text(errors="replace") if xml_file.exists() else ""
    passed, failures = parse_catch_xml(text)
    tally.passed += passed
    seconds = time.monotonic() - start
    print(f"   {title}: {passed} passed, {len(failures)} failed, {seconds:.1f} s", flush=True)
    for name, details in failures:
        tally.fail(f"{title}: {name}", details + "\n" + output)
    if status != 0 and not failures:
        tally.fail(f"{title}: the program", f"{describe_status(status)}\n{output}")
    elif passed == 0 and not failures:
        tally.fail(f"{title}: the program", f"ran no test case\n{output}")
    elif failures and is_signal(status):
        print(f"   {title}: {describe_status(status)}; the cases after it did not run")


def parse_catch_xml(text):
    """(number passed, [(name, details)]) of Catch2's XML report.

    A program that crashed leaves the report unfinished: the case it was in is a failure too.
    """
    parser = ElementTree.XMLPullParser(["start", "end"])
    passed, failures, current = 0, [], None
    try:
        parser.feed(text)
        for event, element in parser.read_events():
            if element.tag != "TestCase":
                continue
            if event == "start":
                current = element.get("name")
                continue
            current = None
            result = element.find("OverallResult")
            if result is not None and result.get("success") == "true":
                passed += 1
            else:
                failures.append((element.get("name"), describe_case(element)))
    except ElementTree.ParseError as error:
        return passed, failures + [(current or "the report", f"unreadable report: {error}")]
    if current is not None:
        failures.append((current, "the program ended within this case"))
    return passed, failures


def describe_case(case):
    lines = []

    def walk(element, path):
        if element.tag == "Section":
            path = path + [element.get("name")]
        place = f"{element.get('filename')}:{element.get('line')}"
        if element.tag == "Expression" and element.get("success") == "false":
            lines.append(f"{place}: {' / '.join(path)}")
            lines.append(f"  {element.get('type')}( {text_of(element, 'Original')} )")
            lines.append(f"  with {text_of(element, 'Expanded')}")
            for inner in element.findall("Exception") + element.findall("FatalErrorCondition"):
                lines.append(f"  {inner.tag}: {(inner.text or '').strip()}")
        elif element.tag in ("Failure", "Exception", "FatalErrorCondition", "Info"):
            text = (element.text or "").strip()
            lines.append(f"{place}: {' / '.join(path)} {element.tag}: {text}")
        for child in element:
            if element.tag != "Expression":
                walk(child, path)

    walk(case, [])
    return "\n".join(lines)


def text_of(element, tag):
    return (element.findtext(tag) or "").strip()


# Integration cases ----------------------------------------------------------------------------


def run_integration(build, label, names, tally):
    cases = sorted(path.parent for path in (ROOT / "tests/integration").glob("*/test.py"))
    unknown = set(names) - {case.name for case in cases}
    for name in sorted(unknown):
        tally.fail(f"{label} {name}", f"there is no tests/integration/{name}/test.py")
    print(f"== integration cases of {label}", flush=True)
    for case in cases:
        if not names or case.name in names:
            run_case(case, build, f"{label} {case.name}", tally)


def run_case(case, build, title, tally):
    environment = dict(os.environ, **sanitizer_options(), PYTHONDONTWRITEBYTECODE="1")
    with tempfile.TemporaryDirectory(prefix="fpm-case-") as folder:
        result_file = pathlib.Path(folder) / "result.json"
        command = [sys.executable, str(SUPPORT / "run_case.py"), str(case), str(build),
                   str(result_file)]
        start = time.monotonic()
        status, output = run_bounded(command, environment, CASE_LIMIT_S, None)
        results = read_results(result_file)
    passed = sum(1 for result in results if result["outcome"] == "passed")
    tally.passed += passed
    failed = [result for result in results if result["outcome"] == "failed"]
    seconds = time.monotonic() - start
    print(f"   {title}: {passed} passed, {len(failed)} failed, {seconds:.1f} s", flush=True)
    for result in failed:
        tally.fail(f"{title}: {result['name']}", result["text"])
    for result in results:
        for line in result["said"]:
            print(f"      {line}", flush=True)
        if result["outcome"] == "skipped":
            tally.skipped.append((f"{title}: {result['name']}", result["text"]))
    if status != 0 or not results:
        tally.fail(f"{title}: test.py", f"{describe_status(status)}\n{output}")


def read_results(file):
    """One JSON object a line, so that what ran before a crash counts."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


# Processes ------------------------------------------------------------------------------------


def run_bounded(command, environment, limit_s, folder):
    """(exit status as subprocess has it or None after the limit, stdout and stderr)."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            status = None
            # TERM first: a case then ends what it has started.
            for number in (signal.SIGTERM, signal.SIGKILL):
                os.killpg(process.pid, number)
                try:
                    process.wait(10)
                    break
                except subprocess.TimeoutExpired:
                    pass
        output.seek(0)
        return status, output.read().decode(errors="replace")


def is_signal(status):
    return status is None or status < 0


def describe_status(status):
    if status is None:
        return "did not end in time and was killed"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def sanitizer_options():
    """Reports end the program; leaks are looked for where the program ends in an orderly way."""
    return {
        "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }


if __name__ == "__main__":
    sys.exit(main())
