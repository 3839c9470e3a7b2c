"""Counts checks and answers, and says in the end how many of what there were."""

import collections

import daemon


class Tally:
    """What was found. A check passes when nothing was held against it."""

    def __init__(self):
        self.passed = self.failed = 0
        self.figures = collections.Counter()

    def check(self, name, complaints):
        """Counts a check."""
        if complaints:
            self.failed += 1
            print(f"FAILED {name}: {'; '.join(complaints)}", flush=True)
        else:
            self.passed += 1

    def answers(self, when, found):
        """Counts answers, and complains of those that a client would take for whole and that are not."""
        complaints = []
        for name, answer in found:
            self.figures[f"answers {when}: {answer}"] += 1
            if answer == daemon.WRONG:
                complaints.append(f"{when}, {name} is wrong")
        return complaints

    def healed(self, when, nugate, package_ids):
        """Asks for everything twice: the first answer must not be wrong, the second one must be right."""
        complaints = []
        for package_id in package_ids:
            first, second = nugate.package(package_id), nugate.package(package_id)
            listed = nugate.list(package_id)
            found = [(package_id, first), (package_id, second), (f"the list of {package_id}", listed)]
            complaints += self.answers(when, found)
            if first == daemon.REFUSED or second != daemon.RIGHT or listed != daemon.RIGHT:
                complaints.append(f"{when}, {package_id}: {first}, then {second}, its list {listed}")
        return complaints

    def left(self, cache):
        """Complains of temporary files."""
        found = daemon.temporary(cache)
        self.figures["temporary files after a start"] += len(found)
        return [f"{name} was left behind" for name in found]

    def show(self, title):
        """Prints what was counted."""
        print(f"{title}: {self.passed} passed, {self.failed} failed" + " of this kind", flush=True)
        for name in sorted(self.figures):
            print(f"  {name}: {self.figures[name]:g}", flush=True)
