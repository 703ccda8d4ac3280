"""Postgres clients against a node's Postgres door: psql, psycopg, asyncpg, SQLAlchemy with pandas, the JDBC driver, and the
statements that Grafana sends."""
import os
import sys
import tempfile

import with_asyncpg
import with_grafana
import with_jdbc
import with_psql
import with_psycopg
import with_sqlalchemy
from checks import check, finish
from door import Door
from node import Node

PARTS = {"psql": with_psql, "psycopg": with_psycopg, "asyncpg": with_asyncpg, "sqlalchemy": with_sqlalchemy, "jdbc": with_jdbc,
         "grafana": with_grafana}


def main(only):
    with tempfile.TemporaryDirectory(prefix="quire-compat-") as data, check("the node stops cleanly"):
        with Node(data, "--set", "quire.query.timeout.ms=600000") as node:
            door = Door(node)
            door.fill()
            for name, part in PARTS.items():
                if not only or name in only:
                    part.run(door)
    finish()


sys.path.insert(0, os.path.dirname(__file__))
main(sys.argv[1:])
