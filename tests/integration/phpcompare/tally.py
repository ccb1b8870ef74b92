"""Counts what was compared, masked and differing."""

import collections

from table import DIFFERENCES


class Tally:
    def __init__(self):
        self.groups = collections.OrderedDict()
        self.masks = collections.Counter()
        self.unstable = []
        self.excused = []
        self.names = set()
        self.answered = 0  # by php-fpm, to the end: equal failures say little

    def count(self, group, request, parts, used):
        """parts: of php-fpm, php-fpm again, and ours. Texts of what differs and may not."""
        key = (group, request.name)
        assert key not in self.names, f"two requests are called {key}"
        self.names.add(key)
        row = self.groups.setdefault(group, collections.Counter())
        row["sent"] += 1
        if parts[0] != parts[1]:
            self.unstable.append(key)
            return []
        row["compared"] += 1
        self.answered += parts[0]["end"].startswith(b"END_REQUEST")
        if used:
            row["masked"] += 1
            self.masks.update(set(used))
        if parts[0] == parts[2]:
            if key in DIFFERENCES:
                return [f"{group}: {request.name}: is equal, but table.py lists it as differing"]
            return []
        row["differing"] += 1
        if key in DIFFERENCES:
            self.excused.append(key)
            return []
        return [describe(group, request, parts[0], parts[2])]

    def report(self):
        total = collections.Counter()
        for row in self.groups.values():
            total.update(row)
        lines = [f"{group}: {line(row)}" for group, row in self.groups.items()]
        lines.append(f"all {len(self.groups)} groups: {line(total)}")
        lines += [f"mask {name}: in {count} answers" for name, count in sorted(self.masks.items())]
        lines += [f"not counted, php-fpm differs from itself: {' / '.join(key)}"
                  for key in self.unstable]
        reasons = collections.Counter(DIFFERENCES[key] for key in self.excused)
        lines += [f"differs, {count} times: {reason}" for reason, count in reasons.items()]
        return total, lines


def line(row):
    return (f"{row['compared']} of {row['sent']} compared, {row['masked']} masked, "
            f"{row['differing']} differing")


def describe(group, request, theirs, ours):
    text = [f"{group}: {request.name}"]
    for part, expected in theirs.items():
        if expected != ours[part]:
            text.append(f"  {part} of php-fpm: {around(expected, ours[part])}")
            text.append(f"  {part} of ours:    {around(ours[part], expected)}")
    return "\n".join(text)


def around(data, other):
    """The surroundings of the first byte that differs."""
    at = next((i for i, (a, b) in enumerate(zip(data, other)) if a != b),
              min(len(data), len(other)))
    start = max(at - 150, 0)
    return f"{len(data)} bytes, at {at}: {data[start:at]!r} >>> {data[at:at + 250]!r}"
