"""Reads an OpenMetrics text from stdin as Prometheus' own client library does; prints a summary.

Run by Debian's python3, whose modules the package python3-prometheus-client adds to.
"""

import sys

from prometheus_client.openmetrics.parser import text_fd_to_metric_families

for family in text_fd_to_metric_families(sys.stdin):
    print(family.name, family.type, len(family.samples))
