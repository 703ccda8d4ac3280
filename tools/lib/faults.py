"""What a node does when its disk, its files or its process fail: everything acknowledged stays, everything else serves.

    faults.py [PART]… [--keep]      parts: disk sync damage start partitions term    (all without any)
"""
import argparse
import shutil
import tempfile

import faults_damage
import faults_disk
import faults_process
from checks import finish

PARTS = {"disk": faults_disk.full_disk, "sync": faults_disk.failed_sync, "damage": faults_damage.main,
         "start": faults_process.refusals, "partitions": faults_process.many_partitions, "term": faults_process.term_under_load}


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("parts", nargs="*", choices=[[], *PARTS])
    options.add_argument("--keep", action="store_true", help="keeps the directories")
    options = options.parse_args()
    for part in options.parts or PARTS:
        scratch = tempfile.mkdtemp(prefix=f"quire-faults-{part}-")
        try:
            PARTS[part](scratch)
        finally:
            if options.keep:
                print(f"# kept {scratch}")
            else:
                shutil.rmtree(scratch)
    finish()


if __name__ == "__main__":
    main()
