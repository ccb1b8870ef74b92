"""What was measured: tables as RESULTS.md shows them, raw figures, goals, and the difference to another run."""

import json

from measure import middle, spread


def brief(value):
    """Three digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def markdown(columns, lines):
    rows = [columns, ["---"] * len(columns), *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


class Table:
    """A table of a row, with its figures and goals. `name`: the row's, for the raw figures."""

    def __init__(self, name, title, columns):
        self.name, self.title, self.columns = name, title, columns
        self.lines, self.goals, self.notes = [], [], []
        self.figures = {}

    def add(self, *cells):
        self.lines.append(cells)

    def figure(self, what, server, values, unit, digits=2):
        """Keeps the rounds' values; returns 'median (least - most)'."""
        self.figures[f"{self.name}: {what}: {server}"] = {"unit": unit, "values": list(values)}
        return spread(values, digits)

    def goal(self, what, value, limit, unit, beside="", short=False):
        """`value` is to be at most `limit`. beside: what the peer has; short: it is in the README, too."""
        self.goals.append({"what": f"{self.name}, {what}", "value": value, "limit": limit,
                           "unit": unit, "beside": beside, "reached": value <= limit,
                           "short": short})

    def note(self, text):
        self.notes.append(text)

    def text(self):
        return "\n".join([f"### {self.title}", "", markdown(self.columns, self.lines), "",
                          *(f"* {note}" for note in self.notes),
                          *(f"* {goal_text(goal)}" for goal in self.goals)])


def goal_text(goal):
    how = "reached"
    if not goal["reached"]:
        how = f"MISSED by {brief(goal['value'] - goal['limit'])} {goal['unit']}"
    return (f"{goal['what']}: {brief(goal['value'])} {goal['unit']}, "
            f"goal {brief(goal['limit'])} {goal['unit']}: {how}")


class Results:
    """All tables of a run."""

    def __init__(self, about):
        self.about = about  # date, machine, versions
        self.tables = []

    def add(self, table):
        self.tables.append(table)

    @property
    def figures(self):
        return {name: figure for table in self.tables for name, figure in table.figures.items()}

    @property
    def goals(self):
        return [goal for table in self.tables for goal in table.goals]

    def as_json(self):
        return json.dumps({"about": self.about, "figures": self.figures, "goals": self.goals},
                          indent=1) + "\n"

    def summary(self, short=False):
        """The goals as a table."""
        lines = [(goal["what"], f"{brief(goal['value'])} {goal['unit']}", goal["beside"],
                  f"{brief(goal['limit'])} {goal['unit']}",
                  "reached" if goal["reached"] else "**missed**")
                 for goal in self.goals if goal["short"] or not short]
        reached = sum(goal["reached"] for goal in self.goals)
        return (f"{reached} of all {len(self.goals)} goals reached.\n\n"
                + markdown(["figure", "fpm", "beside it", "goal, at most", ""], lines))

    def as_markdown(self, earlier=None):
        parts = ["# Results", "What `tests/bench/run` printed last, medians (least - most) of the rounds; all "
                 "servers of a table are measured by turns in one run. Compare figures of one table, "
                 "as ratios.", self.about_text(), "## Goals", self.summary(), "## Figures",
                 *(table.text() for table in self.tables)]
        if earlier:
            parts += ["## Beside the run of " + earlier["about"]["date"], self.against(earlier)]
        return "\n\n".join(parts) + "\n"

    def about_text(self):
        return "; ".join(str(value) for value in self.about.values())

    def against(self, earlier):
        """Medians of both runs where they differ by more than a tenth, the worst first."""
        lines, compared = [], 0
        for name, figure in self.figures.items():
            old = earlier["figures"].get(name)
            if not old or not middle(old["values"]):
                continue
            compared += 1
            then, now = middle(old["values"]), middle(figure["values"])
            if abs(now / then - 1) > 0.1:
                lines.append((now / then, name, f"{brief(then)} {figure['unit']}",
                              f"{brief(now)} {figure['unit']}"))
        lines.sort(reverse=True)
        head = f"{len(lines)} of {compared} figures differ by more than 10 %."
        if not lines:
            return head
        return head + "\n\n" + markdown(["figure", "then", "now", "times"],
                                        [(*line[1:], f"{line[0]:.2f}") for line in lines])
