"""The JDBC driver: `Jdbc.java`, which prints checks of its own."""
import os
import re
import subprocess
import sys

from checks import check, equal, failures
from door import EVENTS, ROWS

DRIVER = "/usr/share/java/postgresql.jar"


def run(door):
    program = os.path.join(os.path.dirname(__file__), "Jdbc.java")
    with check("JDBC: many rows by fetch size in bounded memory"), door.is_bounded():
        done = subprocess.run(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", DRIVER, program,
                               f"jdbc:postgresql://{door.host}:{door.port}/quire?user=ada&sslmode=disable", str(ROWS // EVENTS)],
                              capture_output=True, text=True, timeout=600)
        sys.stdout.write(re.sub(r"(?m)^rows \d+\n", "", done.stdout))
        sys.stderr.write(done.stderr)
        failures.extend(re.findall(r"(?m)^not ok (.*)$", done.stdout))
        equal(re.findall(r"(?m)^rows (\d+)$", done.stdout), [str(ROWS)])
        equal(done.returncode, 0, "exit status")
